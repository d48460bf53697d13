"""The cases of `tests.http.h2.conformance`, each on a connection of its own to a real listener."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import gatherResults
from zope.interface import implementer

from scalekit.http.heads import Fields, ResponseHead
from scalekit.interfaces import IBodyReceiver, IResponder
from scalekit.net.factory import HTTPFactory
from scalekit.net.ports import Admission, Port
from tests.http.h2.conformance import BODY, CASES, Case, Comes, Ends, Expected, Fails, Resets
from tests.http.h2.frames import ACK, GOAWAY, PING, RST_STREAM, frame
from tests.net.h2_wire import FrameClient
from tests.net.wire import PATIENCE_SECONDS, WireTestCase, in_thread, trusting

reactor: Any = _reactor

PONG = Comes(PING, ACK, 0, b"still on")


@implementer(IResponder)
class Answering:
    """
    Answers when the request is complete.

    :ivar delay_seconds: how much later.
    """

    delay_seconds = 0.0

    def respond(self, exchange: Any) -> None:
        exchange.observe(self)
        exchange.receive(_Answer(self, exchange))

    def pause(self) -> None:
        """Everything has been written already."""

    resume = pause

    def aborted(self, fault: Exception) -> None:
        """As it should in most cases."""


@implementer(IBodyReceiver)
class _Answer:
    def __init__(self, answering: Answering, exchange: Any) -> None:
        self.delay_seconds = answering.delay_seconds
        self.exchange = exchange

    def data(self, piece: bytes) -> None:
        pass

    def end(self, trailers: Fields) -> None:
        if self.delay_seconds:
            reactor.callLater(self.delay_seconds, self.exchange.answer, ResponseHead(200, []), BODY)
        else:
            self.exchange.answer(ResponseHead(200, []), BODY)


class Client(FrameClient):
    """Judges what it hears."""

    def conforms(self, expected: Expected) -> bool:
        """Whether what comes is what has to come."""
        if isinstance(expected, Comes):
            return self.hears(expected)
        goaway = None
        while (one := self.next()) is not None:
            if one[0] == GOAWAY:
                goaway = int.from_bytes(one[3][4:8], "big")
            elif (
                one[0] == RST_STREAM
                and isinstance(expected, Resets | Fails)
                and int.from_bytes(one[3], "big") in expected.codes
            ):
                self.send(frame(PING, 0, 0, b"still on"))
                return self.hears(PONG)
        has_ended = isinstance(self.heard[-1], EOFError)
        return has_ended and (
            (isinstance(expected, Ends) and not expected.codes)
            or (isinstance(expected, Ends | Fails) and goaway in expected.codes)
        )


def attempt(dial: Callable[[], Any], case: Case, together: bool) -> str:
    """What is wrong with how the server takes this; empty: nothing."""
    with dial() as sock:
        client = Client(sock)
        if case.is_greeted and not client.greet():
            return f"{case}: no greeting, but {client.heard}"
        kept = b""
        for step in case.steps:
            if isinstance(step, bytes) and together:
                kept += step
            elif isinstance(step, bytes):
                client.send(step)
            else:
                client.send(kept)
                kept = b""
                if not client.hears(step):
                    return f"{case}: no {step}, but {client.heard}"
        client.send(kept)
        return "" if client.conforms(case.expected) else f"{case}: no {case.expected}, but {client.heard}"


class Conformance(WireTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.responder = Answering()
        self.http = HTTPFactory(self.responder, reactor, time.time, b"t")
        self.http_admission = Admission(1000)
        self.ports: list[Port] = []

    def serve(self, tls: Any = None) -> Callable[[], Any]:
        """Listen; what connects there."""
        port = Port(0, self.http, "127.0.0.1", reactor, self.http_admission, tls)
        port.startListening()
        self.addCleanup(self.until, lambda: self.http_admission.open == 0)
        self.addCleanup(port.stopListening)
        address = ("127.0.0.1", port.getHost().port)

        def dial() -> Any:
            sock = socket.create_connection(address, PATIENCE_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                return sock
            context = trusting()
            context.set_alpn_protocols(["h2"])
            secure = context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
            assert secure.selected_alpn_protocol() == "h2"
            return secure

        return dial

    async def check(self, dial: Callable[[], Any], cases: Iterable[Case], together: bool = False) -> None:
        faults = await gatherResults([in_thread(attempt, dial, case, together) for case in cases], consumeErrors=True)
        if any(faults):
            self.fail("\n".join(filter(None, faults)))

    async def test_frame_by_frame(self) -> None:
        await self.check(self.serve(), CASES)

    async def test_frames_together(self) -> None:
        await self.check(self.serve(), CASES, together=True)

    async def test_answered_later(self) -> None:
        """By an app server: the streams are still half-closed when the next frame comes."""
        self.responder.delay_seconds = 0.02
        await self.check(self.serve(), CASES)

    async def test_over_tls(self) -> None:
        tls = self.server_tls(protocols=("h2", "http/1.1"))
        await self.check(self.serve(tls), [case for case in CASES if case.is_greeted])
