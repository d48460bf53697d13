"""A lane for tests, whose calls run when the test says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

T = TypeVar("T")


class SteppedLane:
    """See the module; ``pauses``: for how long calls have given way."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._calls: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()
        self._calls.append((call, done))
        return done

    def give_way(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def close(self) -> None:
        assert not self._calls

    def step(self) -> bool:
        """Run the oldest call, if there is one."""
        if not self._calls:
            return False
        call, done = self._calls.popleft()
        try:
            result = call()
        except Exception:
            done.errback()
        else:
            done.callback(result)
        return True
