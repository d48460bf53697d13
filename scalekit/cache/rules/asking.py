"""
The request as caches see it: what it asks for, how fresh that must be (RFC 9111 section 5.2.1), what it already has.
"""

from __future__ import annotations

from scalekit.cache.rules.fields import directives_of, seconds
from scalekit.cache.rules.key import primary_key
from scalekit.http.cookies import without_cookie
from scalekit.http.heads import Fields, RequestHead

_LOOKUPS = frozenset((b"GET", b"HEAD"))
#: Methods that change nothing (RFC 9110 section 9.2.1); what is not known may.
SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))

#: Conditions and parts: a request with none of these gets the whole answer or none.
CONDITIONAL = frozenset(
    (b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"range")
)
#: By these some frameworks answer for another target or method than those of the request line, and anybody may write
#: them: the answer says nothing of what lies under the key.
_OVERRIDES = frozenset(
    (b"x-original-url", b"x-rewrite-url", b"x-http-method-override", b"x-method-override", b"x-http-method")
)
_LOOKED_AT = CONDITIONAL | _OVERRIDES | {b"cache-control", b"pragma", b"authorization", b"cookie"}


class Asked:
    """
    One request; as immutable as the head it is of, and shared like that.

    :ivar key: under what answers to it lie.
    :ivar is_lookup: whether it may be answered from the store: a GET or HEAD without a body, and all known by its key.
    :ivar is_plain: it is a lookup that says nothing which a cache has to look at: no directives, conditions, ranges.
    :ivar max_age: seconds that an answer may be old; ``min_fresh``: for which it must stay fresh; ``max_stale``: that
        it may be stale, infinite without a number; ``stale_if_error``: that it may be where the origin fails.  None
        where the request does not say.
    :ivar no_cache: it wants the origin asked; ``no_store``: nothing of it kept; ``only_if_cached``: nobody asked.
    :ivar has_cookie: the answer may be for somebody who is known to the app; ``own_cookie`` says nothing of that: the
        name of the one by which the balancer brings clients back to an instance, empty: there is none.
    :ivar conditions: its fields out of `CONDITIONAL`, the first of each, names in lower case.
    """

    __slots__ = (
        "conditions",
        "has_authorization",
        "has_cookie",
        "head",
        "is_lookup",
        "is_plain",
        "is_secure",
        "key",
        "max_age",
        "max_stale",
        "min_fresh",
        "no_cache",
        "no_store",
        "only_if_cached",
        "own_cookie",
        "stale_if_error",
    )

    def __init__(self, head: RequestHead, is_secure: bool, is_keyed: bool = True, own_cookie: bytes = b"") -> None:
        self.head = head
        self.own_cookie = own_cookie
        self.is_secure = is_secure
        self.key = primary_key(head, is_secure)
        # A body of a GET may be part of what it asks for, and is no part of the key (RFC 9110 section 9.3.1).
        self.is_lookup = (
            is_keyed and head.method in _LOOKUPS and head.length == 0 and bool(head.host) and not head.upgrade
        )
        self.is_plain = self.is_lookup
        self.max_age: int | None = None
        self.min_fresh: int | None = None
        self.stale_if_error: int | None = None
        self.max_stale: float | None = None
        self.no_cache = self.no_store = self.only_if_cached = self.has_authorization = self.has_cookie = False
        self.conditions: dict[bytes, bytes] = {}
        found: Fields = [(name, value) for raw, value in head.fields if (name := raw.lower()) in _LOOKED_AT]
        if found:
            self._look(found)

    def _look(self, found: Fields) -> None:
        controls: list[bytes] = []
        pragma = False
        for name, value in found:
            if name == b"cache-control":
                controls.append(value)
            elif name == b"pragma":
                pragma = pragma or b"no-cache" in value.lower()
            elif name == b"authorization":
                self.has_authorization = True
            elif name == b"cookie":
                is_own = self.own_cookie and not without_cookie(value, self.own_cookie)
                self.has_cookie = self.has_cookie or not is_own
            elif name in _OVERRIDES:
                self.is_lookup = self.is_plain = False
            else:
                self.conditions.setdefault(name, value)
        said = directives_of(controls)
        self.no_cache = b"no-cache" in said or (pragma and not controls)  # RFC 9111 section 5.4
        self.no_store = b"no-store" in said
        self.only_if_cached = b"only-if-cached" in said
        # What is no number asks for the most.
        self.max_age = seconds(said[b"max-age"]) or 0 if b"max-age" in said else None
        fresh = said.get(b"min-fresh")
        self.min_fresh = None if fresh is None else seconds(fresh)
        failing = said.get(b"stale-if-error")
        self.stale_if_error = None if failing is None else seconds(failing)
        if b"max-stale" in said:
            stale = said[b"max-stale"]
            self.max_stale = float("inf") if not stale else seconds(stale)
        self.is_plain = self.is_plain and not (self.conditions or said or self.no_cache)

    def __repr__(self) -> str:
        return f"<Asked {self.head.method.decode('latin-1')} {self.key.decode('latin-1')}>"


def ask(head: RequestHead, is_secure: bool, is_keyed: bool = True, own_cookie: bytes = b"") -> Asked:
    """
    The request of this head as caches see it.

    :param is_secure: whether it came over TLS, or a trusted peer says that it did.
    :param is_keyed: whether its key says all by which it was addressed.
    """
    return Asked(head, is_secure, is_keyed, own_cookie)
