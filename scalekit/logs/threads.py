"""
Where calls run that may wait for the disk: off the reactor's thread, one after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class Lane(Protocol):
    """Runs calls one after the other."""

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        """What the call returns or raises, in the reactor's thread."""

    def give_way(self, seconds: float) -> None:
        """For a call that takes long, between its steps: let others have the interpreter for so long."""

    def close(self) -> None:
        """Nothing runs any more, and nothing will."""


class ThreadLane:
    """A `Lane` with a thread of its own, which starts with the first call (so never before a daemon's fork)."""

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name=name)
        self._closing = threading.Event()

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, call)

    def give_way(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def close(self) -> None:
        self._closing.set()
        if self._pool.started:
            self._pool.stop()


class DirectLane:
    """A `Lane` without a thread: for tests, and where waiting is all right."""

    def run(self, call: Callable[[], T]) -> Deferred[T]:
        return maybeDeferred(call)

    def give_way(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass
