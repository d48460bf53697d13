"""
Sticky sessions: a cookie brings whoever has been at an instance back to it.

The cookie's value is an HMAC of the instance's service and id: it names no address, nobody else can make one, and as
the balancer knows its instances, it need not keep anything to know whom one belongs to.  After a restart, and on every
balancer with the same key, it is the same.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from typing import Any

from scalekit.balancer.instance import Instance
from scalekit.http.cookies import cookie_value
from scalekit.http.heads import ResponseHead

#: Half of SHA-256: nobody guesses 128 bits, and the cookie goes along with every request.
TOKEN_BYTES = 16


def cookie_name(service: str, cookie: str = "") -> bytes:
    """The name of a service's cookie; empty: one that no other service has."""
    return (cookie or f"scalekit-{service}").encode("ascii")


class Sticky:
    """
    The sessions of one service.

    :param key: at least 32 random bytes.
    :param cookie: its name; empty: one that no other service has.
    """

    def __init__(self, key: bytes, service: str, cookie: str = "") -> None:
        self._key = key
        self._service = service
        self.cookie = cookie_name(service, cookie)
        self._available: tuple[Instance, ...] = ()
        self._by_token: dict[bytes, Instance] = {}

    def token(self, instance: Instance) -> bytes:
        """What its cookie says: 22 characters of base64url."""
        name = f"{self._service}\0{instance.id}".encode()
        return urlsafe_b64encode(hmac.digest(self._key, name, "sha256")[:TOKEN_BYTES]).rstrip(b"=")

    def instance_of(self, exchange: Any, available: tuple[Instance, ...]) -> Instance | None:
        """Whom the client has been at, if that one is available."""
        value = cookie_value(exchange.head.fields, self.cookie)
        if value is None:
            return None
        if available is not self._available:
            # The tuple stays the same until somebody comes or goes.
            self._available, self._by_token = available, {self.token(one): one for one in available}
        return self._by_token.get(value)

    def marked(
        self, head: ResponseHead, exchange: Any, instance: Instance, available: tuple[Instance, ...]
    ) -> ResponseHead:
        """
        The head of an answer, with a cookie for its instance if the client's is none, or of one that is away.

        Whoever was only sent elsewhere this time, as its instance was busy or failed, keeps its cookie; and an error
        is nothing to come back to.
        """
        if head.status >= 500 or self.instance_of(exchange, available) is not None:
            return head
        cookie = b"%b=%b; Path=/; HttpOnly; SameSite=Lax" % (self.cookie, self.token(instance))
        if exchange.client.is_secure:
            cookie += b"; Secure"
        # A cache between us and the client may not hand this cookie to others (RFC 9111 section 5.2.2.4).
        fields = [*head.fields, (b"Set-Cookie", cookie), (b"Cache-Control", b'no-cache="set-cookie"')]
        return head.with_fields(fields)

    def __repr__(self) -> str:
        return f"<Sticky {self.cookie.decode()}>"
