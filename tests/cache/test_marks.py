from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.marks import MARK_SECONDS, MOST_MARKS, Marks


class MarksTests(SynchronousTestCase):
    def test_for_so_long(self) -> None:
        marks = Marks()
        marks.add(b"a", 0)
        marks.add(b"b", 1)
        marks.add(b"a", 2)
        self.assertTrue(marks.has(b"a", MARK_SECONDS + 1))
        self.assertFalse(marks.has(b"b", MARK_SECONDS + 1))
        marks.remove(b"a")
        marks.remove(b"a")
        self.assertFalse(marks.has(b"a", 3))
        marks.add(b"c", 3)
        marks.expire(3 + MARK_SECONDS)
        self.assertEqual(repr(marks), "<Marks 0>")

    def test_so_many(self) -> None:
        marks = Marks()
        for number in range(MOST_MARKS + 1):
            marks.add(b"%d" % number, 0)
        self.assertEqual((len(marks), marks.has(b"0", 0), marks.has(b"1", 0)), (MOST_MARKS, False, True))
