"""
Purges of the HTTP cache: by URL, tag, prefix or all; soft or hard.

A URL's answers lie under its scheme and host; whoever names one means what people see, so both schemes are purged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from scalekit.cache.front.sought import Sought
from scalekit.cache.front.telling import NAME, fail, with_status
from scalekit.cache.rules.key import key_of_url
from scalekit.cache.store import Store
from scalekit.config.tokens import Tokens
from scalekit.errors import ClientFault
from scalekit.http.heads import ResponseHead, values_of
from scalekit.web.access import bearer_grant, is_local

_SCHEMES = (b"http://", b"https://")
#: What shows that another proxy has sent a request on.
_SENT_ON = (b"forwarded", b"via", b"x-forwarded-for")


class Purging:
    """
    :param clock: tells the store's seconds.
    :param hurry: called after a purge that has left something to `Store.sweep`.
    :param confirm: tells what to answer after a purge: True, a `scalekit.cache.keyvalue.Purged`, or a Deferred of it.
    """

    def __init__(
        self,
        store: Store,
        clock: Any,
        hurry: Callable[[], None] = lambda: None,
        confirm: Callable[[], Any] = lambda: True,
    ) -> None:
        self.store = store
        self._clock = clock
        self._hurry = hurry
        self._confirm = confirm

    def purge(self, keys: Sequence[bytes], tags: Sequence[bytes], prefix: bytes | None, is_soft: bool) -> Any:
        """
        Purge what lies under these URLs, what bears these tags, and what begins like this URL; with an empty one, all.

        :raises ClientFault: 400 for what is no http(s) URL.
        :return: False if too many purges by prefix are being carried out; the others have been, then.  Else what there
            is to confirm.
        """
        now = self._clock.seconds()
        for key in [one for url in keys for one in keys_of(url)]:
            self.store.purge_key(key, now, is_soft)
        for tag in tags:
            self.store.purge_tag(tag, now, is_soft)
        is_done = True
        for one in () if prefix is None else keys_of(prefix) if prefix else (b"",):
            is_done = self.store.purge_prefix(one, now, is_soft) and is_done
        self._hurry()
        return is_done and self._confirm()

    def purge_url(self, url: bytes, is_soft: bool) -> bool:
        """Purge what lies under this URL; whether there was anything."""
        now = self._clock.seconds()
        found = [self.store.purge_key(key, now, is_soft) for key in keys_of(url)]
        return any(found)

    def __repr__(self) -> str:
        return f"<Purging of {self.store!r}>"


def keys_of(url: bytes) -> tuple[bytes, ...]:
    """The keys that a URL's answers may lie under; raises `ClientFault` 400."""
    scheme, _, rest = url.partition(b"://")
    found = [key_of_url(one + rest) for one in _SCHEMES]
    keys = tuple(key for key in found if key is not None)
    if scheme.lower() not in (b"http", b"https") or not keys:
        raise ClientFault(400, "bad-url", f"{url.decode('utf-8', 'replace')[:200]!r} found, an http(s) URL expected.")
    return keys


class PublicPurge:
    """
    ``PURGE`` of a URL on the public listeners: with ``Soft-Purge: 1`` its answers become stale, else they are removed.

    Whoever may ask, in this order:

    | request | verdict |
    |---|---|
    | it has Origin or Sec-Fetch-Site | 403: a web page made it |
    | tokens are set, and it has none that is one of them | 401, loopback or not: proxies of this machine are there |
    | tokens are set, and the token's role does not cover writing, of this service | 403 |
    | no tokens are set, and the peer is not on loopback, or another proxy sent it on | 403 |

    :param tokens: those of the registration port; None: there are none.
    """

    def __init__(self, purging: Purging, tokens: Tokens | None, proxy: bytes) -> None:
        self._tokens = tokens
        self._purging = purging
        self._proxy = proxy

    def adopt(self, tokens: Tokens | None) -> None:
        """Take other tokens."""
        self._tokens = tokens

    def __call__(self, exchange: Any, sought: Sought) -> None:
        """Answer this request."""
        exchange.record.service = sought.service
        fault = self._refusal(exchange, sought.service)
        if fault is not None:
            fail(exchange, fault, NAME, self._proxy, [(b"WWW-Authenticate", b"Bearer")] if fault.status == 401 else [])
            return
        is_soft = exchange.head.get(b"soft-purge") == b"1"
        was_there = self._purging.purge_url(sought.key, is_soft)
        body = msgspec.json.encode({"url": sought.key.decode("latin-1"), "purged": was_there, "soft": is_soft}) + b"\n"
        fields = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]
        exchange.answer(with_status(ResponseHead(200, fields), NAME), body)

    def _refusal(self, exchange: Any, service: str) -> ClientFault | None:
        head = exchange.head
        if head.get(b"origin") is not None or head.get(b"sec-fetch-site") is not None:
            return ClientFault(403, "cross-site", "Web pages may not purge.")
        if self._tokens is None:
            if not is_local(exchange.client.address) or any(head.get(name) is not None for name in _SENT_ON):
                return ClientFault(403, "not-here", "Without a token file, PURGE is taken from this machine only.")
            return None
        grant = bearer_grant(values_of(head.fields, b"authorization"), self._tokens)
        if grant is None:
            return ClientFault(401, "bad-token", "PURGE needs an Authorization: Bearer token with the role write.")
        if not grant.allows("write", service):
            return ClientFault(403, "token-role", f"The token's role is {grant.role}; this needs write.")
        return None

    def __repr__(self) -> str:
        return f"<PublicPurge with {self._tokens!r}>"
