"""
HTTP/2 floods against a balancer: what each costs the attacker, the app server, the memory, and other clients.

For each: the connection ends, with the right code; no more requests than the budget reach the app server; the balancer
grows by less than 16 MiB; and a client on another connection is served meanwhile.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice, repeat
from pathlib import Path

from scalekit.http.h2.limits import Limits
from scalekit.http.h2.owner import ErrorCode
from tests.http.h2.conformance import Comes
from tests.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    literal,
    request,
)
from tests.net.h2_wire import FrameClient
from tests.ports import free_ports
from tests.scenarios.daemons import ScenarioCase, ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, until

MIB = 1024 * 1024
MOST_GROWTH = 16 * MIB
#: What a flood sends at most; it is to be stopped long before.
FLOOD_BYTES = MIB
#: Who keeps to the number of streams sends so many frames, and waits for what comes of them.
PACE = 50
HEAD_SECONDS = 1.0
#: How often an attacker comes back.
ROUNDS = 5
#: Far above the 100 ms of the promise, for machines that do much else; SCALEKIT_TESTS_FLOODS prints what it was.
MOST_SECONDS = 5.0
CALM = ErrorCode.ENHANCE_YOUR_CALM
LIMITS = Limits()


def never(stream: int, *fields: tuple[bytes, bytes], end: bool = True) -> bytes:
    """A request that the app server does not answer."""
    return request(stream, *fields, end=end, start=[*REQUEST[:2], (b":path", b"/never"), REQUEST[3]])


def each(make: Callable[[int], bytes]) -> Iterator[bytes]:
    """The same on stream after stream."""
    return (make(stream) for stream in range(1, 1 << 20, 2))


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, b"\0\0\0\x08")


def trailers(stream: int, *fields: tuple[bytes, bytes]) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block(*fields))


def apart() -> Iterator[bytes]:
    """Requests, and their resets when they have been looked at."""
    for first in count(1, 2 * PACE):
        streams = range(first, first + 2 * PACE, 2)
        yield from map(never, streams)
        yield from map(reset, streams)


def batches(make: Callable[[list[int]], bytes], size: int) -> Iterator[bytes]:
    """The same for so many streams at a time."""
    streams = count(1, 2)
    return (make(list(islice(streams, size))) for _ in repeat(None))


#: 4,000 bytes that go into the table, and then as many references to them as a frame holds, at a byte each.
BOMB = block(*REQUEST) + b"\x40" + literal(b"x-bomb", b"b" * 4000)[1:] + b"\xbe" * 10_000


@dataclass(frozen=True)
class Flood:
    """
    :ivar sent: what the client sends after the greeting, piece by piece.
    :ivar code: that the connection ends with.
    :ivar requests: how many may reach the app server.
    :ivar is_paced: whether the client waits for us in between, to keep to the number of streams.
    """

    name: str
    sent: Callable[[], Iterator[bytes]]
    code: ErrorCode = CALM
    requests: int = 0
    is_paced: bool = False

    def parts(self) -> list[bytes]:
        """What is sent."""
        pieces = self.sent()
        if self.is_paced:
            return [b"".join([*islice(pieces, PACE), frame(PING, 0, 0, b"and now?")]) for _ in range(20)]
        whole = bytearray()
        while len(whole) < FLOOD_BYTES:
            whole += next(pieces)
        return [bytes(whole)]


BURST = LIMITS.resets[0]
FLOODS = (
    Flood("rapid reset (CVE-2023-44487)", lambda: each(lambda n: never(n) + reset(n)), CALM, BURST),
    Flood(
        "resets of a hundred at a time",
        lambda: batches(
            lambda streams: b"".join([never(n) for n in streams] + [reset(n) for n in streams]), LIMITS.streams
        ),
        CALM,
        BURST + LIMITS.streams,
    ),
    Flood("resets when the requests have begun", apart, CALM, BURST + PACE, True),
    # CVE-2025-8671: the client lets us reset.
    Flood(
        "wrong trailers", lambda: each(lambda n: never(n, end=False) + trailers(n, (b":x", b"y"))), CALM, BURST, True
    ),
    Flood(
        "trailers that do not end the stream",
        lambda: each(lambda n: never(n, end=False) + frame(HEADERS, END_HEADERS, n, block((b"x", b"y")))),
        CALM,
        BURST,
        True,
    ),
    Flood(
        "a body that is longer than it was said to be",
        lambda: each(lambda n: never(n, (b"content-length", b"1"), end=False) + frame(DATA, END_STREAM, n, b"12")),
        CALM,
        BURST,
        True,
    ),
    Flood(
        "windows that grow too far",
        lambda: each(lambda n: never(n) + frame(WINDOW_UPDATE, 0, n, b"\x7f\xff\xff\xff")),
        CALM,
        BURST,
        True,
    ),
    Flood("heads that are refused", lambda: each(lambda n: never(n, (b"connection", b"x"))), CALM, 0, True),
    # These are errors of the connection: one is enough.
    Flood(
        "windows that do not grow",
        lambda: each(lambda n: never(n) + frame(WINDOW_UPDATE, 0, n, b"\0\0\0\0")),
        ErrorCode.PROTOCOL_ERROR,
        1,
    ),
    Flood(
        "bodies where there are none",
        lambda: each(lambda n: never(n) + frame(DATA, END_STREAM, n, b"x")),
        ErrorCode.STREAM_CLOSED,
        1,
    ),
    Flood(
        "priorities of a wrong size",
        lambda: each(lambda n: never(n) + frame(PRIORITY, 0, n, b"x")),
        ErrorCode.FRAME_SIZE_ERROR,
        1,
    ),
    Flood(
        "too many streams",
        lambda: each(never),
        ErrorCode.PROTOCOL_ERROR,
        LIMITS.streams,
    ),
    # Frames that cost work, or memory, and bring nothing.
    Flood("CONTINUATION", lambda: chain([frame(HEADERS, 0, 1, block(*REQUEST))], repeat(frame(CONTINUATION, 0, 1)))),
    Flood(
        "CONTINUATION with fields",
        lambda: chain(
            [frame(HEADERS, 0, 1, block(*REQUEST))],
            repeat(frame(CONTINUATION, 0, 1, block(*[(b"x", b"y" * 1000)] * 16))),
        ),
    ),
    Flood("SETTINGS", lambda: repeat(frame(SETTINGS))),
    Flood("SETTINGS that change", lambda: (frame(SETTINGS, 0, 0, b"\0\4\0\0" + bytes((n % 256, 0))) for n in count())),
    Flood("PING", lambda: repeat(frame(PING, 0, 0, b"01234567"))),
    Flood("empty DATA", lambda: chain([never(1, end=False)], repeat(frame(DATA, 0, 1))), CALM, 1),
    Flood(
        "empty DATA with padding",
        lambda: chain([never(1, end=False)], repeat(frame(DATA, 8, 1, b"\xff" + b"\0" * 255))),
        CALM,
        1,
    ),
    Flood("WINDOW_UPDATE", lambda: repeat(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"))),
    Flood("PRIORITY", lambda: each(lambda n: frame(PRIORITY, 0, n, b"\0\0\0\0\0"))),
    Flood("unknown frames", lambda: repeat(frame(99, 0, 0, b"x" * 1000))),
    Flood("HPACK bomb", lambda: each(lambda n: frame(HEADERS, END_HEADERS | END_STREAM, n, BOMB))),
)


class Bystander(threading.Thread):
    """
    A client that asks for one page after the other, on a connection of its own, until it is stopped.

    :ivar seconds: how long each took.
    """

    def __init__(self, port: int) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.fault = ""
        self._stop_event = threading.Event()
        self._client = FrameClient(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
        self._client.sock.settimeout(PATIENCE_SECONDS)
        assert self._client.greet(), self._client.heard

    def run(self) -> None:
        for stream in count(1, 2):
            began = time.monotonic()
            self._client.send(request(stream, start=[*REQUEST[:2], (b":path", b"/other"), REQUEST[3]]))
            if not self._client.hears(Comes(DATA, END_STREAM, stream, b"/other")):
                self.fault = f"{self._client.heard}"
                break
            self.seconds.append(time.monotonic() - began)
            self._client.heard.clear()
            if self._stop_event.wait(0.002):
                break
        self._client.sock.close()

    def stop(self) -> None:
        """Let it come to its end."""
        self._stop_event.set()
        self.join(PATIENCE_SECONDS)


class Attack:
    """
    One connection that sends a flood until the server ends it.

    :param sent: the flood, in the parts that are sent each after the server's answer to the one before.

    :ivar code: of its GOAWAY; None without one.
    """

    def __init__(self, port: int, sent: Sequence[bytes]) -> None:
        self.code: int | None = None
        self._sent = sent
        self._is_over = False
        self._pongs = threading.Semaphore(0)
        self._client = FrameClient(socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS))
        self._client.sock.settimeout(PATIENCE_SECONDS)
        assert self._client.greet(), self._client.heard
        # Of its own, since the server may stop reading.
        sender = threading.Thread(target=self._send)
        sender.start()
        while (one := self._client.next()) is not None:
            if one[0] == GOAWAY:
                self.code = int.from_bytes(one[3][4:8], "big")
            elif one[0] == PING:
                self._pongs.release()
            self._client.heard.clear()
        self._is_over = True
        self._pongs.release()
        sender.join(PATIENCE_SECONDS)
        self._client.sock.close()

    def _send(self) -> None:
        for part in self._sent:
            if self._is_over:
                return
            self._client.send(part)
            if len(self._sent) > 1:
                self._pongs.acquire(timeout=PATIENCE_SECONDS)


def tell(what: str) -> None:
    """For who wants the numbers."""
    if "SCALEKIT_TESTS_FLOODS" in os.environ:
        print(what)


class Floods(ScenarioCase):
    def setUp(self) -> None:
        super().setUp()
        self.balancer = self.start_balancer(timeouts=f'request_head = "{HEAD_SECONDS:g}s"\nanswer_progress = "1s"')
        [self.port] = free_ports(1)
        self.start("-m", "tests.scenarios.counting_app", str(self.port))
        until(lambda: is_listening(self.port), "the counting app server listens")
        self.balancer.register(self.port)
        self.balancer.await_up(self.port)
        # What is allocated once and for all is no growth.
        Attack(self.balancer.clear, [frame(PING, 0, 0, b"warm up!") * 1000])
        self.bystander = Bystander(self.balancer.clear)
        self.bystander.start()
        self.addCleanup(self.bystander.stop)

    def count(self) -> int:
        """How many requests of the floods have reached the app server."""
        return int(ask(f"http://127.0.0.1:{self.port}/count")[1])

    def cpu_seconds(self) -> float:
        """What the balancer has spent of its core (proc_pid_schedstat(5))."""
        return int(Path(f"/proc/{self.balancer.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def faults(self, flood: Flood) -> Iterator[str]:
        """Let it come, again and again; what is wrong."""
        parts = flood.parts()
        self.balancer.forget_peak()
        memory, reached, served = self.balancer.memory(), self.count(), len(self.bystander.seconds)
        began, cpu = time.monotonic(), self.cpu_seconds()
        attacks = [Attack(self.balancer.clear, parts) for _ in range(ROUNDS)]
        until(lambda: len(self.bystander.seconds) > served + 1 or self.bystander.fault, "somebody else is served")
        seconds, cpu = time.monotonic() - began, self.cpu_seconds() - cpu
        codes = {one.code for one in attacks}
        reached = self.count() - reached
        tell(
            f"{flood.name}: {codes} in {seconds / ROUNDS * 1000:.0f} ms, {cpu / ROUNDS * 1000:.0f} ms of ours,"
            f" {reached / ROUNDS:.0f} requests"
        )
        if codes != {flood.code}:
            yield f"{flood.name}: ended with {codes}"
        if reached > ROUNDS * flood.requests + LIMITS.resets[1] * (seconds + ROUNDS):
            yield f"{flood.name}: {reached} requests reached the app server"
        self.check(flood.name, memory, served)

    def check(self, name: str, memory: int, served: int) -> None:
        """
        The others have been served meanwhile, and the balancer has hardly grown.

        :param memory: what it had before, and how many requests of the others were served before.
        """
        growth = self.balancer.memory("VmHWM") - memory
        self.assertEqual(self.bystander.fault, "")
        others = sorted(self.bystander.seconds[served:])
        p99 = others[int(len(others) * 0.99)]
        tell(
            f"{name}: {growth / MIB:.1f} MiB; {len(others)} others, p99 {p99 * 1000:.0f} ms,"
            f" at most {others[-1] * 1000:.0f} ms"
        )
        self.assertLess(growth, MOST_GROWTH, name)
        self.assertLess(others[-1], MOST_SECONDS, name)

    def test_they_end_with_their_connection(self) -> None:
        faults = [fault for flood in FLOODS for fault in self.faults(flood)]
        self.assertEqual(faults, [])

    def test_windows_that_stay_closed(self) -> None:
        """Large answers that are asked for and not taken cost what the streams' queues hold, and not for long."""
        self.balancer.forget_peak()
        memory, served = self.balancer.memory(), len(self.bystander.seconds)
        client = FrameClient(socket.create_connection(("127.0.0.1", self.balancer.clear), PATIENCE_SECONDS))
        client.sock.settimeout(PATIENCE_SECONDS)
        self.assertTrue(client.greet())
        client.send(frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"))
        large = [*REQUEST[:2], (b":path", b"/large"), REQUEST[3]]
        streams = range(1, 2 * LIMITS.streams + 1, 2)
        client.send(b"".join(request(stream, start=large) for stream in streams))
        ended: dict[int, bytes] = {}
        while len(ended) < len(streams) and (one := client.next()) is not None:
            if one[0] == RST_STREAM:
                ended[one[2]] = one[3]
        self.assertEqual(ended, dict.fromkeys(streams, b"\0\0\0\x08"))
        self.check("zero windows", memory, served)
        client.sock.close()

    def test_heads_that_are_dribbled(self) -> None:
        """They have the time that a head has, whatever comes of it meanwhile."""
        memory, served = self.balancer.memory(), len(self.bystander.seconds)
        self.balancer.forget_peak()
        clients = []
        for _ in range(20):
            client = FrameClient(socket.create_connection(("127.0.0.1", self.balancer.clear), PATIENCE_SECONDS))
            client.sock.settimeout(PATIENCE_SECONDS)
            self.assertTrue(client.greet())
            clients.append(client)
        head = request(1)
        for n in range(len(head) - 1):
            for client in clients:
                client.send(head[n : n + 1])
            time.sleep(2 * HEAD_SECONDS / len(head))
        for client in clients:
            self.assertTrue(client.hears(Comes(GOAWAY, 0, 0)), client.heard)
            self.assertIsNone(client.next())
            client.sock.close()
        self.check("dribbled heads", memory, served)
