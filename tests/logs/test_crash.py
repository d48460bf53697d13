"""
The promises under power loss: a simulation that may crash between, in and after any two steps of the disk.

What was not synced is there or not, sector by sector, and the last sector may be torn.  Whatever happens: the log
starts; every acknowledged entry is in the volumes once; each of them is sorted, its text says the same as its truth;
and what came within the delay is not late, however slow the disk was and however often it crashed.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs import sealing, volumes
from scalekit.logs.batches import parse_batch_name
from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.journal import Unavailable
from scalekit.logs.memory import MemoryDirectory, PowerLoss
from scalekit.logs.output import CHECKPOINTS
from scalekit.logs.reading import LogReader, Volume
from scalekit.logs.records import parse_record
from scalekit.logs.settings import Settings
from tests.logs.lanes import SteppedLane

SECOND = 1_000_000_000
parts = st.sampled_from([0.0, 0.3, 0.7, 1.0])
seeds = st.integers(0, 1 << 32)


class LogMachine(RuleBasedStateMachine):
    """Appends, ticks, disk steps, disk errors, power losses and restarts, in any order."""

    is_compressed = False

    def __init__(self) -> None:
        super().__init__()
        self.directory = MemoryDirectory()
        self.now = 1_700_000_000.0
        self.sent: dict[int, int] = {}  # number -> time
        self.timely: set[int] = set()
        self.acknowledged: set[int] = set()
        self.batch = 0
        self.batched: list[Entry] = []  # of the batch that is not acknowledged
        self.last_batch: tuple[int, list[Entry]] | None = None  # that is
        self.start()

    def start(self) -> None:
        """A daemon on what the disk holds."""
        self.clock = Clock()
        self.clock.advance(self.now)
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        self.collector = Collector(
            lambda: self.directory,
            self.clock,
            self.lanes,
            Settings(segment_bytes=600, journal_bytes=600, grace_seconds=3, is_compressed=self.is_compressed),
        )
        self.collector.startService()

    def entries(self, offsets: list[int]) -> list[Entry]:
        """New ones whose times are these milliseconds from now."""
        result = []
        for offset in offsets:
            number = len(self.sent)
            self.sent[number] = int(self.clock.seconds() * SECOND) + offset * 1_000_000
            result.append(Entry(self.sent[number], "INFO", "source", str(number)))
        return result

    @rule(offsets=st.lists(st.integers(-5000, 5000), min_size=1, max_size=3))
    def append(self, offsets: list[int]) -> None:
        """Send a batch."""
        entries = self.entries(offsets)
        limit = int((self.clock.seconds() - 2) * SECOND)

        def acknowledge(_: bool) -> None:
            self.acknowledged.update(int(entry.message) for entry in entries)
            self.timely.update(int(entry.message) for entry in entries if (entry.time or 0) > limit)

        # A refusal promises nothing: the entries may be there or not.
        self.collector.append(entries).addCallbacks(acknowledge, lambda failure: failure.trap(Unavailable) and None)

    @rule(offsets=st.lists(st.integers(-5000, 5000), min_size=1, max_size=2))
    def append_exactly_once(self, offsets: list[int]) -> None:
        """Send the client's next batch, or the last one again if it was not acknowledged."""
        if not self.batched:
            self.batch += 1
            self.batched = self.entries(offsets)
        entries, name = self.batched, parse_batch_name(f"client/{self.batch}")

        def acknowledge(_: bool) -> None:
            self.acknowledged.update(int(entry.message) for entry in entries)
            if self.batched is entries:
                self.batched = []
                self.last_batch = (self.batch, entries)

        under_way = self.collector.append(entries, name)
        under_way.addCallbacks(acknowledge, lambda failure: failure.trap(Unavailable, ClientFault) and None)

    @rule()
    def repeat_batch(self) -> None:
        """Send a batch again that was acknowledged."""
        if self.last_batch is not None:
            number, entries = self.last_batch
            repeated = self.collector.append(entries, parse_batch_name(f"client/{number}"))
            repeated.addCallbacks(self.is_not_written, lambda failure: failure.trap(Unavailable, ClientFault) and None)

    def is_not_written(self, is_written: bool) -> None:
        """The answer to a repeat."""
        assert not is_written

    @rule(part=parts, steps=st.integers(0, 1), seed=seeds)
    def tear(self, part: float, steps: int, seed: int) -> None:
        """Lose power while an entry is written to the journal."""
        self.append([0])
        self.directory.fail_after(steps, part)
        with contextlib.suppress(PowerLoss):
            while self.lanes[0].step():
                pass
        self.crash(seed)

    @rule(milliseconds=st.sampled_from([1, 500, 2000, 5000, 3_600_000]))
    def pass_time(self, milliseconds: int) -> None:
        """Let time pass, which may begin a flush, a new volume, a seal."""
        self.clock.advance(milliseconds / 1000)
        self.now = self.clock.seconds()

    @rule(lane=st.integers(0, 2))
    def work(self, lane: int) -> None:
        """Let a thread do its next piece."""
        self.lanes[lane].step()

    @rule(lane=st.integers(0, 2), steps=st.integers(0, 6), part=parts, trouble=st.integers(-1, 3), seed=seeds)
    def work_in_trouble(self, lane: int, steps: int, part: float, trouble: int, seed: int) -> None:
        """Let a thread work while some steps of the disk fail, or (-1) the power does."""
        error = PowerLoss() if trouble < 0 else OSError(errno.ENOSPC, "No space left on device")
        self.directory.fail_after(steps, part, error, times=trouble)
        with contextlib.suppress(PowerLoss):
            while self.lanes[lane].step():
                pass
        if trouble < 0:
            self.crash(seed)
        else:
            self.directory.fail_after(0, error=error, times=0)

    @rule(seed=seeds, steps=st.integers(0, 3), part=parts)
    def lose_power_twice(self, seed: int, steps: int, part: float) -> None:
        """Lose power now, and again while starting."""
        self.directory = self.directory.survive(Random(seed).random)
        self.directory.fail_after(steps, part)
        with contextlib.suppress(PowerLoss):
            self.start()
        self.crash(seed + 1)

    @rule(seed=seeds, which=st.sampled_from([CHECKPOINTS[:1], CHECKPOINTS[1:], CHECKPOINTS]))
    def lose_checkpoints(self, seed: int, which: tuple[str, ...]) -> None:
        """Lose power, and the checkpoints too."""
        self.directory = self.directory.survive(Random(seed).random)
        for name in which:
            self.directory.replace(name, b"damaged")
        self.start()

    def crash(self, seed: int) -> None:
        """The power was lost: start again on what is left."""
        self.directory = self.directory.survive(Random(seed).random)
        self.start()

    @rule()
    def restart(self) -> None:
        """SIGTERM, a look at the files, and a new start."""
        self.stop()
        self.start()

    def work_all(self) -> None:
        """Let all threads do all they have to, with a disk that works again."""
        self.directory.fail_after(0, error=OSError(), times=0)
        while any(lane.step() for lane in self.lanes):
            pass

    def stop(self) -> None:
        """SIGTERM, and a look at the files."""
        self.directory.fail_after(0, error=OSError(), times=0)
        stopped = self.collector.stopService()
        self.work_all()
        assert stopped.called
        self.check(is_all_due=False)

    def teardown(self) -> None:
        """At the end of every run."""
        for _ in range(3):
            self.work_all()
            self.clock.advance(4)
        self.work_all()
        stopped = self.collector.stopService()
        self.work_all()
        assert stopped.called
        self.check(is_all_due=True)

    def truth(self, reader: LogReader, volume: Volume, *, is_late: bool = False) -> list[int]:
        """The numbers in a volume; the sorted ones are sorted."""
        lines = list(reader.lines(volume, is_late=is_late))
        records = [record for _, line in lines if (record := parse_record(line))]
        assert len(records) == len(lines), f"damaged lines in {volume}"
        keys = [(record.time, record.Sequence) for record in records]
        assert is_late or keys == sorted(keys), f"not in order: {keys}"
        if volume.is_sealed and not is_late:
            numbers = [record.Sequence for record in records]
            assert (volume.entries, volume.first_sequence, volume.last_sequence) == (
                len(numbers),
                min(numbers),
                max(numbers),
            )
            assert (volume.first_time, volume.last_time) == (keys[0][0], keys[-1][0])
        for position, line in lines[-2:]:
            assert next(reader.lines(volume, position, is_late=is_late)) == (position, line)
        return [int(record.Message) for record in records]

    def text(self, name: str) -> list[int]:
        """The numbers in a text file."""
        data = self.directory.read(name)
        data = gzip.decompress(data) if name.endswith(".gz") else data
        return [int(line.split(";", 3)[3]) for line in data.decode().splitlines()]

    def check(self, *, is_all_due: bool) -> None:
        """The promises."""
        output = self.collector._output
        closing = output.checkpoint.closing
        reader = LogReader(self.directory, lambda: output.checkpoint, list)
        found: list[int] = []
        for volume in reader.volumes():
            numbers = self.truth(reader, volume)
            late = self.truth(reader, volume, is_late=True)
            if volume.is_sealed:
                assert volume.manifest is not None
                ending = ".gz" if volume.manifest.blocks else ""
                assert self.text(f"{volume.manifest.name}.txt{ending}") == numbers
            elif closing is not None and volume.number == closing.extent.number:
                assert (self.text(f"{closing.name}.txt"), self.text(f"{closing.name}.txt.late")) == (numbers, late)
            else:
                text = self.text("log.txt")
                rest = text[len(numbers) :]  # what was not due at the stop
                assert (text[: len(numbers)], self.text("log.txt.late")) == (numbers, late)
                times = [self.sent[number] for number in text]
                assert times == sorted(times), f"not in order: {text}"
                assert not (is_all_due and rest)
                numbers = text
            assert not self.timely & set(late), f"late without cause: {self.timely & set(late)}"
            found += numbers + late
        assert len(found) == len(set(found)), f"twice: {sorted(found)}"
        assert self.acknowledged <= set(found), f"lost: {self.acknowledged - set(found)}"
        assert not any(name.startswith("open-") for name in self.directory.names() if not self.is_known(name, reader))

    def is_known(self, name: str, reader: LogReader) -> bool:
        """Whether a file is of a volume that is not sealed."""
        return any(name.startswith(f"open-{volume.number:08d}") for volume in reader.volumes() if not volume.is_sealed)


class CompressedLogMachine(LogMachine):
    """The same, with sealed volumes compressed."""

    is_compressed = True


class CrashTests(SynchronousTestCase):
    """`LogMachine`."""

    def setUp(self) -> None:
        self.patch(volumes, "VOLUME_BYTES", 1000)
        self.patch(volumes, "LATE_BYTES", 500)
        self.patch(sealing, "BLOCK_BYTES", 300)

    def test_promises_hold(self) -> None:
        """In some hundred schedules of up to fifty steps."""
        self.run_machine(LogMachine, 150)

    def test_promises_hold_compressed(self) -> None:
        """Likewise."""
        self.run_machine(CompressedLogMachine, 40)

    def run_machine(self, machine: type[LogMachine], examples: int) -> None:
        """Run it that often."""
        run_state_machine_as_test(
            machine, settings=settings(max_examples=examples, stateful_step_count=50, deadline=None)
        )
