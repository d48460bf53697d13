"""What goes through a tunnel, all in memory: sides that do not read, and whatever may happen in whatever order."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone

from scalekit.net.transports import QUEUE_BYTES
from tests.balancer.proxied import Proxied
from tests.balancer.test_tunnels import AGREE, AGREED, ASK, TunnelCase

TURNS = [f"{who} {what}" for who in ("client", "app") for what in ("says", "ends", "stops", "is lost")]
TURNS += ["both go on", "a minute"]


class Pressure(TunnelCase):
    def test_a_client_that_does_not_read(self) -> None:
        it = self.begun()
        it.takes(0)
        it.answers(b"x" * 1_000_000)
        self.assertFalse(it.app.wire.is_reading)
        self.assertLess(it.wire.queued_bytes, 2 * QUEUE_BYTES)
        it.says(b"y")
        self.assertEqual(it.app.hears(), b"y")
        it.takes(None)
        self.assertTrue(it.app.wire.is_reading)
        self.assertEqual(it.hears(), b"x" * 1_000_000)

    def test_an_app_server_that_does_not_read(self) -> None:
        it = self.begun()
        it.app.wire.room = 0
        it.says(b"x" * 1_000_000)
        self.assertFalse(it.wire.is_reading)
        self.assertLess(it.app.wire.queued_bytes, 2 * QUEUE_BYTES)
        it.answers(b"y")
        self.assertEqual(it.hears(), b"y")
        it.app.wire.room = None
        it.settle()
        self.assertTrue(it.wire.is_reading)
        self.assertEqual(it.app.hears(), b"x" * 1_000_000)

    def test_an_end_waits_for_what_came_before_it(self) -> None:
        it = self.begun()
        it.app.wire.room = 0
        it.says(b"x" * 1_000_000)
        it.leaves()
        self.assertFalse(it.app.wire.has_shut)
        it.app.wire.room = None
        it.settle()
        self.assertEqual(it.app.hears(), b"x" * 1_000_000)
        self.assertTrue(it.app.wire.has_shut)

    def test_tiny_frames_are_not_gathered(self) -> None:
        it = self.begun()
        it.says(*[b"\x89\x80abcd"] * 100)
        self.assertTrue(it.wire.is_reading)
        self.assertEqual(len(it.app.hears()), 600)

    def test_a_head_that_came_byte_by_byte(self) -> None:
        """Its gathering in the kernel ends with it."""
        it = Proxied(1)
        it.says(*[ASK[n : n + 1] for n in range(100)])
        self.assertFalse(it.wire.is_reading)
        it.waits(1)
        it.says(ASK[100:])
        it.accepts()
        it.answers(AGREE)
        it.app.wire.room = 0
        it.says(b"x" * 1_000_000)
        it.waits(1)
        self.assertFalse(it.wire.is_reading)
        it.app.wire.room = None
        it.settle()
        self.assertTrue(it.app.hears().endswith(b"x" * 1_000_000))

    @settings(max_examples=200, deadline=None)
    @given(
        st.lists(
            st.sampled_from(TURNS),
            max_size=12,
        )
    )
    def test_whatever_happens(self, turns: list[str]) -> None:
        """Nobody hears what was not said, one outcome comes of it, nothing is left when both have gone."""
        it = self.begun()
        client, app = it.wire, it.app.wire
        start, app_start = len(client.sent), len(app.sent)
        said: dict[Any, bytes] = {client: b"", app: b""}
        ended = set()
        for number, turn in enumerate(turns):
            wire = client if turn.startswith("client") else app
            if turn == "a minute":
                it.waits(61)
            elif turn == "both go on":
                client.room = app.room = None
            elif turn.endswith("stops"):
                wire.room = 0
            elif turn.endswith("is lost"):
                wire.lose()
            elif turn.endswith("ends"):
                ended.add(wire)
                wire.end()
            elif wire not in ended:
                piece = b"%06d " % number * 20_000
                said[wire] += piece
                wire.hear(piece)
            it.settle()
        client.room = app.room = None
        it.settle()
        heard = {client: bytes(app.sent[app_start:]), app: bytes(client.sent[start:])}
        for wire in (client, app):
            self.assertTrue(said[wire].startswith(heard[wire]))
        if not {"client is lost", "app is lost", "a minute"}.intersection(turns):
            self.assertEqual(heard, said)
            loss = ConnectionDone if len(ended) == 2 else None
            self.assertEqual([client.loss, app.loss], [loss, loss])
            if len(ended) < 2:
                self.assertEqual([client.has_shut, app.has_shut], [app in ended, client in ended])
        client.lose()
        it.settle()
        self.assertIsNotNone(app.loss)
        self.assertEqual(([status for _, status, _ in it.outcomes], it.in_flight), ([101], [0]))
        self.assertEqual(it.factory.connections, set())

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=300)), max_size=20), st.data())
    def test_cut_anywhere_it_is_the_same(self, turns: list[tuple[bool, bytes]], data: Any) -> None:
        """However the bytes are cut up, and whoever speaks when: each side hears what the other has said."""
        said, told = b"".join(b for mine, b in turns if mine), b"".join(b for mine, b in turns if not mine)
        it = Proxied(1)
        spoken = ASK + said
        cut = data.draw(st.integers(len(ASK), len(spoken)))
        it.says(spoken[:cut])
        it.accepts()
        answer = AGREE + told
        places = sorted({0, len(answer), *data.draw(st.lists(st.integers(1, len(answer) - 1), max_size=6))})
        for start, end in pairwise(places):
            it.answers(answer[start:end])
        it.says(*[spoken[n : n + 1] for n in range(cut, len(spoken))])
        self.assertEqual(it.hears(), AGREED + told)
        self.assertEqual(it.app.hears().partition(b"\r\n\r\n")[2], said)
