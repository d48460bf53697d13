"""Batches that are written exactly once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs import batches
from scalekit.logs.batches import FORGET_NANOSECONDS, BatchName, BatchTable, parse_batch_name
from scalekit.logs.entry import Entry
from scalekit.logs.frames import Frame, first_number, make_frame, scan

NOW = 1_700_000_000_000_000_000


def frame(client: str, number: int, received: int = NOW) -> Frame:
    """The frame of a batch."""
    return make_frame(1, received, [Entry(NOW, "INFO", "s", "m")], *parse_batch_name(f"{client}/{number}"))


class BatchTests(SynchronousTestCase):
    """`BatchTable`."""

    def setUp(self) -> None:
        self.table = BatchTable()

    def begin(self, text: str, now: int = NOW) -> bool | str:
        """Whether it is to be written, or the reason of the 409."""
        try:
            return self.table.begin(parse_batch_name(text), now)
        except ClientFault as fault:
            self.assertEqual(fault.status, 409)
            return str(fault.reason)

    def write(self, text: str, now: int = NOW) -> None:
        """Begin and finish one."""
        self.assertIs(self.begin(text, now), True)
        self.table.written(parse_batch_name(text), now)

    def test_the_rule(self) -> None:
        """The next one, a repeat, a gap, one at a time; what was refused may come again."""
        self.write("a/7")  # not known: whichever
        self.assertIs(self.begin("a/8"), True)
        self.assertEqual((self.begin("a/8"), self.begin("a/9")), ("batch-under-way", "batch-under-way"))
        self.table.refused(parse_batch_name("a/8"))
        self.assertEqual((self.begin("a/7"), self.begin("a/1"), self.begin("a/9")), (False, False, "batch-gap"))
        self.write("a/8")
        self.assertIs(self.begin("b/1"), True)
        self.assertEqual(repr(self.table), "<BatchTable 1 clients, 1 batches under way>")

    def test_clients_are_forgotten(self) -> None:
        """After a day, or when there are too many; those heard of last stay."""
        self.write("a/7")
        self.write("a/1", NOW + FORGET_NANOSECONDS + 1)
        self.patch(batches, "CLIENT_LIMIT", 2)
        self.write("b/1")
        self.write("a/2", NOW + FORGET_NANOSECONDS + 2)
        self.write("c/1")
        self.assertEqual(len(self.table), 2)
        self.assertIs(self.begin("b/1"), True)
        self.assertEqual(self.begin("a/2"), False)

    def test_a_start(self) -> None:
        """Finds it in the frames, and in the table that each segment begins with; a repeat does not count."""
        self.write("a/7")
        (table,), damages = scan(self.table.preamble(5, NOW))
        self.assertEqual((damages, first_number(self.table.preamble(5, NOW))), ([], 5))
        later = NOW + FORGET_NANOSECONDS + 1
        self.assertEqual(self.table.preamble(1, later), BatchTable().preamble(1, later))
        self.table = BatchTable()
        self.assertTrue(self.table.replay(make_frame(1, NOW, [])))
        self.assertTrue(self.table.replay(frame("b", 3)))
        self.assertFalse(self.table.replay(frame("b", 3)))
        self.assertFalse(self.table.replay(table))
        self.assertTrue(self.table.replay(frame("a", 8)))
        self.assertFalse(self.table.replay(table))  # of an older segment
        self.assertEqual((self.begin("a/8"), self.begin("b/3"), self.begin("b/5")), (False, False, "batch-gap"))
        self.assertTrue(self.table.replay(frame("b", 1, NOW + FORGET_NANOSECONDS + 1)))
        self.assertFalse(self.table.replay(table._replace(payload=b"\xc1")))

    @given(st.text(max_size=20) | st.from_regex(r"[a-z.]{1,70}/[0-9]{1,20}", fullmatch=True))
    def test_names(self, text: str) -> None:
        """A name or a 400."""
        try:
            name = parse_batch_name(text)
        except ClientFault as fault:
            self.assertEqual(fault.status, 400)
        else:
            self.assertEqual(name, BatchName(name.client, int(text.rpartition("/")[2])))
