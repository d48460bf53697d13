"""What is sent again, and how often, through the proxy: in memory and in virtual time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scalekit.balancer import retrying
from scalekit.balancer.retrying import EARNED, IDEMPOTENT
from tests.balancer.proxied import GET, HELLO, Case, Proxied, get, requests_on, send

AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\naway"


class GatewayAnswers(Case):
    """An app server that says that nobody answers there."""

    def test_another_one_is_asked(self) -> None:
        for status, rest in (
            (b"502 Bad Gateway", b"Content-Length: 0\r\n\r\n"),
            (b"503 Service Unavailable", b"Content-Length: 4\r\n\r\naway"),
            (b"503 Service Unavailable", b"Content-Length: 4\r\n\r\naw"),
            (b"502 Bad Gateway", b"Transfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n"),
        ):
            it = Proxied()
            it.says(GET)
            it.accepts()
            first = it.app
            it.answers(b"HTTP/1.1 " + status + b"\r\n" + rest)
            self.assertIs(it.app, it.apps[1 - it.apps.index(first)])
            self.assertEqual(sum(it.in_flight), 1)
            it.accepts()
            it.answers(HELLO)
            self.assertEqual(it.hears(), HELLO)
            self.assertEqual((it.seen[0].record.attempts, it.seen[0].record.retry), (2, ""))
            self.assertEqual(it.proxy.traffic["default"].retries, 1)
            self.ends(it, (200, ""))

    def test_a_connection_with_a_whole_answer_is_kept(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        first = it.app
        it.answers(AWAY)
        self.assertEqual(len(first.pool.idle), 1)
        it.wire.lose()

    def test_a_body_goes_along(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 6) + b"abc")
        it.accepts()
        it.answers(AWAY)
        it.accepts()
        it.says(b"def")
        (received,) = requests_on(it.app.wire)
        self.assertEqual(received.body, b"abcdef")
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_the_last_one_is_passed_on_as_it_was(self) -> None:
        it = Proxied(3)
        it.says(GET)
        it.accepts()
        it.answers(AWAY)
        it.accepts()
        it.answers(AWAY.replace(b"away", b"also"))
        self.assertTrue(it.hears().endswith(b"\r\n\r\nalso"))
        self.assertEqual(len(it.asked), 2)
        self.assertEqual(it.seen[0].record.retry, "attempts")
        self.ends(it, (503, ""))

    def test_what_is_passed_on_at_once_and_why(self) -> None:
        for method, head, why in (
            (b"GET", AWAY.replace(b"\r\n\r\n", b"\r\nRetry-After: 1\r\n\r\n"), "retry-after"),
            (b"GET", AWAY.replace(b"503", b"429"), ""),
            (b"GET", AWAY.replace(b"503", b"500"), ""),
            (b"GET", AWAY.replace(b"503", b"505"), ""),
            (b"GET", AWAY.replace(b"503", b"504"), "timeout"),
            (b"POST", AWAY, "method"),
            (b"GET", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + AWAY, "answer-begun"),
        ):
            it = Proxied()
            it.says(get(b"/", method=method))
            it.accepts()
            it.answers(head)
            self.assertTrue(it.hears().endswith(b"\r\n\r\naway"), head)
            self.assertEqual(len(it.asked), 1)
            self.assertEqual(it.seen[0].record.retry, why)

    def test_nobody_else(self) -> None:
        it = Proxied(1)
        it.says(GET)
        it.accepts()
        it.answers(AWAY)
        self.assertEqual(it.seen[0].record.retry, "nobody-else")
        self.assertEqual(it.proxy.traffic["default"].refusals, {"nobody-else": 1})
        self.ends(it, (503, ""))

    def test_a_body_too_long_to_keep(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 100_000))
        it.accepts()
        it.says(b"x" * 100_000)
        it.answers(AWAY)
        self.assertEqual(it.seen[0].record.retry, "body")
        self.ends(it, (503, ""))


class Budget(Case):
    def setUp(self) -> None:
        self.patch(retrying, "LEAST", 3.0)

    def test_replays_on_fresh_connections_are_not_counted(self) -> None:
        it = Proxied(1)
        self.warm(it)
        for _ in range(20):
            it.says(GET)
            it.closes()
            it.accepts()
            it.answers(HELLO)
        traffic = it.proxy.traffic["default"]
        self.assertEqual((traffic.retries, traffic.replays), (0, 20))
        self.ends(it, *[(200, "")] * 20)

    def test_failed_connects_are(self) -> None:
        it = Proxied()
        for number in range(4):
            it.says(GET)
            it.refuses()
            if number < 3:
                it.accepts()
                it.answers(HELLO)
                it.app.pool.idle[0].close()
        self.assertEqual([status for _, status, _ in it.outcomes], [200, 200, 200, 502])
        self.assertEqual(it.seen[-1].record.retry, "budget")

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([*sorted(IDEMPOTENT), b"POST", b"PATCH"]),
                st.sampled_from(["away", "close", "refuse", "fine"]),
                st.sampled_from(["away", "close", "refuse"]),
                st.sampled_from([0.0, 0.25, 4.0, 20.0]),
            ),
            min_size=10,
            max_size=60,
        )
    )
    def test_attempts_stay_within_it_and_no_post_is_sent_twice(
        self, requests: list[tuple[bytes, str, str, float]]
    ) -> None:
        """Whatever both app servers do; nothing waits for anything that does not come."""
        it = Proxied()
        retries = 0
        for number, (method, *steps, seconds) in enumerate(requests):
            it.waits(seconds)
            if it.is_over:
                it.connect()
            it.says(get(b"/%d" % number, method=method))
            for step in steps:
                if len(it.outcomes) <= number:
                    self.do(it, step)
            self.assertEqual(len(it.outcomes), number + 1)
            retries += it.seen[number].record.attempts - 1
            assert retries <= retrying.LEAST + EARNED * (number + 1) + 1e-6
        sent: dict[bytes, int] = {}
        for wire in it.wires()[1:]:
            for received in requests_on(wire):
                sent[received.head.path] = sent.get(received.head.path, 0) + 1
        for number, (method, *_) in enumerate(requests):
            assert sent.get(b"/%d" % number, 0) <= (3 if method in IDEMPOTENT else 1)

    def do(self, it: Proxied, step: str) -> None:
        """What the app server that is asked does; the same again on a fresh connection."""
        asked, app = len(it.seen), it.app
        for _ in range(2):
            busy = [a.wire for a in app.attempts if a.wire and not a.wire.loss and a.wire.protocol._receiver]
            if not busy and step == "refuse":
                it.refuses()
            else:
                wire = busy[0] if busy else app.accepts()
                if step in ("away", "fine"):
                    app.says(AWAY if step == "away" else HELLO, wire=wire)
                else:
                    app.closes(wire=wire)
            it.settle()
            if it.app is not app or len(it.outcomes) == asked:
                return
