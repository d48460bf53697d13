"""
The promises under power loss: a simulation that may crash between, in and after any two steps of the disk.

Whatever happens: every acknowledged entry is in log.txt or log.txt.late, once; log.txt is sorted by the whole
timestamp; and what came within the delay is in log.txt, however slow the disk was and however often it crashed.
"""

from __future__ import annotations

import contextlib
import errno

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory, PowerLoss
from tests.logs.lanes import SteppedLane

SECOND = 1_000_000_000
parts = st.sampled_from([0.0, 0.3, 0.7, 1.0])
garbage = st.sampled_from([b"", bytes(4), bytes(300), b"garbage"])


class LogMachine(RuleBasedStateMachine):
    """Appends, ticks, disk steps, disk errors, power losses and restarts, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = MemoryDirectory()
        self.now = 1_700_000_000.0
        self.sent: dict[int, int] = {}  # number -> time
        self.timely: set[int] = set()
        self.acknowledged: set[int] = set()
        self.start()

    def start(self) -> None:
        """A daemon on what the disk holds."""
        self.clock = Clock()
        self.clock.advance(self.now)
        self.lanes = (SteppedLane(), SteppedLane())
        self.collector = Collector(lambda: self.directory, self.clock, self.lanes, delay_seconds=2, flush_seconds=2)
        self.collector.startService()
        self.collector.journal._segment_bytes = 400

    @rule(offsets=st.lists(st.integers(-5000, 5000), min_size=1, max_size=3))
    def append(self, offsets: list[int]) -> None:
        """Send a batch whose times are these milliseconds from now."""
        now = int(self.clock.seconds() * SECOND)
        entries = []
        numbers = []
        for offset in offsets:
            number = len(self.sent)
            numbers.append(number)
            self.sent[number] = now + offset * 1_000_000
            entries.append(Entry(self.sent[number], "INFO", "source", str(number)))
        timely = {number for number in numbers if self.sent[number] > now - 2 * SECOND}

        def acknowledge(_: None) -> None:
            self.acknowledged.update(numbers)
            self.timely.update(timely)

        # A refusal promises nothing: the entries may be there or not.
        self.collector.append(entries).addCallbacks(acknowledge, lambda failure: None)

    @rule(milliseconds=st.sampled_from([1, 500, 2000, 5000]))
    def pass_time(self, milliseconds: int) -> None:
        """Let time pass, which may begin a flush."""
        self.clock.advance(milliseconds / 1000)
        self.now = self.clock.seconds()

    @rule(lane=st.integers(0, 1))
    def work(self, lane: int) -> None:
        """Let a thread do its next piece."""
        self.lanes[lane].step()

    @rule(
        lane=st.integers(0, 1),
        steps=st.integers(0, 2),
        part=parts,
        trouble=st.integers(-1, 3),
        left=parts,
        junk=garbage,
    )
    def work_in_trouble(self, lane: int, steps: int, part: float, trouble: int, left: float, junk: bytes) -> None:
        """Let a thread work while some steps of the disk fail, or (-1) the power does."""
        error = PowerLoss() if trouble < 0 else OSError(errno.ENOSPC, "No space left on device")
        self.directory.fail_after(steps, part, error, times=trouble)
        with contextlib.suppress(PowerLoss):
            while self.lanes[lane].step():
                pass
        if trouble < 0:
            self.crash(left, junk)
        else:
            self.directory.fail_after(0, error=error, times=0)

    @rule(left=parts, junk=garbage, steps=st.integers(0, 3), part=parts)
    def lose_power_twice(self, left: float, junk: bytes, steps: int, part: float) -> None:
        """Lose power now, and again while starting."""
        self.directory = self.directory.survive(left, junk)
        self.directory.fail_after(steps, part)
        with contextlib.suppress(PowerLoss):
            self.start()
        self.crash(left, junk)

    def crash(self, left: float, junk: bytes) -> None:
        """The power was lost: start again on what is left."""
        self.directory = self.directory.survive(left, junk)
        self.start()

    @rule()
    def restart(self) -> None:
        """SIGTERM, a look at the files, and a new start."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """SIGTERM, with a disk that works again, and a look at the files."""
        self.directory.fail_after(0, error=OSError(), times=0)
        stopped = self.collector.stopService()
        while self.lanes[0].step() or self.lanes[1].step():
            pass
        assert stopped.called
        self.check()

    def teardown(self) -> None:
        """At the end of every run."""
        self.stop()

    def check(self) -> None:
        """The promises."""
        log = [int(line.split(";", 3)[3]) for line in self.directory.read("log.txt").decode().splitlines()]
        late = [int(line.split(";", 3)[3]) for line in self.directory.read("log.txt.late").decode().splitlines()]
        assert len(log + late) == len(set(log + late)), f"twice: {sorted(log + late)}"
        assert self.acknowledged <= set(log + late), f"lost: {self.acknowledged - set(log + late)}"
        assert log == sorted(log, key=lambda number: (self.sent[number], number)), f"not in order: {log}"
        assert self.timely <= set(log), f"late without cause: {self.timely - set(log)}"


class CrashTests(SynchronousTestCase):
    """`LogMachine`."""

    def test_promises_hold(self) -> None:
        """In some hundred schedules of up to fifty steps."""
        run_state_machine_as_test(
            LogMachine, settings=settings(max_examples=300, stateful_step_count=50, deadline=None)
        )
