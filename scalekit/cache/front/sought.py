"""
What the front has found out about a request's head, once for as often as the same bytes come on a connection.

`Services` is what it asks the balancer: whose a request is, and which services want their answers kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scalekit.cache.front.metrics import Counts
from scalekit.cache.rules.asking import CONDITIONAL, Asked
from scalekit.http.heads import Client, RequestHead, values_of
from scalekit.http.negotiation import pick_coding

#: What a client may have of what is not stored, without that it matters to others who want the same.
_VALIDATING = frozenset((b"if-none-match", b"if-modified-since"))


class Routing(Protocol):
    """What routes are read from."""

    @property
    def table(self) -> object:
        """Replaced whole."""


class Services(Protocol):
    """Whose requests are, in the balancer's words."""

    @property
    def routing(self) -> Routing:
        """Whose table is another object whenever the answers below may be others."""

    def service_of(self, head: RequestHead) -> str:
        """The service of this request; raises `scalekit.errors.Fault` if it is to be refused."""

    def is_cached(self, service: str) -> bool:
        """Whether its answers are kept."""

    def is_secure(self, head: RequestHead, client: Client) -> bool:
        """Whether it came over TLS, to us or, as far as that is believed, to a proxy before us."""

    def is_told_otherwise(self, head: RequestHead, client: Client) -> bool:
        """Whether the app server hears of another host, port or scheme than those by which the request is known."""

    def own_cookie(self, service: str) -> bytes:
        """The name of the cookie by which the balancer brings clients back to an instance; empty: there is none."""


class Owners:
    """
    Whose what is stored is: that of a service, until that is not cached for a while.

    Changes pass by unseen then, so what was stored before is nobody's afterwards; it leaves by its age.
    """

    def __init__(self) -> None:
        self._unseen: set[str] = set()
        self._numbers: dict[str, int] = {}  # how often each service was switched on again

    def owner_of(self, service: str, is_cached: bool) -> str:
        """The name under which this service's answers are stored now; to be called for every request to it."""
        if not is_cached:
            self._unseen.add(service)
        elif service in self._unseen:
            self._unseen.remove(service)
            self._numbers[service] = self._numbers.get(service, 0) + 1
        number = self._numbers.get(service)
        return service if number is None else f"{service} again {number}"


class Sought:
    """
    One request's head.

    :ivar table: with which it was looked at.
    :ivar asked: for the rules; its head is the client's with Accept-Encoding normalised.
    :ivar mark: under what it is noted that answers are for one client only: the key, or another one for users who are
        known to the app, whose answers say nothing of what strangers get.
    :ivar is_known: whether it says who asks.
    :ivar owner: whose answers suit it, see `Owners`.
    :ivar counts: of its service.
    :ivar kept_number: of the `Kept` in which its answer was found, at ``index`` of the variants.
    """

    __slots__ = (
        "asked",
        "counts",
        "index",
        "is_cached",
        "is_get",
        "is_known",
        "is_plain",
        "kept_number",
        "key",
        "mark",
        "owner",
        "service",
        "table",
        "unconditional",
    )

    def __init__(self, table: object, service: str, owner: str, is_cached: bool, asked: Asked, counts: Counts) -> None:
        self.table = table
        self.service = service
        self.owner = owner
        self.is_cached = is_cached
        self.asked = asked
        self.key = asked.key
        self.is_known = asked.has_authorization or asked.has_cookie
        self.mark = asked.key + b" known" if self.is_known else asked.key
        self.is_plain = is_cached and asked.is_plain
        self.is_get = asked.head.method == b"GET"
        self.counts = counts
        self.kept_number = 0
        self.index = 0
        #: The same without conditions, made for the first miss.
        self.unconditional: Asked | None = None

    @property
    def only_validates(self) -> bool:
        """Whether its conditions, if it has any, only ask whether there is something new."""
        return self.asked.conditions.keys() <= _VALIDATING

    def without_conditions(self) -> Asked:
        """The request for all of it, whatever the client has."""
        if not self.asked.conditions:
            return self.asked
        if self.unconditional is None:
            head = self.asked.head
            rest = [field for field in head.fields if field[0].lower() not in CONDITIONAL]
            self.unconditional = Asked(head.with_fields(rest), self.asked.is_secure, own_cookie=self.asked.own_cookie)
        return self.unconditional

    def __repr__(self) -> str:
        return f"<Sought {self.asked!r} of {self.service}>"


def normalised(head: RequestHead, offered: Sequence[bytes]) -> RequestHead:
    """
    The head with an Accept-Encoding that is one of few, so that browsers share what is stored for one of them.

    :param offered: the codings that we make; none: then those that the client takes at all are named.
    """
    values = values_of(head.fields, b"accept-encoding")
    if not values:
        return head
    wanted = b",".join(values)
    if offered:
        said = b"no-transform" not in (head.get(b"cache-control") or b"").lower()
        picked = [coding] if said and (coding := pick_coding(wanted, offered)) else []
    else:
        picked = [coding for coding in _KNOWN if pick_coding(wanted, (coding,))]
    told = b", ".join(picked)
    if values == [told]:
        return head
    rest = [field for field in head.fields if field[0].lower() != b"accept-encoding"]
    if told:
        rest.append((b"Accept-Encoding", told))
    return head.with_fields(rest)


_KNOWN = (b"br", b"gzip", b"zstd")
