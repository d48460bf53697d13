"""Tests of `scalekit.ops.leash`, with real pipes and the reactors' own way of seeing their end."""

import os

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.loop import QuickReactor
from scalekit.ops.leash import Leash, descriptor_of


class LeashTests(SynchronousTestCase):
    def pipe(self) -> tuple[int, int]:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        return reading, writing

    def test_the_parents_end_is_seen_by_every_reactor(self) -> None:
        for kind in (QuickReactor, EPollReactor, SelectReactor):
            reactor = kind()
            reading, writing = self.pipe()
            told: list[str] = []
            leash = Leash(reading, lambda told=told: told.append("let go"), reactor)  # type: ignore[misc]
            reactor.doIteration(0)
            os.write(writing, b"means nothing")
            for _ in range(20):
                reactor.doIteration(0)
            self.assertEqual((told, reactor.getReaders().count(leash)), ([], 1), kind)
            os.close(writing)
            reactor.doIteration(5)
            self.assertEqual((told, reactor.getReaders().count(leash)), (["let go"], 0), kind)
            reactor.disconnectAll()
            self.assertEqual(told, ["let go"], kind)

    def test_a_reactor_that_stops_is_no_parent_that_is_gone(self) -> None:
        reactor = QuickReactor()
        reading, writing = self.pipe()
        self.addCleanup(os.close, writing)
        told: list[str] = []
        Leash(reading, lambda: told.append("let go"), reactor)
        reactor.disconnectAll()
        self.assertEqual(told, [])

    def test_descriptor(self) -> None:
        reading, writing = self.pipe()
        self.assertEqual(descriptor_of({"SCALEKIT_LEASH": str(reading)}), reading)
        os.close(writing)
        with open(os.devnull) as file:
            for text in ("", "-1", "three", "\u0663", "9" * 30, str(2**31 - 1), str(writing), str(file.fileno())):
                self.assertIsNone(descriptor_of({"SCALEKIT_LEASH": text}), text)
        self.assertIsNone(descriptor_of({}))
