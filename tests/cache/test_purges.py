from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache import purges
from scalekit.cache.purges import Kind, Purges, Verdict


class PurgesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.purges = Purges()

    def note(self, kind: Kind, name: bytes, is_soft: bool = False) -> int:
        return self.purges.note(kind, name, is_soft, True)

    def test_numbered(self) -> None:
        self.assertEqual([self.note(Kind.KEY, b"a"), self.note(Kind.TAG, b"t")], [1, 2])
        self.assertEqual(self.purges.number, 2)

    def test_by_what_they_name(self) -> None:
        self.note(Kind.KEY, b"a")
        self.note(Kind.TAG, b"t")
        self.note(Kind.PREFIX, b"/x")
        for key, tags, verdict in (
            (b"a", (), Verdict.GONE),
            (b"b", (), Verdict.KEPT),
            (b"b", (b"t",), Verdict.GONE),
            (b"t", (b"a",), Verdict.KEPT),
            (b"/x/1", (), Verdict.GONE),
            (b"a/x", (), Verdict.KEPT),
        ):
            self.assertIs(self.purges.verdict(key, tags, 0), verdict, (key, tags))

    def test_only_those_that_came_since(self) -> None:
        self.note(Kind.KEY, b"a")
        self.assertIs(self.purges.verdict(b"a", (), 1), Verdict.KEPT)
        self.note(Kind.KEY, b"b")
        self.assertIs(self.purges.verdict(b"a", (), 1), Verdict.KEPT)

    def test_the_worst_counts(self) -> None:
        self.note(Kind.KEY, b"a", is_soft=True)
        self.assertIs(self.purges.verdict(b"a", (), 0), Verdict.STALE)
        self.note(Kind.KEY, b"a")
        self.note(Kind.KEY, b"a", is_soft=True)
        self.assertIs(self.purges.verdict(b"a", (), 0), Verdict.GONE)
        self.assertIs(self.purges.verdict(b"a", (), 2), Verdict.STALE)

    def test_forgotten(self) -> None:
        self.note(Kind.KEY, b"a")
        self.note(Kind.KEY, b"b")
        self.note(Kind.KEY, b"a")
        self.purges.forget(2)
        self.assertEqual(repr(self.purges), "<Purges up to 3, 1 remembered>")
        self.assertIs(self.purges.verdict(b"a", (), 2), Verdict.GONE)
        self.purges.forget(3)
        self.assertEqual((len(self.purges), self.purges._latest), (0, ({}, {}, {})))

    def test_those_without_a_fill_are_only_counted(self) -> None:
        self.assertEqual(self.purges.note(Kind.KEY, b"a", False, False), 1)
        self.assertEqual(len(self.purges), 0)

    def test_too_many_to_remember(self) -> None:
        """Then what began before those that are forgotten counts as purged."""
        self.patch(purges, "MOST_REMEMBERED", 3)
        for number in range(5):
            self.note(Kind.KEY, b"%d" % number)
        self.assertEqual(len(self.purges), 3)
        self.assertIs(self.purges.verdict(b"other", (), 1), Verdict.GONE)
        self.assertIs(self.purges.verdict(b"other", (), 2), Verdict.KEPT)
