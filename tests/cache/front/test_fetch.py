"""Requests to the origin, and those who wait for what comes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.cache.front import fetch, front
from scalekit.cache.front.sharing import Shared, tell_failure
from scalekit.cache.front.waiting import Waiter
from scalekit.cache.marks import MARK_SECONDS
from scalekit.errors import UpstreamFault
from scalekit.web.compress import Compress
from tests.cache.front.fronted import EPOCH, ETAG, FetchCase

GONE = UpstreamFault(502, "answer-cut", "Cut.")


class Together(FetchCase):
    def test_whom_a_variant_does_not_suit_goes_on_with_the_others_of_his_kind(self) -> None:
        clients = [self.ask(3, b"Accept-Language: " + language)[0:3] for language in (b"de", b"en", b"fr")]
        self.it.origin.answers(b"de", b"max-age=60", 200, (b"Vary", b"Accept-Language"))
        self.assertEqual(self.bodies(clients[0]), [b"de"] * 3)
        self.assertEqual([asked.fields[b"accept-language"] for asked in self.it.asked], [b"de", b"en", b"fr"])
        for asked in self.it.asked[1:]:
            asked.answers(asked.fields[b"accept-language"], b"max-age=60", 200, (b"Vary", b"Accept-Language"))
        self.assertEqual([self.bodies(some) for some in clients[1:]], [[b"en"] * 3, [b"fr"] * 3])
        self.assertEqual(self.it.get(b"/x", b"Accept-Language: fr").body, b"fr")
        self.assertEqual(self.it.get(b"/x", b"Accept-Language: de").body, b"de")
        self.assertEqual(len(self.it.asked), 3)
        self.assert_rest()

    def test_a_fault_is_everybodys(self) -> None:
        clients = self.ask(3)
        self.it.origin.exchange.fail(UpstreamFault(503, "no-app-servers", "None."))
        heard = [client.heard() for client in clients]
        self.assertEqual([one.status for one in heard], [503] * 3)
        self.assertEqual([one.said for one in heard[:2]], [b"fwd=uri-miss", b"fwd=uri-miss; collapsed"])
        self.assertEqual([one.outcomes for one in clients], [[(b"/x", 503, "no-app-servers")]] * 3)
        self.assert_rest()

    def test_what_is_raised_is_a_fault_too(self) -> None:
        fault = UpstreamFault(503, "no-app-servers", "None.")

        class Raising:
            def respond(self, exchange: object) -> None:
                raise fault

        self.it.front.reconfigure(Raising(), ())
        self.assertEqual(self.it.get(b"/x").status, 503)
        self.assert_rest()

    def test_waiting_has_an_end(self) -> None:
        clients = self.ask(3)
        self.it.passes(front.PATIENCE_SECONDS)
        self.assertEqual(len(self.it.asked), 3)
        for asked in self.it.asked[1:]:
            asked.answers(b"other")
        self.assertEqual(self.bodies(clients), [b"", b"other", b"other"])
        self.it.asked[0].answers(b"late")
        self.assertEqual(clients[0].heard().body, b"late")
        self.assert_rest()

    def test_the_leader_may_leave(self) -> None:
        first, second = self.ask(2)
        first.wire.lose()
        self.it.origin.answers()
        self.assertEqual(second.heard().body, b"hello")
        self.assertEqual(first.outcomes, [(b"/x", 0, "client-gone")])
        self.assert_rest()

    def test_nobody_is_left_before_the_head(self) -> None:
        """It is stored all the same, for who asks again."""
        self.ask()[0].wire.lose()
        self.it.origin.answers()
        self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=60")
        self.ask(path=b"/private")[0].wire.lose()
        self.it.origin.begins(b"private")
        self.assertTrue(self.it.origin.is_given_up)
        self.assert_rest()

    def test_nobody_is_left_of_what_nobody_else_may_join(self) -> None:
        self.ask(1, b"Cache-Control: no-cache")[0].wire.lose()
        self.assertTrue(self.it.origin.is_given_up)
        self.assert_rest()

    def test_conditions_of_those_who_join(self) -> None:
        clients = self.ask(2) + self.ask(1, b'If-None-Match: "v1"')
        self.assertNotIn(b"if-none-match", self.it.origin.fields)
        self.it.origin.answers(b"hello", b"max-age=60", 200, ETAG)
        self.assertEqual([client.heard().status for client in clients], [200, 200, 304])

    def test_conditions_of_the_leader_are_judged_here(self) -> None:
        clients = self.ask(1, b'If-None-Match: "v1"') + self.ask()
        self.assertNotIn(b"if-none-match", self.it.origin.fields)
        self.it.origin.answers(b"hello", b"max-age=60", 200, ETAG)
        self.assertEqual([client.heard().status for client in clients], [304, 200])


class Otherwise(FetchCase):
    def test_marked_keys_are_asked_for_by_each_with_his_conditions(self) -> None:
        self.ask()
        self.it.origin.answers(b"mine", b"private", 200, ETAG)
        (client,) = self.ask(1, b'If-None-Match: "v1"')
        self.assertEqual(self.it.origin.fields[b"if-none-match"], b'"v1"')
        self.it.origin.answers(b"", b"private", 304, ETAG)
        self.assertEqual(client.heard().status, 304)
        (client,) = self.ask()
        self.it.origin.answers(b"mine", b"private")
        heard = client.heard()
        self.assertEqual((heard.body, heard.said), (b"mine", b'fwd=uri-miss; detail="not-shared"'))
        self.assertEqual(client.records[0].cache, "miss")
        # After a while it is looked whether it can be shared by now.
        self.it.passes(MARK_SECONDS)
        before = len(self.it.asked)
        clients = self.ask(2)
        self.it.origin.answers(b"ours")
        self.assertEqual(self.bodies(clients), [b"ours"] * 2)
        self.assertEqual(len(self.it.asked), before + 1)

    def test_what_a_known_user_gets_says_nothing_of_strangers(self) -> None:
        """Else one request with Authorization at the right moment would take a page out of the cache for seconds."""
        for line in (b"Authorization: x", b"Cookie: a=b"):
            self.ask(1, line)
            self.it.origin.answers(b"mine", b"" if line.startswith(b"Cookie") else b"max-age=60")
            clients = self.ask(2)
            self.it.origin.answers(b"ours", b"max-age=60")
            self.assertEqual(self.bodies(clients), [b"ours"] * 2)
            self.assertEqual(self.it.get(b"/x").said, b"hit; ttl=60")
            self.it.purging.purge([], [], b"", False)
        self.assertEqual(len(self.it.asked), 4)

    def test_who_says_who_he_is_waits_for_nobody(self) -> None:
        for number, line in enumerate((b"Authorization: x", b"Cookie: a=b")):
            path = b"/%d/x" % number
            for _ in range(2):
                before = len(self.it.asked)
                clients = self.ask(10, line, path=path)
                self.assertEqual(len(self.it.asked), before + 10)
                for asked in self.it.asked[before:]:
                    asked.answers(b"mine", b"private")
                self.assertEqual(self.bodies(clients), [b"mine"] * 10)
                self.it.passes(MARK_SECONDS)
        self.assert_rest()

    def test_known_users_wait_for_what_was_for_everybody(self) -> None:
        cookie = b"Cookie: a=b"
        self.ask(2, cookie, path=b"/posts/1")
        self.it.asked[0].begins(b"max-age=60", 4)
        (late,) = self.ask(1, cookie, path=b"/posts/1")  # this is for everybody, as is known by now
        self.assertEqual(len(self.it.asked), 2)
        self.it.asked[1].answers(b"same")
        self.it.asked[0].exchange.write(b"same")
        self.it.asked[0].exchange.finish()
        self.assertEqual(late.heard().body, b"same")
        # Then all are: of the same URL, of what begins like it, and of no other.
        self.it.purging.purge([], [], b"", False)
        for path, count in ((b"/posts/1?a", 1), (b"/posts/1", 1), (b"/posts/2", 1), (b"/other/1", 3)):
            before = len(self.it.asked)
            clients = self.ask(3, cookie, path=path)
            self.assertEqual(len(self.it.asked), before + count)
            for asked in self.it.asked[before:]:
                asked.answers(b"page")
            self.assertEqual(self.bodies(clients), [b"page"] * 3)
        self.assertEqual(self.it.get(b"/posts/2", cookie).said, b"hit; ttl=60")
        # What is not for everybody any more they learn once.
        self.it.purging.purge([], [], b"", False)
        for count in (1, 3):
            before = len(self.it.asked)
            clients = self.ask(3, cookie, path=b"/posts/1")
            self.assertEqual(len(self.it.asked), before + count)
            self.it.asked[before].answers(b"mine", b"private")
            for asked in self.it.asked[before + 1 :]:
                asked.answers(b"mine", b"private")
            self.assertEqual(self.bodies(clients), [b"mine"] * 3)
            self.it.passes(MARK_SECONDS)
        self.assert_rest()

    def test_who_is_brought_back_to_an_instance_is_not_known_by_that(self) -> None:
        self.it.services.cookie = b"us"
        clients = self.ask(10, b"Cookie: us=1", b'If-None-Match: "v0"')
        self.assertEqual(len(self.it.asked), 1)
        self.it.origin.answers(b"same", b"", 200, (b"Last-Modified", b"Sun, 06 Nov 1994 08:49:37 GMT"))
        self.assertEqual(self.bodies(clients), [b"same"] * 10)
        self.assertEqual(self.it.get(b"/x", b"Cookie: us=2").said[:4], b"hit;")

    def test_neither_an_error_nor_a_part_is_a_precedent(self) -> None:
        cookie = b"Cookie: a=b"
        self.ask(1, cookie)
        self.it.origin.answers()
        for status in (500, 304):
            self.ask(1, cookie, path=b"/y")
            self.it.origin.answers(b"", b"", status)
            self.it.passes(MARK_SECONDS)
        before = len(self.it.asked)
        self.ask(2, cookie, path=b"/y")
        self.assertEqual(len(self.it.asked), before + 1)

    def test_what_is_not_shared_says_so_also_where_it_is_coded(self) -> None:
        compress = Compress(self.it, self.it.clock, lambda *arguments: None)  # type: ignore[arg-type]
        self.it.front.reconfigure(compress, tuple(compress.codings))
        body = b"mine " * 300
        for lines in ((), (), (b"Accept-Encoding: br",)):
            (client,) = self.ask(1, *lines)
            self.it.origin.answers(body, b"private", 200, (b"Content-Type", b"text/plain"))
            heard = client.heard()
            self.assertIn(b"Vary: Accept-Encoding\r\n", heard.head)
            self.assertEqual(b"Content-Encoding: br\r\n" in heard.head, bool(lines))
            self.assertIn(b"fwd=uri-miss; detail=", heard.said)
        self.assertEqual(heard.said, b'fwd=uri-miss; detail="not-shared"')

    def test_hints_and_ranges_go_through(self) -> None:
        (client,) = self.ask(1, b"Range: bytes=0-1")
        self.it.origin.exchange.inform(103, [(b"Link", b"</a.css>")])
        self.assertTrue(client.hears().startswith(b"HTTP/1.1 103 "))
        self.it.origin.answers(b"he", b"max-age=60", 206, (b"Content-Range", b"bytes 0-1/5"))
        self.assertEqual(client.heard().status, 206)
        (client,) = self.ask(1, b"Range: bytes=0-1")
        self.it.origin.answers(b"hello")
        heard = client.heard()
        self.assertEqual((heard.status, heard.body), (206, b"he"))
        self.assertEqual(self.it.get(b"/x").body, b"hello")

    def test_a_mistake_of_ours_leaves_nobody_waiting(self) -> None:
        serve = Shared.serve

        def mistaken(shared: Shared, waiter: Waiter, now: float) -> None:
            if waiter.exchange.head.get(b"x-odd"):
                raise ValueError("a mistake")
            serve(shared, waiter, now)

        self.patch(Shared, "serve", mistaken)
        clients = [*self.ask(2), *self.ask(1, b"X-Odd: 1"), *self.ask(1)]
        self.it.origin.answers()
        self.assertEqual([client.heard().status for client in clients], [200, 200, 500, 200])
        self.patch(fetch, "tell_failure", _mistaken(tell_failure))
        clients = [*self.ask(2, path=b"/f"), *self.ask(1, b"X-Odd: 1", path=b"/f"), *self.ask(1, path=b"/f")]
        self.it.origin.exchange.fail(GONE)
        self.assertEqual([client.heard().status for client in clients], [502, 502, 500, 502])
        self.patch(self.it.front, "plan", lambda *arguments: 1 / 0)
        clients = self.ask(2, path=b"/y")
        try:
            self.it.origin.answers()
        except ZeroDivisionError as mistake:  # the proxy does as much
            self.it.origin.exchange.fail(mistake)
        self.assertEqual([client.heard().status for client in clients], [500, 500])
        self.assertEqual(len(self.flushLoggedErrors(ValueError, ZeroDivisionError)), 4)
        self.assert_rest()

    def test_no_answer_and_no_switch(self) -> None:
        self.ask()
        self.it.origin.exchange.finish()
        self.assertEqual(self.it.clients[-1].heard().status, 500)
        self.ask()
        self.it.origin.exchange.switch(None, None)
        self.assertEqual(self.it.clients[-1].heard().status, 500)
        self.assert_rest()

    def test_the_cookie_of_a_sticky_service_is_not_shared(self) -> None:
        self.it.services.cookie = b"scalekit-web"
        mine = (b"Set-Cookie", b"scalekit-web=abc; Path=/")
        first = self.it.fill(b"/x", b"hello", b"max-age=60", 200, mine)
        self.assertIn(b"Set-Cookie", first.head)
        second = self.it.get(b"/x")
        self.assertEqual(second.said, b"hit; ttl=60")
        self.assertNotIn(b"Set-Cookie", second.head)
        self.it.fill(b"/y", b"hello", b"max-age=60", 200, mine, (b"Set-Cookie", b"session=1"))
        self.ask(path=b"/y")
        self.assertEqual(len(self.it.asked), 3)

    def test_the_wall_clock_is_set(self) -> None:
        self.it.fill(b"/x")
        self.it.front._wall = lambda: self.it.clock.seconds() + EPOCH + 3600
        self.it.front.tick()
        self.ask()
        self.assertEqual(len(self.it.asked), 2)


def _mistaken(tell: Callable[..., None]) -> Callable[..., None]:
    """The same, but that it raises for whom is odd."""

    def mistaken(waiter: Waiter, *arguments: Any) -> None:
        if waiter.exchange.head.get(b"x-odd"):
            raise ValueError("a mistake")
        tell(waiter, *arguments)

    return mistaken
