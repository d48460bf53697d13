"""Tests of `scalekit.net.h2_stream`: bodies go as fast as who takes them, and hold up nobody else."""

from __future__ import annotations

from scalekit.http.h2.limits import UPSTREAM_STREAM_WINDOW
from scalekit.net.h2_stream import STREAM_QUEUE
from tests.net.h2_app_server import POST, Asked, Case

MIB = 1024 * 1024


class FlowControl(Case):
    def test_mibs_up(self) -> None:
        body = bytes(range(256)) * (5 * MIB // 256)
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        for at in range(0, len(body), 50_000):
            asked.stream.write(body[at : at + 50_000])
            peer.talk()
        asked.stream.finish([])
        peer.talk()
        self.assertEqual(peer.bodies[1], body)

    def test_mibs_down(self) -> None:
        body = bytes(range(256)) * (5 * MIB // 256)
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.answers(1, body)
        self.assertEqual(self.body_of(asked), body)
        self.assertEqual((asked.events[0], asked.events[-1]), (("began", 200), "ended"))

    def test_an_app_server_that_takes_nothing_holds_the_client(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.takes = False
        sent = 0
        while "hold" not in asked.events:
            asked.stream.write(b"x" * 16_384)
            sent += 16_384
            peer.talk()
        queued = sent - len(peer.bodies[1])
        self.assertTrue(STREAM_QUEUE < queued <= STREAM_QUEUE + 16_384, queued)
        self.check(asked, "hold")
        asked.stream.write(b"y")
        self.check(asked)
        peer.take_body(1)
        self.check(asked, "release")
        asked.stream.finish([])
        while len(peer.bodies[1]) <= sent:
            peer.take_body(1)
        peer.answers(1)
        self.check(asked, ("answered", 200, b""))

    def test_the_others_go_on_meanwhile(self) -> None:
        slow = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.takes = False
        slow.stream.write(b"x" * MIB)
        other = Asked(self.app)
        peer.answers(3, b"hi")
        self.check(other, ("answered", 200, b"hi"))

    def test_a_client_that_does_not_read_holds_the_app_server(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1)
        asked.stream.pause()
        peer.sends(1, b"x" * MIB, True)
        self.assertEqual(len(self.body_of(asked)), UPSTREAM_STREAM_WINDOW)
        asked.stream.resume()
        peer.talk()
        self.assertEqual(len(self.body_of(asked)), MIB)
        self.assertEqual(asked.events[-1], "ended")

    def test_many_that_do_not_read_do_not_hold_the_others(self) -> None:
        slow = [Asked(self.app) for _ in range(50)]
        peer = self.app.meets()
        for number, one in enumerate(slow):
            peer.begins(1 + 2 * number)
            one.stream.pause()
            peer.sends(1 + 2 * number, b"x" * MIB)
        other = Asked(self.app)
        peer.answers(101, b"y" * MIB)
        self.assertEqual(len(self.body_of(other)), MIB)

    def test_what_a_cancelled_stream_had_not_taken_is_given_back(self) -> None:
        peer = self.connect()
        for number in range(3, 203, 2):
            asked = Asked(self.app)
            peer.begins(number)
            asked.stream.pause()
            peer.sends(number, b"x" * MIB)
            asked.stream.cancel()
            peer.talk()
        self.assertEqual(len(peer.bodies), 0)
        other = Asked(self.app)
        peer.answers(203, b"y" * MIB)
        self.assertEqual(len(self.body_of(other)), MIB)

    def test_a_transport_that_is_full(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.wire.room = 0
        while "hold" not in asked.events:
            asked.stream.write(b"x" * 16_384)
            peer.talk()
        self.assertLess(peer.wire.queued_bytes, 300_000)
        other = Asked(self.app)
        peer.talk()
        self.check(other)
        peer.wire.room = None
        peer.talk()
        self.check(asked, "hold", "release")
        peer.answers(3)
        self.check(other, ("answered", 200, b""))
