"""`/ping`, answered in front of an application: "here", or "leaving"."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from scalekit.http.heads import ResponseHead
from scalekit.interfaces import IResponder

_FIELDS = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store")]


@implementer(IResponder)
class PingFirst:
    """
    Answers ``GET /ping`` itself with 200, or with 410 once the app server is draining, which tells a balancer to send
    nothing more; every other exchange goes to the application's responder.
    """

    def __init__(self, application: Any) -> None:
        self._application = application
        self.is_draining = False

    def respond(self, exchange: Any) -> None:
        head = exchange.head
        if head.normal_path != b"/ping" or head.method not in (b"GET", b"HEAD"):
            self._application.respond(exchange)
            return
        if head.length != 0:
            exchange.discard()
        if self.is_draining:
            exchange.answer(ResponseHead(410, list(_FIELDS)), b"draining\n")
        else:
            exchange.answer(ResponseHead(200, list(_FIELDS)), b"OK\n")
