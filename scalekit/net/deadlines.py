"""
Every wait of every connection, in one coarse wheel.

Per request a deadline costs two attribute stores and a comparison, no ``callLater``: an item lies in the slot of the
earliest deadline it was armed with; when that slot comes and the deadline has moved on meanwhile, the item is put into
its new slot.  Deadlines fire late by up to two ticks, never early; later when many pass at once, since a few of them
are treated in one turn of the reactor: by `MOST_TURNS` turns at most, however many they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: Four times a second: a deadline of 10 s is kept within 5 %, and an idle process wakes up rarely enough.
TICK_SECONDS = 0.25

#: How many pass in one turn.  A request that has hung costs a tenth of a millisecond when it is answered with 504, and
#: everybody waits meanwhile: of a hundred a second, 25 in each tick, the p99 of all others was 2 ms instead of 0.7 with
#: eight in a turn.  A turn by itself costs a fifth of that.
AT_ONCE = 2

#: In so many turns all are through that pass at once; of over 128, more than two in a turn.  A turn of a busy process
#: takes some milliseconds, so this is about a tick, and the hundred a second of above are still spread.  Two in a turn
#: of ten thousand would be 5,000 turns: late by half a minute, and in no time that is known.
MOST_TURNS = 64

_FAR = float("inf")
_log = Logger()


class Deadlined(Protocol):
    """What the wheel holds: set ``deadline = scheduled = FAR`` at first and leave both to the wheel."""

    deadline: float
    scheduled: float

    def deadline_passed(self) -> None:
        """The armed time is over."""


FAR = _FAR


class Wheel:
    """
    The deadlines of a process, on its clock.

    :ivar now: the clock's seconds at the last tick; at most one tick old.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.now = clock.seconds()
        # A slot is a dictionary for its order and for taking items out; an item lies in one slot at most.
        self._slots: dict[int, dict[Deadlined, None]] = {}
        self._next_slot = int(self.now / TICK_SECONDS)
        self._each_tick: list[Callable[[], None]] = []
        self._at_next_tick: list[Callable[[], None]] = []
        #: Those that have passed, and are still to be told; how many in a turn; and the next turn.
        self._due: deque[Deadlined] = deque()
        self._at_once = AT_ONCE
        self._next_turn: IDelayedCall | None = None
        self._loop = LoopingCall(self.tick)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to tick; does nothing if it ticks already."""
        if not self._loop.running:
            # What is armed before the first tick must not count from when the wheel was made, or stopped.
            self.now = self._clock.seconds()
            self._loop.start(TICK_SECONDS, now=False)

    def stop(self) -> None:
        """Tick no more."""
        if self._loop.running:
            self._loop.stop()
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def every_tick(self, callback: Callable[[], None]) -> None:
        """Call this too, every tick."""
        self._each_tick.append(callback)

    def at_next_tick(self, callback: Callable[[], None]) -> None:
        """Call this once, at the next tick."""
        self._at_next_tick.append(callback)

    def arm(self, item: Deadlined, seconds: float) -> None:
        """Let ``item.deadline_passed`` be called once ``seconds`` are over, instead of what was armed before."""
        # `now` may be a tick old: add one, so that nothing fires early.
        deadline = item.deadline = self.now + seconds + TICK_SECONDS
        if deadline < item.scheduled:
            self._schedule(item, deadline)

    def disarm(self, item: Deadlined) -> None:
        """No deadline until the next `arm`."""
        item.deadline = _FAR

    def forget(self, item: Deadlined) -> None:
        """No deadline any more, and no reference: for the end of the item's life."""
        item.deadline = _FAR
        if item.scheduled < _FAR:
            self._slots.get(_slot(item.scheduled), {}).pop(item, None)
            item.scheduled = _FAR

    def _schedule(self, item: Deadlined, deadline: float) -> None:
        if item.scheduled < _FAR:
            self._slots.get(_slot(item.scheduled), {}).pop(item, None)
        item.scheduled = deadline
        self._slots.setdefault(_slot(deadline), {})[item] = None

    def tick(self) -> None:
        """Look at what is due; never raises."""
        now = self.now = self._clock.seconds()
        once, self._at_next_tick = self._at_next_tick, []
        for callback in (*self._each_tick, *once):
            try:
                callback()
            except Exception:
                _log.failure("{callback!r} failed in a tick", callback=callback)
        last = int(now / TICK_SECONDS)
        while self._next_slot <= last:
            for item in self._slots.pop(self._next_slot, ()):
                if item.deadline <= now:
                    self._due.append(item)
                else:
                    self._move_on(item)
            self._next_slot += 1
        # Not fewer than before, as long as there are some left of those before.
        self._at_once = max(self._at_once, -(-len(self._due) // MOST_TURNS))
        if self._next_turn is None:
            self._pass()

    def _pass(self) -> None:
        """Tell those that have passed, so many of them."""
        self._next_turn = None
        due, now, passed = self._due, self.now, 0
        while due:
            if passed == self._at_once and self._loop.running:
                self._next_turn = self._clock.callLater(0, self._pass)
                return
            item = due.popleft()
            if item.scheduled > now:
                continue  # Somebody has had it forgotten, or armed anew, since its slot came.
            if item.deadline > now:
                self._move_on(item)
                continue
            item.scheduled = item.deadline = _FAR
            passed += 1
            try:
                item.deadline_passed()
            except Exception:
                _log.failure("a deadline's treatment failed: {item!r}", item=item)
        self._at_once = AT_ONCE

    def _move_on(self, item: Deadlined) -> None:
        """Its slot has come, and it has been armed anew since, or disarmed."""
        item.scheduled = _FAR
        if item.deadline < _FAR:
            self._schedule(item, item.deadline)

    def __repr__(self) -> str:
        return f"<Wheel {sum(map(len, self._slots.values())) + len(self._due)} waiting>"


def _slot(deadline: float) -> int:
    """The first tick at which it is over."""
    return int(deadline / TICK_SECONDS) + 1


@dataclass(frozen=True, slots=True)
class Timeouts:
    """
    The hard limits of a listener's connections, in seconds.

    :ivar request_head: for a whole head, from its first byte (nginx 60; ours is an attack's cost).
    :ivar body_grace: a body may be slow for so long; after it, it must have come at ``body_rate`` bytes a second.
    :ivar answer_progress: the client must take some of a waiting answer in this time.
    :ivar idle: between requests (nginx 75, Caddy 300).
    :ivar tunnel_idle: without a byte in either direction of a tunnel (HAProxy's manual proposes an hour).
    """

    request_head: float = 10.0
    body_rate: int = 500
    body_grace: float = 10.0
    answer_progress: float = 60.0
    idle: float = 60.0
    tunnel_idle: float = 3600.0


class Ticking(Service):
    """Starts and stops a wheel with its daemon."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel

    def startService(self) -> None:
        super().startService()
        self._wheel.start()

    def stopService(self) -> None:
        self._wheel.stop()
        super().stopService()
