"""What is asked for under a name that the connection's certificate does not cover."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.http.heads import Client, RequestHead, ResponseHead
from scalekit.interfaces import IResponder
from scalekit.net.names import CertificateNames
from scalekit.web.covered import CoveredHosts
from scalekit.web.memory import MemoryExchange


@implementer(IResponder)
class Saying:
    def respond(self, exchange: Any) -> None:
        exchange.answer(ResponseHead(200, []), b"yes")


class CoveredHostsTests(SynchronousTestCase):
    def status(self, host: bytes, hosts: CertificateNames | None) -> int:
        client = Client("192.0.2.1", 5, True, 443, hosts=hosts)
        exchange = MemoryExchange(RequestHead(b"GET", b"/", [], host=host), client=client)
        CoveredHosts(Saying()).respond(exchange)
        assert exchange.answer_head is not None
        return exchange.answer_head.status

    def test_hosts(self) -> None:
        names = CertificateNames(["shop.example", "*.shop.example"])
        for host, status in (
            (b"shop.example", 200),
            (b"a.shop.example:2000", 200),
            (b"blog.example", 421),
            (b"192.0.2.9", 421),
            (b"", 200),  # HTTP/1.0
        ):
            self.assertEqual((host, self.status(host, names)), (host, status))

    def test_where_no_certificate_decides(self) -> None:
        self.assertEqual(self.status(b"blog.example", None), 200)
