"""The reverse proxy when a connection fails: to an app server, before or in its answer, or the client's."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionLost

from scalekit.balancer.retrying import IDEMPOTENT
from scalekit.errors import ConfigurationFault
from scalekit.net import pool
from tests.balancer.proxied import GET, HELLO, OK, Case, Proxied, get, send
from tests.net.app_server import AppServer


class ConnectFailures(Case):
    """Certainly nothing was sent: the next one, whatever the method."""

    def test_the_next_is_tried(self) -> None:
        for method in (b"GET", b"POST"):
            it = Proxied()
            it.says(send(method, 3) + b"abc")
            first = it.app
            it.refuses()
            self.assertIsNot(it.app, first)
            self.assertEqual(sum(it.in_flight), 1)
            it.accepts()
            self.assertTrue(it.app.hears().endswith(b"abc"))
            it.answers(HELLO)
            self.assertEqual(it.hears(), HELLO)
            self.assertEqual(it.seen[0].record.attempts, 2)
            self.assertEqual(len(it.blamed), 1)
            self.ends(it, (200, ""))

    def test_and_not_a_third(self) -> None:
        it = Proxied(3)
        it.says(GET)
        it.refuses()
        it.refuses("connect-timeout", 504)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 504 "))
        self.assertEqual(len(it.blamed), 2)
        self.ends(it, (504, "connect-timeout"))

    def test_two_that_hang_cost_two_deadlines(self) -> None:
        it = Proxied(3)
        it.says(GET)
        it.waits(4.25)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 504 "))
        self.ends(it, (504, "connect-timeout"))

    def test_nobody_else_there(self) -> None:
        it = Proxied(1)
        it.says(send(b"PUT", 3))
        it.refuses()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        it.says(b"abc" + GET)
        self.assertEqual(len(it.seen), 2)
        it.wire.lose()
        self.ends(it, (502, "connect-refused"), (0, "client-gone"))

    def test_an_instance_that_drains_meanwhile(self) -> None:
        it = Proxied()
        it.says(GET)
        it.roster.settle_static("default", [], 0.0)
        it.refuses()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "connect-refused"))


class LostConnections(Case):
    """It was sent, and then the connection ended before a byte of the answer."""

    def test_a_kept_one_is_tried_afresh_at_the_same_app_server(self) -> None:
        for method in sorted(IDEMPOTENT):
            it = Proxied()
            self.warm(it)
            it.says(get(b"/", method=method))
            app = it.app
            it.closes()
            self.assertIs(it.app, app)
            self.assertEqual(len(app.attempts), 2)
            it.accepts()
            self.assertTrue(app.hears().startswith(method))
            it.answers(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.assertEqual(it.seen[-1].record.attempts, 1)
            self.assertEqual(it.blamed, [])
            self.ends(it, (204, ""))

    def test_once_and_then_elsewhere_and_then_no_more(self) -> None:
        it = Proxied()
        self.warm(it)
        it.says(GET)
        first = it.app
        it.closes()
        it.accepts()
        it.closes()
        self.assertIsNot(it.app, first)
        # The other one's kept connection has had its chance to be stale: no second replay.
        it.closes()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "connection-closed"))

    def test_a_fresh_one_is_tried_elsewhere(self) -> None:
        it = Proxied()
        it.says(GET)
        first = it.app
        it.accepts()
        it.closes(ConnectionLost)
        self.assertIsNot(it.app, first)
        it.accepts()
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_a_post_is_never_sent_twice(self) -> None:
        for is_warm in (False, True):
            for method in (b"POST", b"PATCH", b"BREW"):
                it = Proxied()
                if is_warm:
                    self.warm(it)
                it.says(send(method, 3) + b"abc")
                if not is_warm:
                    it.accepts()
                count = len(it.asked)
                it.closes()
                self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
                self.assertEqual(len(it.asked), count)
                self.ends(it, (502, "connection-closed"))

    def test_a_post_goes_on_young_or_new_connections_only(self) -> None:
        it = Proxied(1)
        self.warm(it)
        it.says(send(b"POST", 0))
        it.answers(HELLO)
        self.assertEqual(len(it.app.attempts), 1)
        it.waits(2)
        it.says(send(b"POST", 0))
        self.assertEqual(len(it.app.attempts), 2)
        it.accepts()
        it.answers(HELLO)
        self.ends(it, (200, ""), (200, ""))

    def test_not_after_a_byte_of_the_answer(self) -> None:
        for answer in (b"H", b"HTTP/1.1 103 Early Hints\r\n\r\n"):
            it = Proxied()
            self.warm(it)
            it.says(GET)
            it.answers(answer)
            it.closes()
            self.assertIn(b"HTTP/1.1 502 ", it.hears())
            self.ends(it, (502, "malformed-answer"))

    def test_not_after_a_timeout(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.waits(31)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 504 "))
        self.ends(it, (504, "answer-timeout"))

    def test_malformed_answers_are_not_tried_again(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(b"NONSENSE\r\n\r\n")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "malformed-answer"))

    def test_an_answer_of_503_is_passed_on(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        self.assertIn(b"Retry-After: 1\r\n", it.hears())
        self.ends(it, (503, ""))


class NoAttempt(Case):
    """What the next attempt needs cannot be read, such as the CA of https app servers."""

    def unreadable(self, *args: object) -> None:
        raise ConfigurationFault("balancer.upstream_tls.ca: unreadable")

    def breaks(self, app: AppServer) -> None:
        self.patch(app.pool, "open", self.unreadable)

    def check(self, it: Proxied, retry: Callable[[], object]) -> None:
        """The client is told, and nothing is left of it."""
        retry()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(ConfigurationFault)), 1)
        self.ends(it, (500, "internal-error"))

    def test_elsewhere_after_a_failed_connect(self) -> None:
        it = Proxied()
        it.says(GET)
        self.breaks(it.other)
        self.check(it, it.refuses)

    def test_elsewhere_after_an_answer(self) -> None:
        for length in (0, 9):  # at once, and its head first
            answer = b"HTTP/1.1 503 Sorry\r\nContent-Length: %d\r\n\r\n" % length
            it = Proxied()
            it.says(GET)
            it.accepts()
            self.breaks(it.other)
            self.check(it, lambda answer=answer, it=it: it.answers(answer))  # type: ignore[misc]

    def test_after_a_wait_for_one(self) -> None:
        """Many others were being opened meanwhile."""
        it = Proxied()
        self.patch(pool, "MOST_OPENING", 0)
        for app in it.apps:
            self.patch(app.pool, "_open_connection", self.unreadable)
        it.says(GET)
        self.patch(pool, "MOST_OPENING", 1)
        self.check(it, it.app.pool._begin_next)
        self.assertEqual(it.blamed, [])

    def test_afresh_at_the_same(self) -> None:
        it = Proxied()
        self.warm(it)
        it.says(GET)
        self.breaks(it.app)
        self.check(it, it.closes)


class BrokenAnswers(Case):
    """Once the head is out, only a cut tells the client."""

    def test_each_kind_of_it(self) -> None:
        for head in (OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", b"HTTP/1.1 200 OK\r\n\r\n"):
            it = Proxied()
            it.says(GET)
            it.accepts()
            it.answers(head + b"he")
            it.closes(ConnectionLost)
            self.assertTrue(it.was_cut)
            self.assertFalse(it.hears().endswith(b"0\r\n\r\n"))
            self.ends(it, (200, "answer-cut"))
            self.assertEqual(len(it.asked), 1)

    def test_a_stall(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(OK + b"he")
        it.waits(61)
        self.assertTrue(it.was_cut)
        self.ends(it, (200, "answer-stalled"))

    def test_bytes_after_it(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(OK + b"he", b"llo!")
        self.assertTrue(it.was_cut)
        self.ends(it, (200, "malformed-answer"))


class ClientGone(Case):
    """Whatever the app server does for it ends in the same turn."""

    def test_while_connecting(self) -> None:
        it = Proxied()
        it.says(GET)
        it.wire.lose()
        self.assertTrue(it.app.attempts[0].was_given_up)
        self.ends(it, (0, "client-gone"))

    def test_while_waiting(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.wire.lose()
        self.assertEqual(it.in_flight, [0, 0])
        it.settle()
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (0, "client-gone"))

    def test_in_the_middle_of_the_body(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 10) + b"abc")
        it.accepts()
        it.wire.lose()
        self.ends(it, (0, "client-gone"))
        self.assertIsNotNone(it.app.wire.loss)

    def test_in_the_middle_of_the_answer(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(OK + b"he")
        it.wire.lose()
        self.ends(it, (200, "client-gone"))
        self.assertIsNotNone(it.app.wire.loss)
        self.assertEqual(it.app.pool.idle, [])

    def test_while_a_replay_connects(self) -> None:
        it = Proxied()
        self.warm(it)
        it.says(GET)
        it.closes()
        it.wire.lose()
        self.assertTrue(it.app.attempts[-1].was_given_up)
        self.ends(it, (0, "client-gone"))

    def test_a_broken_body_cancels_too(self) -> None:
        it = Proxied()
        it.says(get(b"/", b"Transfer-Encoding: chunked", method=b"PUT"))
        it.accepts()
        it.says(b"3\r\nabcX")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 400 "))
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (400, "bad-chunk"))
