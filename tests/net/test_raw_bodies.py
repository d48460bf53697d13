"""Bodies and their order, sent raw over a socket: small ones, large ones, and what stands behind them."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from scalekit.http.heads import ResponseHead
from scalekit.net.server import ServerConnection
from tests.http.input_table import CL, TE, chunked, head, post
from tests.net.listener import (
    LAST,
    PATIENCE_SECONDS,
    REACTOR,
    ListenerTestCase,
    ProxyTestCase,
    answers,
    receive_all,
    receive_until,
    statuses,
)


class SmallBodiesTests(ProxyTestCase):
    """A limit on bodies: 413 as soon as it is known."""

    max_body_bytes = 100_000

    async def test_declared(self) -> None:
        received = await self.send(post(b"Content-Length: 100001"))
        self.assertEqual([413], statuses(received))
        self.assertEqual(b"", bytes(self.backend.received))

    async def test_counted(self) -> None:
        received = await self.send(
            chunked(b"8000\r\n" + b"x" * 0x8000 + b"\r\n"), *[b"8000\r\n" + b"x" * 0x8000 + b"\r\n"] * 20
        )
        self.assertEqual([413], statuses(received))
        self.assertEqual([], self.backend.complete)

    async def test_just_so(self) -> None:
        received = await self.send(post(b"Content-Length: 100000", body=b"x" * 100_000) + LAST)
        self.assertEqual([200, 200], statuses(received))


class BodiesAndOrderTests(ListenerTestCase):
    """What takes more than one step."""

    async def test_continue_when_the_body_is_wanted(self) -> None:
        def client(sock: socket.socket) -> bytes:
            sock.sendall(post(CL, b"Expect: 100-continue"))
            interim = receive_until(sock, b"\r\n\r\n")
            sock.sendall(b"hello" + LAST)
            return interim + receive_all(sock)

        self.assertEqual([100, 200, 200], statuses(await self.talk(client)))

    async def test_no_continue_for_http_1_0(self) -> None:
        received = await self.send(post(CL, b"Expect: 100-continue", start=b"POST / HTTP/1.0"), b"hello")
        self.assertEqual([200], statuses(received))

    async def test_a_final_answer_instead_of_continue_ends_the_connection(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(403, []), b"no")
        received = await self.send(post(CL, b"Expect: 100-continue"))
        self.assertEqual([403], statuses(received))
        self.assertIn(b"Connection: close", received)

    async def test_pipelined_requests_are_answered_in_order(self) -> None:
        waiting: list[Any] = []
        came: Deferred[None] = Deferred()

        def respond(exchange: Any) -> None:
            waiting.append(exchange)
            if len(waiting) == 1:
                came.callback(None)
            else:
                exchange.answer(ResponseHead(200, []), exchange.head.target)

        self.factory.respond = respond
        received = self.send(*[head(start=b"GET /%d HTTP/1.1" % n) for n in range(9)], LAST)
        await came
        self.assertEqual([b"/0"], [exchange.head.target for exchange in waiting])  # one at a time
        waiting[0].answer(ResponseHead(200, []), b"/0")
        self.assertEqual([b"/%d" % n for n in range(9)] + [b"/last"], [body for _, _, body in answers(await received)])

    async def test_while_one_request_waits_no_more_than_a_read_is_held(self) -> None:
        waiting: list[Any] = []

        def respond(exchange: Any) -> None:
            waiting.append(exchange)
            if len(waiting) > 1:
                exchange.answer(ResponseHead(204, []))

        self.factory.respond = respond
        count = 40_000
        held: list[int] = []

        def go_on() -> None:
            if not waiting:
                REACTOR.callLater(0, go_on)
                return
            (connection,) = self.factory.connections
            assert isinstance(connection, ServerConnection)
            held.append(connection._reader.held_bytes)
            waiting[0].answer(ResponseHead(204, []))

        def client(sock: socket.socket) -> bytes:
            sock.setblocking(False)
            data, sent = head() * count + LAST, 0
            try:
                while sent < len(data):
                    sent += sock.send(data[sent : sent + 65_536])
            except BlockingIOError:
                pass  # As much as the server and the two kernels take.
            REACTOR.callFromThread(go_on)
            sock.settimeout(PATIENCE_SECONDS)
            sock.shutdown(socket.SHUT_WR)
            return receive_all(sock)

        received = await self.talk(client)
        self.assertGreater(held[0], 0)
        self.assertLessEqual(held[0], 256 * 1024)
        self.assertGreater(received.count(b"HTTP/1.1 204"), 10_000)

    async def test_half_close(self) -> None:
        for sent in (head(), post(CL, body=b"hello"), chunked(b"1\r\na\r\n0\r\n\r\n")):
            self.assertEqual([200], statuses(await self.send(sent, ends=True)))

    async def test_half_close_while_the_answer_is_made(self) -> None:
        exchanges: list[Any] = []
        came: Deferred[None] = Deferred()

        def respond(exchange: Any) -> None:
            exchanges.append(exchange)
            if len(exchanges) == 1:
                came.callback(None)
            else:
                exchange.answer(ResponseHead(200, []), b"later")

        self.factory.respond = respond
        received = self.send(head() + head(start=b"GET /2 HTTP/1.1"), ends=True)
        await came
        (connection,) = self.factory.connections
        assert isinstance(connection, ServerConnection)
        # Until the end of what the client sends has been seen.
        give_up = REACTOR.seconds() + PATIENCE_SECONDS
        while not connection._is_read_closed and connection._is_reading and REACTOR.seconds() < give_up:
            await deferToThread(lambda: None)
        exchanges[0].answer(ResponseHead(200, []), b"first")
        self.assertEqual([b"first", b"later"], [body for _, _, body in answers(await received)])

    async def test_half_close_in_a_request(self) -> None:
        """Of half a head nothing can be said; half a body is a bad request."""
        self.assertEqual([], statuses(await self.send(head()[:-2], ends=True)))
        for sent in (post(CL, body=b"hell"), chunked(b"5\r\nhello\r\n")):
            self.assertEqual([400], statuses(await self.send(sent, ends=True)))
        self.assertEqual([], self.responder.taken)

    async def test_an_early_answer_drains_a_short_rest(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(200, []), exchange.head.target)
        for sent in (
            post(b"Content-Length: 65536", body=b"x" * 65_536),
            chunked(b"8000\r\n" + b"x" * 0x8000 + b"\r\n0\r\n\r\n"),
            post(b"Content-Length: 0"),
        ):
            self.assertEqual([b"/", b"/last"], [body for _, _, body in answers(await self.send(sent, LAST))])

    async def test_an_early_answer_ends_the_connection_for_a_long_rest(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(200, []), exchange.head.target)
        for sent in (
            post(b"Content-Length: 65537", body=b"x" * 65_537),
            chunked((b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 4 + b"0\r\n\r\n"),
        ):
            self.assertEqual([b"/"], [body for _, _, body in answers(await self.send(sent + LAST))])

    async def test_bad_bytes_in_a_rest_end_the_connection(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(200, []), exchange.head.target)
        received = await self.send(chunked(b"x\r\n"), LAST)
        self.assertEqual([b"/"], [body for _, _, body in answers(received)])

    async def test_both_framings_never_reach_the_second_request(self) -> None:
        smuggled = b"GET /admin HTTP/1.1\r\nHost: a.example\r\n\r\n"
        for first in (
            post(b"Content-Length: %d" % len(smuggled), TE, body=b"0\r\n\r\n"),
            post(TE, b"Content-Length: 4", body=b"0\r\n\r\n"),
        ):
            self.assertEqual([400], statuses(await self.send(first + smuggled)))
        self.assertEqual(0, self.responder.begun)
