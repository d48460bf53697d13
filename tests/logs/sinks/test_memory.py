"""`MemoryDestination` is a destination."""

from __future__ import annotations

from scalekit.logs.sinks.memory import MemoryDestination, Named
from scalekit.logs.sinks.outcomes import Delivered, Later, Outcome, Refused
from tests.logs.sinks.conformance import Arrived, destination_tests


class MemoryHarness:
    def __init__(self) -> None:
        self.destination = MemoryDestination()

    def arrived(self) -> list[Arrived]:
        return [Arrived.of(name, one) for name, one in self.destination.arrived]

    def behave(self, how: str) -> None:
        outcomes: dict[str, Outcome | None] = {
            "well": Delivered(),
            "refusing": Refused("odd"),
            "partly": Delivered(1, "odd"),
            "busy": Later("busy", 7.0),
            "away": Later("away"),
            "silent": None,
        }

        def answer(batch: Named) -> Outcome | None:
            return outcomes[how]

        self.destination.answer = answer


class MemoryDestinationTests(destination_tests(MemoryHarness)):  # type: ignore[misc]
    """`MemoryDestination`."""
