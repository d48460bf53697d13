"""
What every `scalekit.interfaces.ILogDestination` does.

::

    class KafkaTests(destination_tests(KafkaHarness)):
        pass
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.interfaces import ILogDestination
from scalekit.logs.entry import LEVELS, Entry
from scalekit.logs.sinks.backlog import Leaving
from scalekit.logs.sinks.outcomes import Delivered, Later, Outcome, Refused

T = 1_700_000_000_123_456_789


class Arrived(NamedTuple):
    """An entry as the other side has it; of its fields those that the sender knows."""

    name: str
    time: int
    level: str
    source: str
    message: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, name: str, leaving: Leaving) -> Arrived:
        """What should arrive of an entry."""
        entry = leaving.entry
        fields = json.loads(entry.fields or "{}")
        return cls(name, leaving.time, entry.level, entry.source, entry.message, fields)


class Harness(Protocol):
    """A destination, and the other side of it."""

    destination: Any

    def arrived(self) -> list[Arrived]:
        """All that has arrived so far, in order within a source."""

    def behave(self, how: str) -> None:
        """From now on: ``well``, ``refusing``, ``partly`` (one of each batch rejected), ``busy`` (for 7 s), ``away``,
        ``silent``."""


def leaving(sequence: int, message: str = "sold", fields: Any = None, **said: Any) -> tuple[str, Leaving]:
    """An entry with its name."""
    text = None if fields is None else json.dumps(fields, separators=(",", ":"))
    entry = Entry(T, said.get("level", "INFO"), said.get("source", "shop"), message, text)
    return f"log-{sequence}", Leaving(sequence, T + sequence, T + 5, entry)


#: Whatever an entry may hold.
ODD = [
    leaving(1, "", level="DEBUG"),
    leaving(2, "ünï\u2028\x00\x1b[31m\n", level="PANIC", source="a;b \U0001f600"),
    leaving(3, "x" * 200_000, {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}),
    leaving(4, "n", {"a": None, "b": [1, 2.5, True, {"c": []}], "": {"": {}}, "big": 1 << 40, "trace_id": 7}),
    leaving(5, "s", {"a.b": "é", "request_id": "r-1"}, source="till"),
]


def destination_tests(make: Callable[[], Harness]) -> type[SynchronousTestCase]:
    """The suite for destinations of this kind."""

    class DestinationTests(SynchronousTestCase):
        """An `ILogDestination`."""

        def setUp(self) -> None:
            self.harness = make()
            self.destination = self.harness.destination

        def send(self, entries: Sequence[tuple[str, Leaving]]) -> Outcome:
            outcome: Outcome = self.successResultOf(self.destination.send(self.destination.pack(entries)))
            return outcome

        def test_interface(self) -> None:
            """Is provided."""
            verifyObject(ILogDestination, self.destination)

        def test_whatever_an_entry_holds(self) -> None:
            """Arrives, with its name."""
            self.assertEqual(self.send(ODD), Delivered())
            expected = [Arrived.of(name, one) for name, one in ODD]
            self.assertEqual(sorted(self.harness.arrived()), sorted(expected))

        def test_levels(self) -> None:
            """Are known there."""
            self.send([leaving(number, level=level) for number, level in enumerate(LEVELS)])
            self.assertEqual([one.level for one in self.harness.arrived()], list(LEVELS))

        def test_order(self) -> None:
            """Stays, within a source."""
            self.send([leaving(number) for number in range(20)])
            self.send([leaving(number) for number in range(20, 25)])
            self.assertEqual([one.name for one in self.harness.arrived()], [f"log-{number}" for number in range(25)])

        def test_again(self) -> None:
            """The same names: whether it is the same packed batch, or packed anew."""
            packed = self.destination.pack(ODD[:2])
            for _ in range(2):
                self.successResultOf(self.destination.send(packed))
            self.send(ODD[:2])
            self.assertEqual([one.name for one in self.harness.arrived()], ["log-1", "log-2"] * 3)

        def test_refused(self) -> None:
            """Nothing has arrived, and the reason is told."""
            self.harness.behave("refusing")
            outcome = self.send(ODD)
            assert isinstance(outcome, Refused)
            self.assertTrue(outcome.text)
            self.assertEqual(self.harness.arrived(), [])

        def test_partly(self) -> None:
            """Told with the number."""
            self.harness.behave("partly")
            outcome = self.send(ODD)
            assert isinstance(outcome, Delivered)
            self.assertEqual(outcome.rejected, 1)

        def test_later(self) -> None:
            """Busy or away; with the time that the other side asks for."""
            for how, seconds in (("busy", 7.0), ("away", 0.0)):
                self.harness.behave(how)
                outcome = self.send(ODD)
                assert isinstance(outcome, Later)
                self.assertEqual(outcome.seconds, seconds)
                self.assertTrue(outcome.text)
            self.harness.behave("well")
            self.assertEqual(self.send(ODD), Delivered())

        def test_given_up(self) -> None:
            """Is told at once, as one that is to be sent again."""
            self.harness.behave("silent")
            sending: Deferred[Outcome] = self.destination.send(self.destination.pack(ODD))
            self.assertNoResult(sending)
            sending.cancel()
            self.assertIsInstance(self.successResultOf(sending), Later)

        def test_closed(self) -> None:
            """At the end."""
            self.successResultOf(self.destination.close())

    return DestinationTests
