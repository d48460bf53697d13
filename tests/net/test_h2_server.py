"""Tests of `scalekit.net.h2_server`: what is refused, held back, reset and drained."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.limits import UPSTREAM_STREAM_WINDOW
from scalekit.http.h2.owner import ErrorCode
from scalekit.net.h2_exchange import STREAM_QUEUE
from scalekit.net.h2_server import CONNECTION_QUEUE, H2Connection
from tests.http.h2.frames import (
    GOAWAY,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    frame,
    request,
    split,
)
from tests.net.conversation import Conversation, MemoryTransport
from tests.net.h2_conversation import GET, HEAD, H2Conversation, H2Listener, head, say_hello


class Refusals(SynchronousTestCase):
    """Heads that libnghttp2 lets pass, and we do not: a stream each, and the connection lives on."""

    def test_malformed(self) -> None:
        for fields in (
            [*GET, (b"host", b"b")],
            [*GET, (b"host", b"a"), (b"host", b"a")],
            [*GET[:3], (b":authority", b"a,b")],
            [*GET[:3], (b":authority", b"a:99999")],
            [*GET[:3], (b":authority", b"")],
            [GET[0], (b":scheme", b"ftp"), *GET[2:]],
            [*GET[:2], (b":path", b"/a#b"), GET[3]],
            [*GET[:2], (b":path", b"/\xff"), GET[3]],
            [*GET[:2], (b":path", b"*"), GET[3]],
            [*GET, (b"a", b"b\x01")],
            [(b":method", b"M" * 100), *GET[1:]],
        ):
            it = H2Listener()
            it.greets()
            it.says(request(1, start=fields))
            self.assertIn((RST_STREAM, 0, 1, b"\0\0\0\1"), it.frames(), fields)
            self.assertEqual(it.seen, [])
            it.says(request(3))
            self.assertEqual(len(it.seen), 1)

    def test_answered(self) -> None:
        for status, fields in (
            (405, [(b":method", b"CONNECT"), (b":authority", b"a:80")]),
            (414, [*GET[:2], (b":path", b"/" + b"x" * 17_000), GET[3]]),
            (431, [*GET, *[(b"x-%d" % n, b"y") for n in range(129)]]),
            (431, [*GET, *[(b"x-%d" % n, b"y" * 1000) for n in range(33)]]),
        ):
            it = H2Conversation(say_hello)
            it.client.request(fields, True)
            events = it.hears()
            self.assertEqual(events[0][2][0], (b":status", b"%d" % status))
            self.assertEqual(it.seen, [])
            it.asks()
            self.assertEqual(len(it.seen), 1)

    def test_without_a_body_to_head(self) -> None:
        """RFC 9110 section 9.3.2: its client would not know what to do with one."""
        it = H2Conversation()
        it.asks((b"expect", b"200-ok"), start=HEAD)
        (_, _, fields, has_ended), *rest = it.hears()
        self.assertEqual((fields[0], has_ended), ((b":status", b"417"), True))
        self.assertEqual([event[0] for event in rest], ["closed"])

    def test_cookies_are_one_field(self) -> None:
        it = H2Conversation()
        it.asks((b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d"))
        self.assertEqual(it.seen[0].exchange.head.fields, [(b"cookie", b"a=b; c=d"), (b"x", b"y")])

    def test_the_host_may_be_said_twice_if_it_is_the_same(self) -> None:
        it = H2Conversation()
        it.asks((b"host", b"A"))
        it.asks((b"host", b"b"), start=GET[:3])
        self.assertEqual([seen.exchange.head.host for seen in it.seen], [b"a", b"b"])


class BackPressure(SynchronousTestCase):
    def test_a_stream_whose_client_does_not_take_it(self) -> None:
        """Its source is paused, and no other; it goes on when the client has taken what there is."""
        it = H2Conversation()
        stream = it.asks()
        it.asks()
        slow, quick = it.seen
        for seen in it.seen:
            seen.exchange.begin(head())
        slow.exchange.write(b"x" * UPSTREAM_STREAM_WINDOW)
        it.talk()
        self.assertEqual(slow.events, ["pause", "resume"])
        slow.exchange.write(b"y" * STREAM_QUEUE)
        quick.exchange.write(b"z" * STREAM_QUEUE)
        it.talk()
        slow.exchange.write(b"y")
        it.talk()
        self.assertEqual((slow.events, quick.events), (["pause", "resume", "pause"], []))
        it.client.acknowledge(stream, UPSTREAM_STREAM_WINDOW)
        it.talk()
        self.assertEqual(slow.events[3:], ["resume"])
        slow.exchange.finish()
        self.assertEqual(
            sum(len(event[2]) for event in it.hears() if event[0] == "data" and event[1] == stream),
            UPSTREAM_STREAM_WINDOW + STREAM_QUEUE + 1,
        )

    def test_a_client_that_reads_nothing(self) -> None:
        it = H2Conversation()
        it.asks()
        it.wire.room = 0
        seen = it.seen[0]
        seen.exchange.begin(head())
        written = 0
        while seen.events[-1:] != ["pause"]:
            seen.exchange.write(b"x" * 16_000)
            it.settle()
            written += 16_000
        self.assertLess(written, 300_000)
        it.wire.room = None
        for event in it.hears():
            if event[0] == "data":
                it.client.acknowledge(event[1], len(event[2]))
        it.talk()
        self.assertEqual(seen.events, ["pause", "resume"])

    def test_all_of_them_together(self) -> None:
        """With much waiting for one client, each source is paused at its first piece."""
        it = H2Conversation()
        it.wire.room = 0
        for _ in range(100):
            it.client.request(GET, True)
        it.says(it.client.output(1 << 20))
        pieces = 0
        for seen in it.seen:
            seen.exchange.begin(head())
        for _ in range(10):
            for seen in it.seen:
                if not seen.events:
                    seen.exchange.write(b"x" * 16_000)
                    pieces += 1
            it.settle()
        self.assertEqual({tuple(seen.events) for seen in it.seen}, {("pause",)})
        self.assertLess(pieces * 16_000, CONNECTION_QUEUE + 100 * 16_000 + 200_000)


class Resets(SynchronousTestCase):
    def test_a_reset_stops_the_work(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        it.client.reset(stream, ErrorCode.CANCEL)
        it.talk()
        self.assertEqual(it.seen[0].events, ["aborted client-gone"])
        self.assertEqual(it.outcomes, [(b"/", 0, "client-gone")])
        say_hello(it.seen[0])
        self.assertEqual(it.hears(), [("closed", stream, 8)])
        self.assertEqual(len(it.outcomes), 1)

    def test_inside_the_answer(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        it.seen[0].exchange.begin(head())
        it.talk()
        it.client.reset(stream, ErrorCode.CANCEL)
        it.talk()
        self.assertEqual(it.seen[0].events, ["aborted client-gone"])
        self.assertEqual(it.outcomes, [(b"/", 200, "client-gone")])

    def test_the_connections_end(self) -> None:
        it = H2Conversation()
        it.asks()
        it.asks()
        it.wire.lose()
        self.assertEqual([seen.events for seen in it.seen], [["aborted client-gone"]] * 2)
        self.assertEqual(it.factory.connections, set())


class Draining(SynchronousTestCase):
    def test_what_is_under_way_and_what_was_on_its_way(self) -> None:
        it = H2Conversation()
        first = it.asks()
        over: list[object] = []
        it.factory.drain().addCallback(over.append)
        it.talk()
        self.assertEqual(it.asks(), 0, "the client has heard of it")
        it.waits(2)
        self.assertFalse(it.is_over)
        say_hello(it.seen[0])
        self.assertIn(("closed", first, 0), it.hears())
        self.assertTrue(it.is_over)
        it.waits(3)
        self.assertEqual(over, [None])

    def test_a_request_that_crosses_the_notice_is_answered(self) -> None:
        it = H2Conversation(say_hello)
        it.asks()
        stream = it.client.request(GET, True)
        crossing = it.client.output(1000)
        it.factory.drain()
        it.says(crossing)
        self.assertIn(("closed", stream, 0), it.hears())
        it.waits(2)
        self.assertTrue(it.is_over)

    def test_an_idle_one(self) -> None:
        it = H2Conversation(say_hello)
        it.asks()
        it.factory.drain()
        it.waits(4)
        self.assertIsNotNone(it.wire.loss)

    def test_one_that_comes_later(self) -> None:
        it = H2Listener()
        it.factory.is_draining = True
        it.wire = MemoryTransport(it.clock)
        it.wire.connect(H2Connection(it.factory))
        it.says(PREFACE + frame(SETTINGS))
        self.assertIn(GOAWAY, [kind for kind, _, _, _ in split(bytes(it.wire.sent))])


class PriorKnowledge(SynchronousTestCase):
    """RFC 9113 section 3.3."""

    def test_in_any_pieces(self) -> None:
        data = PREFACE + frame(SETTINGS) + request(1)
        for pieces in ([data], [data[:5], data[5:]], [data[:18], data[18:20], data[20:]]):
            it = Conversation(say_hello)
            it.says(*pieces)
            sent = bytes(it.wire.sent)
            self.assertIn(b"hello", sent)
            self.assertEqual([type(one) for one in it.factory.connections], [H2Connection])
            it.wire.lose()
            self.assertEqual(it.factory.connections, set())

    def test_not_after_a_request(self) -> None:
        it = Conversation(say_hello)
        it.says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        it.hears()
        it.says(PREFACE)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 "))
        self.assertTrue(it.wire.has_shut)
