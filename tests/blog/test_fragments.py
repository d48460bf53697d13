"""Tests of `scalekit.blog.fragments`: the conversations between readers, writers, the cache and the database."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.blog.fragments import Fragment, Fragments
from tests.blog.fakes import FakeCache


class FragmentsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cache = FakeCache()
        self.truth = 1  # what the database holds
        self.reads: list[Deferred[None]] = []
        self.is_held = False
        self.fragments = self.server()

    def server(self) -> Fragments:
        return self.cache.fragments(self.clock)

    async def build(self) -> Fragment:
        """Read the truth, then take the time to make a piece of it."""
        truth = self.truth
        if self.is_held:
            hold: Deferred[None] = Deferred()
            self.reads.append(hold)
            await hold
        return Fragment("Title", f"<p>{truth}")

    def get(self, server: Fragments | None = None) -> Deferred[tuple[Fragment, bool]]:
        return Deferred.fromCoroutine((server or self.fragments).get("/", "posts", self.build))

    def seen(self, server: Fragments | None = None) -> tuple[str, bool]:
        return self.shown(self.get(server))

    def shown(self, reader: Deferred[tuple[Fragment, bool]]) -> tuple[str, bool]:
        fragment, is_cached = self.successResultOf(reader)
        return fragment.html, is_cached

    def write(self, server: Fragments | None = None) -> Deferred[bool]:
        self.truth += 1
        return Deferred.fromCoroutine((server or self.fragments).invalidate(["posts"]))

    def test_made_once_then_remembered_for_a_day(self) -> None:
        self.assertEqual(self.seen(), ("<p>1", False))
        self.assertEqual(self.seen(), ("<p>1", True))
        self.assertEqual(self.cache.told, ["look /", "put / 86400 posts", "look /"])

    def test_an_update_is_seen_at_once_by_every_server(self) -> None:
        other = self.server()
        self.seen()
        self.assertTrue(self.successResultOf(self.write()))
        self.assertEqual(self.seen(other), ("<p>2", False))
        self.assertEqual(self.seen(), ("<p>2", True))

    def test_the_writer_waits_for_the_cache(self) -> None:
        self.cache.is_held = True
        written = self.write()
        self.assertNoResult(written)
        self.cache.held.pop()()
        self.assertTrue(self.successResultOf(written))

    def test_one_makes_it_and_the_others_wait_in_every_server(self) -> None:
        self.is_held = True
        readers = [self.get(server) for server in (self.fragments, self.server(), self.fragments)]
        self.assertEqual(len(self.reads), 1)
        self.reads.pop().callback(None)
        self.assertEqual([self.shown(reader) for reader in readers], [("<p>1", False), ("<p>1", True), ("<p>1", True)])

    def test_when_the_reader_for_whom_it_is_made_leaves_the_next_one_makes_it(self) -> None:
        self.is_held = True
        first, second = self.get(), self.get()
        first.addErrback(lambda _: None)
        first.cancel()
        self.assertEqual(len(self.reads), 2)
        self.reads.pop().callback(None)
        self.assertEqual(self.shown(second), ("<p>1", False))

    def test_a_failure_is_the_maker_s_and_the_next_one_tries(self) -> None:
        self.is_held = True
        first, second = self.get(), self.get()
        self.reads.pop().errback(ValueError("no database"))
        self.failureResultOf(first, ValueError)
        self.reads.pop().callback(None)
        self.assertEqual(self.shown(second), ("<p>1", False))

    def test_a_fill_that_began_before_an_invalidation_is_not_stored(self) -> None:
        """Whichever server it is in; who waited for it makes the piece anew."""
        for is_same in (True, False):
            self.setUp()
            self.is_held = True
            early = self.get(self.fragments if is_same else self.server())
            waiting = self.get()
            self.successResultOf(self.write())
            self.reads.pop().callback(None)
            self.assertEqual(self.shown(early), ("<p>1", False))
            self.assertEqual(self.cache.stored, {})
            self.reads.pop().callback(None)
            self.assertEqual(self.shown(waiting), ("<p>2", False))
            self.assertEqual(self.seen(), ("<p>2", True))

    def test_a_store_that_is_overtaken_by_the_invalidation_is_refused(self) -> None:
        self.cache.is_held = True
        self.seen()
        store = self.cache.held.pop()
        self.cache.is_held = False
        self.successResultOf(self.write())
        store()
        self.assertEqual(self.cache.stored, {})

    def test_what_is_not_ours_in_the_cache_is_made_anew(self) -> None:
        self.cache.put("/", b"\xff garbage", 60, tags=[], lease="")
        self.assertEqual(self.seen(), ("<p>1", False))
        self.assertEqual(self.seen(), ("<p>1", True))

    def test_without_a_cache_everything_is_made_anew(self) -> None:
        self.cache.is_away = True
        for _ in range(2):
            self.assertEqual(self.seen(), ("<p>1", False))

    def test_an_invalidation_that_is_not_confirmed_is_tried_until_it_is(self) -> None:
        self.seen()
        self.cache.is_away = True
        self.assertFalse(self.successResultOf(self.write()))
        self.clock.advance(1)
        self.cache.is_away = False
        self.assertEqual(self.seen(), ("<p>2", False), "the cache is back, and still holds what was")
        self.assertEqual(self.seen(), ("<p>2", False), "nothing is stored before it has forgotten")
        self.clock.advance(1)
        self.assertEqual(self.seen(), ("<p>2", False))
        self.assertEqual(self.seen(), ("<p>2", True))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_the_cache_answers_while_it_is_not_confirmed_is_not_shown(self) -> None:
        self.is_held = True
        self.get()
        waiting = self.get()
        self.cache.is_away = True
        self.assertFalse(self.successResultOf(self.write()))
        self.cache.is_away = False
        self.reads.pop().callback(None)
        self.assertNoResult(waiting)
        self.reads.pop().callback(None)
        self.assertEqual(self.shown(waiting), ("<p>2", False))
        self.fragments.stop()

    def test_stop_tries_no_more(self) -> None:
        self.cache.is_away = True
        self.write()
        self.assertEqual(repr(self.fragments), "<Fragments, 1 invalidations unconfirmed>")
        self.fragments.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
