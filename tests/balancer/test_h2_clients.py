"""Clients that speak HTTP/2 in front of the reverse proxy, all in memory."""

from __future__ import annotations

from scalekit.http.h2.client_session import ClientSession
from tests.balancer.proxied import HELLO, Case, Proxied, requests_on
from tests.http.h2.recorder import Recorder
from tests.net.h2_conversation import POST


class FromHTTP2(Proxied):
    """A client of HTTP/2, and app servers of HTTP/1.1."""

    def __init__(self, count: int = 2) -> None:
        super().__init__(count)
        self.told = Recorder()
        self.client = ClientSession(self.told, 1000)
        self._accept(self.factory.build_h2())
        self.talk()

    def talk(self) -> None:
        """Carry bytes between client and balancer until nobody has any."""
        up = down = b"-"
        while up or down:
            up, down = self.client.output(1 << 20), self.sent()
            if up:
                self.says(up)
            if down:
                self.client.receive(down)

    def statuses(self) -> list[bytes]:
        """Of the answers since the last time."""
        self.talk()
        return [dict(event[2])[b":status"] for event in self.told.take() if event[0] == "answered"]


class TriedAgain(Case):
    """A request whose app server is not there, at a time when nobody has asked for its body yet."""

    def test_the_body_flows_to_the_next_one(self) -> None:
        it = FromHTTP2()
        stream = it.client.request([*POST, (b"content-length", b"6")], False)
        it.client.send_data(stream, b"abc")
        it.talk()
        it.refuses()
        it.accepts()
        it.client.send_data(stream, b"def", True)
        it.talk()
        (received,) = requests_on(it.app.wire)
        self.assertEqual(received.body, b"abcdef")
        it.answers(HELLO)
        self.assertEqual(it.statuses(), [b"200"])
        self.ends(it, (200, ""))
