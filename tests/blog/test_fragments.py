"""Tests of `scalekit.blog.fragments`: the conversations between readers, writers, the cache and the database."""

from __future__ import annotations

from typing import Any

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
        async def is_current(path: str, etag: str) -> bool:
            return etag == str(self.truth)

        return Fragments(self.cache, self.clock, is_current)

    async def build(self) -> Fragment:
        """Read the truth, then take the time to make a piece of it."""
        truth = self.truth
        if self.is_held:
            hold: Deferred[None] = Deferred()
            self.reads.append(hold)
            await hold
        return Fragment("Title", f"<p>{truth}", str(truth))

    def get(self, server: Fragments | None = None) -> Deferred[tuple[Fragment, bool]]:
        return Deferred.fromCoroutine((server or self.fragments).get("/", self.build))

    def seen(self, server: Fragments | None = None) -> tuple[str, bool]:
        fragment, is_cached = self.successResultOf(self.get(server))
        return fragment.html, is_cached

    def write(self, server: Fragments | None = None) -> Deferred[bool]:
        self.truth += 1
        return Deferred.fromCoroutine((server or self.fragments).invalidate(["/"]))

    def test_made_once_then_remembered_for_a_day(self) -> None:
        self.assertEqual(self.seen(), ("<p>1", False))
        self.assertEqual(self.seen(), ("<p>1", True))
        self.assertEqual(self.cache.told, ["get /", "put / 86400", "get /"])

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

    def test_one_makes_it_and_the_others_wait(self) -> None:
        self.is_held = True
        readers = [self.get() for _ in range(3)]
        self.assertEqual(len(self.reads), 1)
        self.reads.pop().callback(None)
        self.assertEqual([self.successResultOf(reader)[0].html for reader in readers], ["<p>1"] * 3)

    def test_a_reader_who_leaves_does_not_take_the_work_along(self) -> None:
        self.is_held = True
        first, second = self.get(), self.get()
        first.addErrback(lambda _: None)
        first.cancel()
        self.reads.pop().callback(None)
        self.assertEqual(self.successResultOf(second)[0].html, "<p>1")

    def test_a_failure_is_everybody_s_and_is_not_kept(self) -> None:
        self.is_held = True
        readers = [self.get(), self.get()]
        self.reads.pop().errback(ValueError("no database"))
        for reader in readers:
            self.failureResultOf(reader, ValueError)
        self.is_held = False
        self.assertEqual(self.seen(), ("<p>1", False))

    def test_a_fill_that_began_before_an_invalidation_here_is_not_stored(self) -> None:
        self.is_held = True
        early = self.get()
        self.successResultOf(self.write())
        late = self.get()
        self.assertEqual(len(self.reads), 2, "who comes after the change does not join the fill from before")
        self.reads.pop(0).callback(None)
        self.assertEqual(self.successResultOf(early)[0].html, "<p>1")
        self.assertEqual(self.cache.stored, {})
        self.reads.pop(0).callback(None)
        self.assertEqual(self.successResultOf(late)[0].html, "<p>2")
        self.assertEqual(self.seen(), ("<p>2", True))

    def test_a_fill_in_another_server_that_began_before_is_removed_again(self) -> None:
        other = self.server()
        self.is_held = True
        early = self.get(other)
        self.successResultOf(self.write())
        self.reads.pop().callback(None)
        self.successResultOf(early)
        self.assertEqual(self.cache.stored, {})
        self.is_held = False
        self.assertEqual(self.seen(other), ("<p>2", False))

    def test_a_store_that_is_overtaken_by_the_invalidation_is_removed_again(self) -> None:
        self.cache.is_held = True
        self.seen()
        store = self.cache.held.pop()
        self.cache.is_held = False
        self.successResultOf(self.write())
        store()
        self.assertEqual(self.cache.stored, {})

    def test_what_the_cache_answers_from_before_an_invalidation_is_not_shown(self) -> None:
        self.seen()
        answer: Deferred[bytes | None] = Deferred()
        old = self.cache.stored["/"]
        self.patch(self.cache, "get", lambda key: answer)
        reader = self.get()
        self.successResultOf(self.write())
        answer.callback(old)
        self.assertEqual(self.successResultOf(reader)[0].html, "<p>2")

    def test_what_is_not_ours_in_the_cache_is_a_miss(self) -> None:
        self.cache.stored["/"] = b"\xff garbage"
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

    def test_stop_tries_no_more(self) -> None:
        self.cache.is_away = True
        self.write()
        self.assertEqual(repr(self.fragments), "<Fragments 0 in the making, 1 invalidations unconfirmed>")
        self.fragments.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_store_that_fails_is_logged_and_no_more(self) -> None:
        def put(*arguments: Any) -> Deferred[bool]:
            raise ZeroDivisionError

        self.patch(self.cache, "put", put)
        self.assertEqual(self.seen(), ("<p>1", False))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
