from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.prospects import MOST_PRECEDENTS, Precedents


class PrecedentsTests(SynchronousTestCase):
    def test_by_url_then_by_first_segment(self) -> None:
        precedents = Precedents()
        self.assertFalse(precedents.allow_waiting(b"http://a/posts/1"))
        precedents.note(b"http://a/posts/1", True)
        for key, allowed in (
            (b"http://a/posts/1", True),
            (b"http://a/posts/2/edit?by=/x", True),
            (b"http://a/posts/", True),
            (b"http://a/posts", False),
            (b"http://a/", False),
            (b"http://b/posts/1", False),
            (b"https://a/posts/1", False),
        ):
            self.assertEqual(precedents.allow_waiting(key), allowed, key)
        precedents.note(b"http://a/posts/mine", False)
        self.assertTrue(precedents.allow_waiting(b"http://a/posts/1"))
        self.assertFalse(precedents.allow_waiting(b"http://a/posts/2"))

    def test_at_the_top(self) -> None:
        precedents = Precedents()
        precedents.note(b"http://a/?by=/posts/", True)
        for key, allowed in ((b"http://a/about", True), (b"http://a/posts/1", False), (b"http://a/?x", True)):
            self.assertEqual(precedents.allow_waiting(key), allowed, key)

    def test_so_many(self) -> None:
        precedents = Precedents()
        for number in range(MOST_PRECEDENTS):
            precedents.note(b"http://a/%d" % number, True)
        self.assertEqual(repr(precedents), f"<Precedents {MOST_PRECEDENTS}>")
        precedents.note(b"http://b/", False)
        self.assertFalse(precedents.allow_waiting(b"http://b/0"))
        self.assertTrue(precedents.allow_waiting(b"http://a/0"))  # by the others
