"""Tests of `scalekit.net.clocks`."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.net.clocks import OtherSeconds


class Reactor(Clock):
    """With calls from threads, which it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: list[Any] = []

    def callFromThread(self, callable: Any, *arguments: object, **named: object) -> None:
        self.from_threads.append((callable, arguments, named))


class OtherSecondsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.other = OtherSeconds(self.reactor, lambda: 42.0)

    def test_it_is_a_clock(self) -> None:
        verifyObject(IReactorTime, self.other)

    def test_its_own_seconds_and_the_reactors_calls(self) -> None:
        called: list[int] = []
        call = self.other.callLater(1.0, called.append, 1)
        self.assertEqual((self.other.seconds(), list(self.other.getDelayedCalls())), (42.0, [call]))
        self.reactor.advance(1.0)
        self.assertEqual(called, [1])

    def test_calls_from_threads_are_the_reactors(self) -> None:
        self.other.callFromThread(max, 1, key=None)
        self.assertEqual(self.reactor.from_threads, [(max, (1,), {"key": None})])
