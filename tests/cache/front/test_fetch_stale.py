"""What is stale or purged while it is fetched, and where it stands in for an answer that does not come."""

from __future__ import annotations

from typing import Any

from scalekit.cache.front.covering import FAILING_SECONDS, RETRY_SECONDS
from scalekit.errors import ClientFault, UpstreamFault
from tests.cache.front.fronted import ETAG, FetchCase

GONE = UpstreamFault(502, "answer-cut", "Cut.")
SWR = b"max-age=10, stale-while-revalidate=30"
SIE = b"max-age=10, stale-if-error=30"


class Stale(FetchCase):
    def test_it_is_refreshed_once_behind(self) -> None:
        self.it.fill(b"/x", b"old", SWR)
        self.it.passes(11)
        clients = self.ask(20)
        self.assertEqual(self.bodies(clients), [b"old"] * 20)
        self.assertEqual(len(self.it.asked), 2)
        self.it.origin.answers(b"new", SWR)
        heard = self.it.get(b"/x")
        self.assertEqual((heard.body, heard.said), (b"new", b"hit; ttl=10"))
        self.assertEqual([client.records[0].cache for client in clients], ["stale"] * 20)
        self.assertEqual(self.it.front.counts["web"].refreshes, 1)
        self.assert_rest()

    def test_a_refresh_that_fails_changes_nothing(self) -> None:
        self.it.fill(b"/x", b"old", SWR)
        self.it.passes(11)
        for code in (500, 0):
            self.assertEqual(self.it.get(b"/x").body, b"old")
            if code:
                self.it.origin.answers(b"wrong", b"", code)
            else:
                self.it.origin.exchange.fail(GONE)
            self.it.passes(RETRY_SECONDS)
        self.assertEqual(self.it.get(b"/x").body, b"old")
        self.assertEqual(len(self.it.asked), 4)

    def test_where_the_origin_fails(self) -> None:
        self.it.fill(b"/x", b"old", SIE)
        self.it.passes(11)
        clients = self.ask(3)
        self.it.origin.exchange.fail(GONE)
        self.assertEqual(self.bodies(clients), [b"old"] * 3)
        self.it.passes(FAILING_SECONDS)
        clients = self.ask(3)
        self.it.origin.answers(b"wrong", b"", 503)
        self.assertEqual(self.bodies(clients), [b"old"] * 3)
        self.it.passes(FAILING_SECONDS)
        clients = self.ask(1)
        self.it.origin.begins(b"", None, 500)
        self.assertEqual(self.bodies(clients), [b"old"])
        self.assertTrue(self.it.origin.is_given_up)
        self.it.passes(40)
        clients = self.ask(1)
        self.it.origin.answers(b"wrong", b"", 503)
        self.assertEqual(self.bodies(clients), [b"wrong"])
        self.assert_rest()

    def test_an_origin_that_fails_is_asked_once_a_second(self) -> None:
        for code in (503, None):
            path = b"/%r" % code
            self.it.fill(path, b"old", SIE)
            self.it.passes(11)
            self.ask(path=path)
            for _ in range(3):
                tries = len(self.it.asked)
                if code is None:
                    self.it.origin.exchange.fail(GONE)
                else:
                    self.it.origin.answers(b"wrong", b"", code)
                self.it.passes(RETRY_SECONDS / 2)
                self.assertEqual(self.bodies(self.ask(20, path=path)), [b"old"] * 20)
                self.assertEqual(len(self.it.asked), tries)
                self.it.passes(RETRY_SECONDS / 2)
                # Nobody waits for the next try.
                clients = self.ask(20, path=path)
                heard = [client.heard() for client in clients]
                self.assertEqual([one.body for one in heard], [b"old"] * 20)
                self.assertIn(b'; detail="origin-failed"', heard[0].said)
                self.assertEqual(len(self.it.asked), tries + 1)
            self.it.origin.answers(b"new")
            self.assertEqual(self.it.get(path).body, b"new")
        self.assert_rest()

    def test_what_nobody_asked_for_since_is_asked_for_at_once(self) -> None:
        self.it.fill(b"/x", b"old", SIE)
        self.it.passes(11)
        self.ask()
        self.it.origin.exchange.fail(GONE)
        self.it.passes(FAILING_SECONDS)
        (client,) = self.ask()
        self.it.origin.answers(b"new")
        self.assertEqual(client.heard().body, b"new")

    def test_whom_nothing_stale_suits_asks_an_origin_that_fails(self) -> None:
        self.it.fill(b"/x", b"old", SIE)
        self.it.passes(11)
        self.ask()
        self.it.origin.exchange.fail(GONE)
        self.ask(1, b"Cache-Control: no-cache")
        self.assertEqual(len(self.it.asked), 3)
        # What is refused to one client says nothing of the origin.
        self.it.fill(b"/y", b"old", SIE)
        self.it.passes(11)
        self.ask(path=b"/y")
        self.it.origin.exchange.fail(ClientFault(429, "too-many", "Too many."))
        before = len(self.it.asked)
        self.ask(path=b"/y")
        self.assertEqual(len(self.it.asked), before + 1)

    def test_a_mistake_of_ours_in_standing_in_leaves_nobody_waiting(self) -> None:
        self.it.fill(b"/x", b"old", SIE)
        answer_with = self.it.front.answer_with

        def mistaken(exchange: Any, *arguments: Any) -> None:
            if exchange.head.get(b"x-odd"):
                raise ValueError("a mistake")
            answer_with(exchange, *arguments)

        self.patch(self.it.front, "answer_with", mistaken)
        self.it.passes(11)
        clients = [*self.ask(2), *self.ask(1, b"X-Odd: 1"), *self.ask(1)]
        self.it.origin.exchange.fail(GONE)
        self.assertEqual([client.heard().status for client in clients], [200, 200, 500, 200])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assert_rest()

    def test_an_error_takes_no_place_of_what_stands_in_for_it(self) -> None:
        self.it.fill(b"/x", b"old", SIE)
        self.it.passes(11)
        clients = self.ask(2)
        self.it.origin.answers(b"wrong", b"max-age=60", 500)
        self.assertEqual(self.bodies(clients), [b"old", b"old"])
        self.it.passes(FAILING_SECONDS)
        (client,) = self.ask()
        self.it.origin.answers(b"new")
        self.assertEqual(client.heard().body, b"new")
        self.assert_rest()

    def test_what_was_good_and_is_no_longer_to_be_kept(self) -> None:
        self.it.fill(b"/x", b"old", b"max-age=10", 200, ETAG)
        self.it.passes(11)
        clients = self.ask(2)
        self.it.asked[1].answers(b"", b"no-store", 304, ETAG)
        heard = clients[0].heard()
        self.assertEqual((heard.status, heard.body), (200, b"old"))
        self.it.asked[2].answers(b"new", b"no-store")
        self.assertEqual(clients[1].heard().body, b"new")
        self.assertEqual(self.it.store.stats().entries, 0)
        self.assert_rest()

    def test_what_only_its_asker_keeps_from_being_stored_stays(self) -> None:
        """A 304 to somebody who is known to the app, or wants nothing stored, takes it from nobody else."""
        for line in (b"Authorization: x", b"Cache-Control: no-store"):
            self.it.fill(b"/x", b"old", b"max-age=10", 200, ETAG)
            self.it.passes(11)
            (client,) = self.ask(1, line)
            self.it.origin.answers(b"", b"max-age=20", 304, ETAG)
            self.assertEqual(client.heard().body, b"old")
            (client,) = self.ask()
            self.assertEqual(self.it.origin.fields[b"if-none-match"], b'"v1"')
            self.it.origin.answers(b"", b"max-age=20", 304, ETAG)
            self.assertEqual(client.heard().body, b"old")
            self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=20")
            self.it.purging.purge([], [], b"", False)

    def test_it_is_still_good(self) -> None:
        self.it.fill(b"/x", b"old", b"max-age=10", 200, ETAG)
        self.it.passes(11)
        clients = self.ask(3)
        self.assertEqual(self.it.origin.fields[b"if-none-match"], b'"v1"')
        self.it.origin.answers(b"", b"max-age=20", 304, ETAG, (b"X-New", b"1"))
        heard = [client.heard() for client in clients]
        self.assertEqual([one.body for one in heard], [b"old"] * 3)
        self.assertIn(b"X-New: 1\r\n", heard[0].head)
        self.assertEqual([client.records[0].cache for client in clients], ["revalidated", "collapsed", "collapsed"])
        self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=20")
        self.assertEqual(len(self.it.asked), 2)
        self.assert_rest()

    def test_a_304_about_nothing_that_is_here(self) -> None:
        self.it.fill(b"/x", b"old", b"max-age=10", 200, ETAG)
        self.it.passes(11)
        clients = self.ask(2)
        self.it.origin.answers(b"", b"max-age=20", 304, (b"ETag", b'"other"'))
        self.assertEqual(len(self.it.asked), 3)
        self.assertNotIn(b"if-none-match", self.it.origin.fields)
        self.it.origin.answers(b"new")
        self.assertEqual(self.bodies(clients), [b"new"] * 2)
        self.assert_rest()

    def test_what_is_always_to_be_validated_is_not_waited_for(self) -> None:
        clients = self.ask(3)
        self.it.origin.answers(b"one", b"no-cache", 200, ETAG)
        self.assertEqual(len(self.it.asked), 3)
        for asked in self.it.asked[1:]:
            self.assertEqual(asked.fields[b"if-none-match"], b'"v1"')
            asked.answers(b"", b"no-cache", 304, ETAG)
        self.assertEqual(self.bodies(clients), [b"one"] * 3)
        self.assert_rest()


class Purged(FetchCase):
    def test_while_it_is_fetched(self) -> None:
        """Who asked before may have it; nobody else ever gets it."""
        for is_soft in (False, True):
            path = b"/soft" if is_soft else b"/hard"
            (before,) = self.ask(path=path)
            old = self.it.origin
            self.it.purging.purge_url(b"http://a" + path, is_soft)
            (after,) = self.ask(path=path)
            new = self.it.origin
            self.assertIsNot(old, new)
            new.answers(b"new")
            old.answers(b"old")
            self.assertEqual(self.bodies([before, after]), [b"old", b"new"])
            self.assertEqual(self.it.get(path).body, b"new")
            self.assertEqual(len(self.it.asked), 4 if is_soft else 2)

    def test_softly_what_is_fetched_is_stored_as_stale(self) -> None:
        (client,) = self.ask()
        self.it.purging.purge_url(b"http://a/x", True)
        self.it.origin.answers(b"old", SIE)
        self.assertEqual(client.heard().body, b"old")
        (client,) = self.ask()
        self.it.origin.exchange.fail(GONE)
        self.assertEqual(client.heard().body, b"old")

    def test_by_tag_while_it_is_fetched(self) -> None:
        (before,) = self.ask()
        old = self.it.origin
        self.it.purging.purge((), [b"t"], None, False)
        (after,) = self.ask()
        self.assertEqual(len(self.it.asked), 1)  # whether it bears the tag is not known yet
        old.answers(b"old", b"max-age=60", 200, (b"Surrogate-Key", b"t"))
        self.assertEqual(before.heard().body, b"old")
        self.assertEqual(len(self.it.asked), 2)
        self.it.origin.answers(b"new", b"max-age=60", 200, (b"Surrogate-Key", b"t"))
        self.assertEqual(after.heard().body, b"new")
        self.assertEqual(self.it.get(b"/x").body, b"new")
        self.assert_rest()

    def test_while_it_streams(self) -> None:
        (before,) = self.ask()
        self.it.origin.begins()
        self.it.origin.exchange.write(b"old")
        self.it.purging.purge([b"http://a/x"], (), None, False)
        (after,) = self.ask()
        self.assertEqual(len(self.it.asked), 2)
        self.it.asked[0].exchange.finish()
        self.assertTrue(before.heard().body.endswith(b"0\r\n\r\n"))
        self.it.asked[1].answers(b"new")
        self.assertEqual(after.heard().body, b"new")
        self.assertEqual(self.it.get(b"/x").body, b"new")
        self.assert_rest()

    def test_what_is_stored(self) -> None:
        self.it.fill(b"/x", b"old", SWR)
        self.it.purging.purge((), (), b"http://a/", True)
        self.assertEqual(self.it.get(b"/x").body, b"old")  # and refreshed behind
        self.it.origin.answers(b"new", SWR)
        self.assertEqual(self.it.get(b"/x").body, b"new")
        self.it.purging.purge((), (), b"", False)
        (client,) = self.ask()
        self.it.origin.answers(b"newer")
        self.assertEqual(client.heard().body, b"newer")
