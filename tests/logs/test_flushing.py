"""What is due is written, one release after the other; see test_collector.py for all of it together."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import flushing as flushing_module
from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.counts import Counts
from scalekit.logs.entry import Entry
from scalekit.logs.flushing import BRISK_SECONDS, LEISURE_SECONDS, Flushing
from scalekit.logs.frames import make_frame
from scalekit.logs.journal import Journal
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.order import Chunk, ReorderBuffer, effective_times
from scalekit.logs.output import Output
from scalekit.logs.room import Room
from scalekit.logs.settings import DEFAULTS
from scalekit.logs.threads import DirectLane
from scalekit.logs.volumes import LOG
from tests.logs.lanes import SteppedLane

T = 1_700_000_000_000_000_000


class FlushingTests(SynchronousTestCase):
    def test_one_after_the_other(self) -> None:
        """While one runs none begins; what came meanwhile is for the next."""
        directory, lane, buffer, counts = MemoryDirectory(), SteppedLane(), ReorderBuffer(10), Counts()
        journal = Journal(directory, DirectLane(), Clock())
        now = T
        output, room = Output(directory, Checkpoint()), Room(DEFAULTS)
        flushing = Flushing(directory, lane, journal, buffer, output, counts, room, (), 0, lambda: 2, lambda: now)
        self.assertEqual(repr(flushing), "<Flushing, idle>")
        for number in (1, 2):
            frame = make_frame(number, T, [Entry(T + number, "INFO", "s", str(number))])
            buffer.add(Chunk(frame, effective_times(frame.said, T)))
            now = T + number + 10
            flushing.begin()
            self.assertEqual((repr(flushing), len(buffer)), ("<Flushing, at it>", number - 1))
        self.assertEqual([span.chunk.first for span in flushing.writing.on_time], [1])
        lane.step()
        self.assertIsNone(flushing.under_way)
        flushing.begin()
        lane.step()
        self.assertEqual([line[-1:] for line in directory.read(LOG).splitlines()], [b"1", b"2"])
        self.assertEqual(set(lane.pauses), {LEISURE_SECONDS})
        self.assertEqual((counts.flushes, counts.written, output.checkpoint.sequence), (2, 2, 2))

    def test_the_more_waits_the_less_it_gives_way(self) -> None:
        """A start, which may have replayed it; much, more than one flush can take, the end, and what is pressing."""
        directory, lane, buffer = MemoryDirectory(), SteppedLane(), ReorderBuffer(10)
        journal, output = Journal(directory, DirectLane(), Clock()), Output(directory, Checkpoint())
        now = T
        flushing = Flushing(
            directory, lane, journal, buffer, output, Counts(), Room(DEFAULTS), (), 0, lambda: 9, lambda: now
        )
        for number, hurry, limit, is_ending, expected in (
            (0, 1000, 1 << 20, False, set()),
            (1, 1000, 1 << 20, False, {BRISK_SECONDS}),
            (2, 1000, 1, False, set()),
            (4, 1000, 1 << 20, True, set()),
            (6, 1, 1 << 20, False, set()),
        ):
            self.patch(flushing_module, "HURRY_BYTES", hurry)
            self.patch(flushing_module, "FLUSH_BYTES", limit)
            flushing.is_ending = is_ending
            for each in (number, number + 1):
                time = T + 1000 * number + each
                frame = make_frame(3 * each, time, [Entry(time, "INFO", "s", str(each))])
                buffer.add(Chunk(frame, effective_times(frame.said, time)))
            now = T + 1000 * number + 500
            flushing.begin()
            lane.pauses.clear()
            lane.step()
            self.assertEqual((set(lane.pauses), flushing.has_failed), (expected, False))
            while lane.step():
                pass
