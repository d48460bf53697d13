"""Requests over one HTTP/2 connection to an app server, all in memory."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost

from scalekit.http.h2.owner import ErrorCode
from scalekit.net.h2_upstream import MOST_RESETS
from tests.net.h2_app_server import GET, OK, POST, Asked, Case, Peer


class Exchanges(Case):
    def test_a_request_as_a_field_list(self) -> None:
        Asked(self.app, b"GET /x?y HTTP/1.1\r\nHost: a.example\r\nX-Own: 1\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        peer = self.app.meets(take=False)
        self.assertEqual(
            peer.hears(),
            [
                (
                    "requested",
                    1,
                    [
                        (b":method", b"GET"),
                        (b":scheme", b"http"),
                        (b":authority", b"a.example"),
                        (b":path", b"/x?y"),
                        (b"x-own", b"1"),
                        (b"te", b"trailers"),
                    ],
                    True,
                )
            ],
        )

    def test_an_answer_in_one_piece_and_the_stream_is_gone(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        self.assertEqual(repr(self.app.shared.shared), "[<H2Upstream 1 of 100 streams>]")
        peer.answers(1, b"hello", [(b"content-length", b"5")])
        self.check(asked, ("answered", 200, b"hello"))
        self.assertEqual(repr(self.app.shared.shared), "[<H2Upstream 0 of 100 streams>]")

    def test_an_answer_that_streams(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1)
        self.check(asked, ("began", 200))
        peer.sends(1, b"one")
        peer.sends(1, b"two", True)
        self.check(asked, b"one", b"two", "ended")

    def test_head_and_first_piece_together(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1, b"one")
        self.check(asked, ("began", 200), b"one")
        peer.sends(1, b"", True)
        self.check(asked, "ended")

    def test_many_at_once_in_any_order(self) -> None:
        asked = [Asked(self.app) for _ in range(20)]
        peer = self.app.meets()
        for number in reversed(range(20)):
            peer.answers(1 + 2 * number, b"%d" % number)
        for number, one in enumerate(asked):
            self.check(one, ("answered", 200, b"%d" % number))
        self.assertEqual(len(self.app.attempts), 1)

    def test_a_whole_answer_goes_on_before_anything_else_is_done(self) -> None:
        peer = self.connect()
        forget = self.wheel.forget
        for stream, body in ((3, b"hi"), (5, b"")):
            order: list[str] = []
            asked = Asked(self.app)
            self.patch(asked, "answered", lambda head, body, order=order: order.append("answered"))
            self.patch(self.wheel, "forget", lambda item, order=order: (order.append("forgotten"), forget(item)))
            peer.answers(stream, body)
            self.assertEqual(order[:2], ["answered", "forgotten"])

    def write_sizes(self, peer: Peer) -> list[int]:
        """How much is written at a time from now on."""
        sizes: list[int] = []
        write = peer.wire.write
        peer.wire.write = lambda data: (sizes.append(len(data)), write(data))[1]  # type: ignore[method-assign]
        return sizes

    def test_the_requests_of_one_turn_leave_in_one_write(self) -> None:
        peer = self.connect()
        Asked(self.app)
        peer.talk()
        sizes = self.write_sizes(peer)
        for _ in range(5):
            Asked(self.app)
        self.assertEqual(sizes, [])
        peer.talk()
        self.assertEqual(len([event for event in peer.take() if event[0] == "requested"]), 6)
        self.assertEqual(len(sizes), 1)

    def test_a_request_that_is_alone_leaves_at_once(self) -> None:
        peer = self.connect()
        sizes = self.write_sizes(peer)
        asked = Asked(self.app)
        self.assertEqual(len(sizes), 1)
        peer.answers(3)
        self.check(asked, ("answered", 200, b""))
        self.assertEqual(len(sizes), 1)
        Asked(self.app, POST, streams=True)
        self.assertEqual(len(sizes), 1)  # its body may come in the same turn

    def test_a_request_that_is_alone_waits_for_room(self) -> None:
        peer = self.connect()
        peer.wire.producer.pauseProducing()
        sizes = self.write_sizes(peer)
        Asked(self.app)
        self.assertEqual(sizes, [])
        peer.wire.producer.resumeProducing()
        self.assertEqual(len(sizes), 1)

    def test_bodies_and_trailers_both_ways(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.take()
        asked.stream.write(b"one")
        asked.stream.write(b"two")
        peer.talk()
        self.assertEqual(peer.bodies[1], b"onetwo")
        asked.stream.finish([(b"X-Sum", b"6")])
        self.assertEqual(peer.hears()[-1], ("trailers", 1, [(b"x-sum", b"6")]))
        peer.begins(1, b"hi")
        peer.session.end(1, [(b"grpc-status", b"0")])
        peer.talk()
        self.check(asked, ("began", 200), b"hi", "ended")
        self.assertEqual(asked.trailers, [(b"grpc-status", b"0")])

    def test_everything_of_an_answer_with_trailers_at_once(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.session.respond(1, OK, False)
        peer.session.send_data(1, b"hi")
        peer.session.end(1, [(b"grpc-status", b"0")])
        peer.talk()
        self.check(asked, ("began", 200), b"hi", "ended")
        self.assertEqual(asked.trailers, [(b"grpc-status", b"0")])

    def test_interim_answers(self) -> None:
        asked = Asked(self.app, POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), streams=True)
        peer = self.app.meets()
        peer.session.inform(1, [(b":status", b"103"), (b"link", b"</a>")])
        peer.session.inform(1, [(b":status", b"100")])
        peer.talk()
        self.check(asked, ("informed", 103), "continued")
        asked.stream.finish([])
        peer.answers(1)
        self.check(asked, ("answered", 200, b""))

    def test_the_length_of_what_is_not_sent(self) -> None:
        for method, status, length in ((b"HEAD", b"200", 5), (b"GET", b"304", 5), (b"GET", b"204", None)):
            self.setUp()
            asked = Asked(self.app, GET.replace(b"GET", method))
            peer = self.app.meets()
            fields = [(b"content-length", b"5")] if length else []
            peer.session.respond(1, [(b":status", status), *fields], True)
            peer.talk()
            self.check(asked, ("answered", int(status), b""))
            self.assertEqual(asked.head.length, length)

    def test_fields_of_an_answer(self) -> None:
        asked = Asked(self.app)
        fields = [
            (b"date", b"D"),
            (b"x", b"1"),
            (b"date", b"E"),
            (b"x-request-id", b"i"),
            (b"x", b"2"),
            (b"trailer", b"a"),
        ]
        self.app.meets().answers(1, b"", fields)
        self.assertEqual(asked.head.fields, [(b"date", b"D"), (b"x", b"1"), (b"x", b"2")])
        self.assertTrue(asked.head.has_date)

    def test_cancelled_the_app_server_hears_it(self) -> None:
        peer = self.connect()
        asked = Asked(self.app)
        peer.hears()
        asked.stream.cancel()
        self.assertIn(("reset", 3, ErrorCode.CANCEL), peer.hears())
        peer.begins(3, b"late")
        self.check(asked)
        self.assertEqual(repr(self.app.shared.shared), "[<H2Upstream 0 of 100 streams>]")

    def test_after_many_cancels_the_next_go_elsewhere(self) -> None:
        peer = self.connect()
        waiting = Asked(self.app)
        for _ in range(MOST_RESETS):
            self.assertEqual(len(self.app.attempts), 1)
            asked = Asked(self.app)
            peer.talk()
            asked.stream.cancel()
            peer.talk()
        Asked(self.app)
        self.assertEqual(len(self.app.attempts), 2)
        peer.answers(3)
        self.check(waiting, ("answered", 200, b""))
        peer.talk()
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_answered_before_the_body_is_complete(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        asked.stream.write(b"one")
        peer.answers(1, b"enough")
        self.check(asked, ("answered", 200, b"enough"))
        asked.stream.write(b"two")
        asked.stream.finish([])
        self.assertIn(("reset", 1, ErrorCode.CANCEL), peer.hears())
        self.assertEqual(peer.bodies[1], b"one")
        self.check(asked)


ACTIONS = [
    *("ask", "post", "write", "finish", "cancel", "pause", "resume"),
    *("answer", "begin", "send", "end", "reset", "refuse", "leave", "full", "room", "wait", "lose"),
]


class AnyOrder(Case):
    """Whatever both sides do, each request comes to one end, and nothing is left of it."""

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(ACTIONS),
                st.integers(0, 7),
            ),
            max_size=60,
        ),
        st.integers(1, 4),
    )
    def test_each_comes_to_one_end(self, actions: list[tuple[str, int]], streams: int) -> None:
        self.streams = streams
        self.setUp()
        asked: list[Asked] = []
        given_up: set[Asked] = set()
        for action, number in actions:
            self.act(action, number, asked, given_up)
            self.settle()
        # Then time passes, and everything that is open comes to its end by the deadlines.
        for one in asked:
            if one.stream is not None:
                one.stream.resume()
                one.stream.finish([])
        for attempt in self.app.attempts:
            if attempt.wire is not None:
                attempt.wire.room = None
        self.settle()
        for _ in range(4 * 70):
            self.clock.advance(0.25)
            self.settle()
        for one in asked:
            ends = [event for event in one.events if event == "ended" or event[0] in ("answered", "failed")]
            self.assertEqual(len(ends), 0 if one in given_up else 1, one.events)
            if ends:
                self.assertIs(one.events[-1], ends[0])
        self.assertEqual(repr(self.app.shared), "<SharedPool [], 0 idle, 0 opening, 0 waiting>")
        self.assertEqual(repr(self.wheel), "<Wheel 0 waiting>")
        for attempt in self.app.attempts:
            self.assertTrue(attempt.was_given_up or attempt.wire is None or attempt.wire.loss is not None)

    def settle(self) -> None:
        for _ in range(3):
            self.clock.advance(0)
            for attempt in self.app.attempts:
                if attempt.wire is None and not attempt.was_given_up:
                    self.app.meets(attempt)
            for peer in self.app.peers:
                if peer.wire.loss is None:
                    peer.talk()

    def setUp(self) -> None:
        super().setUp()
        self.begun: set[Any] = set()

    def act(self, action: str, number: int, asked: list[Asked], given_up: set[Asked]) -> None:
        if action in ("ask", "post"):
            asked.append(Asked(self.app, POST if action == "post" else GET, streams=action == "post"))
            return
        if action == "wait":
            self.clock.advance(number)
            return
        peers = [peer for peer in self.app.peers if peer.wire.loss is None]
        if peers and action in ("leave", "full", "room", "lose"):
            peer = peers[number % len(peers)]
            if action == "leave":
                peer.session.terminate(ErrorCode.NO_ERROR)
            elif action == "lose":
                peer.wire.lose(ConnectionLost)
            else:
                peer.wire.room = 0 if action == "full" else None
            return
        if not asked:
            return
        one = asked[number % len(asked)]
        if action == "cancel":
            if not any(event == "ended" or event[0] in ("answered", "failed") for event in one.events):
                given_up.add(one)
            if one.stream is not None:
                one.stream.cancel()
            elif one.give_up is not None:
                one.give_up()
        elif one.stream is not None and action in ("write", "finish", "pause", "resume"):
            if action == "write":
                one.stream.write(b"x" * 30_000)
            elif action == "finish":
                one.stream.finish([(b"x-sum", b"1")])
            else:
                getattr(one.stream, action)()
        elif one.stream is not None:
            peer, stream = self.app.peers[number % len(self.app.peers)], 1 + 2 * (number // 2)
            if action in ("answer", "begin"):
                if (peer, stream) not in self.begun:
                    self.begun.add((peer, stream))
                    peer.session.respond(stream, OK, False)
                    if action == "answer":
                        peer.session.send_data(stream, b"y" * 70_000, True)
            elif action == "send":
                peer.session.send_data(stream, b"z" * 200_000)
            elif action == "end":
                peer.session.end(stream, [(b"a", b"b")])
            else:
                peer.session.reset(stream, ErrorCode.REFUSED_STREAM if action == "refuse" else ErrorCode.CANCEL)
