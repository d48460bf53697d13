from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import Entry, Tag
from scalekit.cache.unswept import Unswept


def entry(key: bytes, purges: int = 0, *tags: Tag) -> Entry:
    return Entry(key, b"", 0.0, 1.0, 1.0, 1.0, 600, 1, tags, purges)


class UnsweptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.unswept = Unswept(4)

    def test_prefixes_are_for_what_came_before(self) -> None:
        self.unswept.add_prefix(b"/a", False, 5, 10.0)
        self.unswept.add_prefix(b"/b", True, 6, 11.0)
        for one, is_gone, softened in (
            (entry(b"/a/1", 4), True, None),
            (entry(b"/a/1", 5), False, None),
            (entry(b"/b/1", 4), False, 11.0),
            (entry(b"/b/1", 6), False, None),
            (entry(b"/c", 4), False, None),
        ):
            self.assertEqual((self.unswept.is_gone(one), self.unswept.softened(one)), (is_gone, softened), one)

    def test_a_prefix_is_done_after_all_shelves_that_begin_after_it(self) -> None:
        self.unswept.add_prefix(b"a", False, 1, 0.0)
        self.assertEqual([self.unswept.next_shelf() for _ in range(2)], [1, 2])
        self.unswept.add_prefix(b"b", False, 2, 0.0)
        self.assertEqual([self.unswept.next_shelf() for _ in range(2)], [3, 0])
        self.assertEqual((self.unswept.next_shelf(), self.unswept.prefixes), (1, 1))
        self.assertEqual([self.unswept.next_shelf() for _ in range(2)], [2, None])
        self.unswept.check()
        self.assertFalse(self.unswept.is_waiting)

    def test_tags(self) -> None:
        soft, hard = Tag(b"t", {b"a"}, softened=3.0), Tag(b"u", {b"a"}, is_gone=True)
        self.unswept.add_tag(soft)
        self.unswept.add_tag(hard)
        self.assertEqual(self.unswept.softened(entry(b"a", 0, soft)), 3.0)
        self.assertTrue(self.unswept.is_gone(entry(b"a", 0, hard)))
        self.assertEqual(repr(self.unswept), "<Unswept 2 tags, 0 prefixes>")
        self.assertIs(self.unswept.next_tag(), soft)
        soft.keys.clear()
        self.assertIs(self.unswept.next_tag(), hard)
        self.assertEqual(self.unswept._softened, {})

    def test_a_hard_purge_is_for_what_a_soft_one_left(self) -> None:
        soft, other = Tag(b"t", {b"a"}, softened=3.0), Tag(b"u", {b"a"}, softened=3.0)
        self.unswept.add_tag(soft)
        self.unswept.add_tag(other)
        self.unswept.condemn(b"t")
        self.assertEqual((soft.is_gone, other.is_gone), (True, False))
