"""`/ping`, answered in front of an application: "here", or "leaving"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from scalekit.http.heads import ResponseHead
from scalekit.interfaces import IResponder
from scalekit.kit.registration import CHALLENGE, RESPONSE, response_to

_FIELDS = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store")]
_CHALLENGE, _RESPONSE = CHALLENGE.lower().encode(), RESPONSE.encode()


@implementer(IResponder)
class PingFirst:
    """
    Answers ``GET /ping`` itself with 200, or with 410 once the app server is draining, which tells a balancer to send
    nothing more; every other exchange goes to the application's responder.

    :ivar secret: what challenges are answered with: a balancer elsewhere wants to know that we have agreed to this.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self.is_draining = False
        self.secret: Callable[[], str] = lambda: ""

    def respond(self, exchange: Any) -> None:
        head = exchange.head
        if head.normal_path != b"/ping" or head.method not in (b"GET", b"HEAD"):
            self._application.respond(exchange)
            return
        if head.length != 0:
            exchange.discard()
        fields = list(_FIELDS)
        nonce, secret = head.get(_CHALLENGE), self.secret()
        if nonce and secret:
            fields.append((_RESPONSE, response_to(nonce.decode("latin-1"), secret).encode()))
        if self.is_draining:
            exchange.answer(ResponseHead(410, fields), b"draining\n")
        else:
            exchange.answer(ResponseHead(200, fields), b"OK\n")
