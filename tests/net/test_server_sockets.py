"""Clients on sockets: closing, half-closing and stalling are the transport's matter as much as the server's."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor

from scalekit.net.factory import HTTPFactory
from scalekit.net.ports import Admission, Port
from scalekit.net.transports import QUEUE_BYTES
from tests.net.messages import GET, get, ok, post
from tests.net.wire import WireTestCase, in_thread


class OverSockets(WireTestCase):
    """Closing, half-closing and stalling are the transport's matter as much as ours."""

    body = b"x" * 200_000
    answers = 0

    def setUp(self) -> None:
        super().setUp()
        self.http = HTTPFactory(self, reactor, reactor.seconds, b"t")
        open_ones = Admission(10)
        self.port = Port(0, self.http, "127.0.0.1", reactor, open_ones, self.server_tls() if self.secure else None)
        self.port.startListening()
        self.addCleanup(self.until, lambda: open_ones.open == 0)
        self.addCleanup(self.http.drain)
        self.addCleanup(self.port.stopListening)

    def respond(self, exchange: Any) -> None:
        self.answers += 1
        exchange.answer(*ok(self.body))

    def heard(self, sock: Any) -> bytes:
        heard = bytearray()
        while data := sock.recv(65_536):
            heard += data
        return bytes(heard)

    async def test_a_client_that_reads_nothing_until_it_has_sent_everything(self) -> None:
        sock = await in_thread(self.dial)
        await in_thread(sock.sendall, GET * 100)
        await self.until(lambda: self.answers > 1)
        (connection,) = self.http.connections
        await self.until(lambda: connection._is_stuck)
        self.assertLess(self.answers, 100)
        self.assertLess(connection.transport.queued_bytes, QUEUE_BYTES + 300_000)
        if not self.secure:
            sock.shutdown(1)
            heard = await in_thread(self.heard, sock)
            self.assertEqual(heard.count(b"HTTP/1.1 200"), 100)
            self.assertTrue(heard.endswith(self.body))
        sock.close()

    async def test_the_answer_to_an_upload_that_is_not_wanted_arrives(self) -> None:
        sock = await in_thread(self.dial)
        await in_thread(sock.sendall, post(100_000_000) + b"y" * 300_000)
        heard = await in_thread(self.heard, sock)
        self.assertTrue(heard.endswith(b"\r\n\r\n" + self.body))
        sock.close()

    async def test_nor_is_what_comes_after_a_close_in_its_way(self) -> None:
        sock = await in_thread(self.dial)
        await in_thread(sock.sendall, get(b"/", b"Connection: close") + GET * 50)
        heard = await in_thread(self.heard, sock)
        self.assertEqual(heard.count(b"HTTP/1.1 200"), 1)
        self.assertTrue(heard.endswith(self.body))
        sock.close()


class OverTLS(OverSockets):
    secure = True
