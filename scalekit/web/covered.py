"""`CoveredHosts`: what is asked for under a name that the connection's certificate is not for is answered with 421."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from scalekit.errors import ClientFault
from scalekit.interfaces import IResponder

_FAULT = ClientFault(
    421, "misdirected", "The certificate of this connection is not for that Host; open another one with its name."
)


@implementer(IResponder)
class CoveredHosts:
    """
    For listeners with several certificates, or with client certificates (RFC 9110 sections 7.4 and 15.5.20).

    A browser sends what is for ``b.example`` on its HTTP/2 connection to ``a.example`` where one address answers for
    both (RFC 9113 section 9.1.1), and anybody may write any Host: whoever was let in under one name shall not reach
    what stands behind another.

    :param responder: who answers all else.
    """

    def __init__(self, responder: IResponder) -> None:
        self._respond = responder.respond

    def respond(self, exchange: Any) -> None:
        """Let the responder answer, or refuse."""
        hosts, host = exchange.client.hosts, exchange.head.host
        if hosts is None or not host or host in hosts:
            self._respond(exchange)
            return
        exchange.fail(_FAULT)
