from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import Entry
from scalekit.cache.tags import Tags


class TagsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tags = Tags()

    def entry(self, key: bytes, *names: bytes) -> Entry:
        return Entry(key, b"", 0.0, 1.0, 1.0, 1.0, 600, 1, self.tags.bear(key, names))

    def test_both_sides(self) -> None:
        one, two = self.entry(b"1", b"a", b"b", b"a"), self.entry(b"2", b"b")
        self.assertEqual([tag.name for tag in one.tags], [b"a", b"b"])
        self.assertIs(one.tags[1], two.tags[0])
        self.assertEqual(two.tags[0].keys, {b"1", b"2"})

    def test_no_row_without_an_entry(self) -> None:
        one, two = self.entry(b"1", b"a", b"b"), self.entry(b"2", b"b")
        self.assertEqual(len(self.tags), 2)
        self.tags.leave(one)
        self.assertEqual((len(self.tags), self.tags.get(b"a")), (1, None))
        self.tags.leave(two)
        self.assertEqual(repr(self.tags), "<Tags 0>")

    def test_taken_as_a_whole(self) -> None:
        old = self.entry(b"1", b"a")
        taken = self.tags.take(b"a")
        self.assertIs(taken, old.tags[0])
        self.assertIs(self.tags.take(b"a"), None)
        new = self.entry(b"1", b"a")
        self.tags.leave(old)
        self.assertEqual((len(self.tags), new.tags[0].keys), (1, {b"1"}))

    def test_repr(self) -> None:
        tag = self.entry(b"1", b"a").tags[0]
        self.assertEqual(repr(tag), "<Tag b'a' of 1 entries>")
        tag.softened = 2.5
        self.assertEqual(repr(tag), "<Tag b'a' of 1 entries, stale since 2.5>")
        tag.is_gone = True
        self.assertEqual(repr(tag), "<Tag b'a' of 1 entries, gone>")
