"""An app server that may speak HTTP/2, and its pool, for tests of who waits for which connection."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.deadlines import Wheel
from tests.net.app_server import Attempt
from tests.net.h2_app_server import Asked, H2AppServer, Peer

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class SharedPoolCase(SynchronousTestCase):
    knows_http2 = True
    streams = 100

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.app = H2AppServer(self.clock, self.wheel, None, self.streams, self.knows_http2)
        self.pool = self.app.shared

    def ask(self, count: int) -> list[Asked]:
        return [Asked(self.app) for _ in range(count)]

    def turn(self) -> None:
        self.clock.advance(0)
        for peer in self.app.peers:
            peer.talk()

    def failures(self, asked: list[Asked]) -> list[str]:
        return [one.fault.reason for one in asked if one.fault is not None]

    def alive(self) -> list[Attempt]:
        return [attempt for attempt in self.app.attempts if not attempt.was_given_up]

    def serve(self, peer: Peer) -> int:
        """Answer everything that this connection has heard; how much it was."""
        streams = [event[1] for event in peer.hears() if event[0] == "requested"]
        for stream in streams:
            peer.answers(stream)
        return len(streams)
