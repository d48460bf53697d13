"""Clients that only want to make work for `scalekit.net.h2_server`, and those that merely look like it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.limits import Limits
from scalekit.net.deadlines import Timeouts
from tests.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    request,
)
from tests.net.conversation import Seen, take_body
from tests.net.h2_conversation import H2Conversation, H2Listener, head, say_hello


class Floods(SynchronousTestCase):
    """Each ends the connection with ENHANCE_YOUR_CALM, after no more work than its budget."""

    def flood(self, data: bytes, then: Any = None, limits: Limits | None = None, trusted: bool = False) -> H2Listener:
        it = H2Listener(then, limits=limits, is_trusted=trusted)
        it.greets()
        for start in range(0, len(data), 1000):
            it.says(data[start : start + 1000])
        return it

    def calmed(self, it: H2Listener) -> None:
        codes = [payload[4:8] for kind, _, _, payload in it.frames() if kind == GOAWAY]
        self.assertEqual(codes, [b"\0\0\0\x0b"])
        self.assertTrue(it.is_over)
        it.waits(2.5)
        self.assertIsNotNone(it.wire.loss)
        self.assertEqual(it.factory.connections, set())
        for seen in it.seen:
            self.assertIn(seen.events[-1], ("aborted client-gone", "aborted stream-error", "aborted bad-trailer"))

    def test_rapid_resets(self) -> None:
        """CVE-2023-44487."""
        it = self.flood(b"".join(request(n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08") for n in range(1, 2001, 2)))
        self.calmed(it)
        self.assertLessEqual(len(it.seen), 130)  # those of its last read had begun
        self.assertEqual(it.factory.refusals, {"resets": 1})

    def test_requests_that_are_taken_back_in_the_same_read_are_not_even_begun(self) -> None:
        it = H2Listener()
        it.greets()
        resets = [frame(RST_STREAM, 0, n, b"\0\0\0\x08") for n in range(1, 200, 2)]
        it.says(b"".join([*(request(n) for n in range(1, 200, 2)), *resets, request(201)]))
        self.assertEqual([seen.exchange.stream for seen in it.seen], [201])
        self.assertFalse(it.is_over)
        it.says(request(203) + frame(RST_STREAM, 0, 203, b"\0\0\0\x08"))
        self.calmed(it)

    def test_made_you_reset(self) -> None:
        """CVE-2025-8671: the client provokes us into resetting."""
        for end, wrong in (
            (False, lambda n: frame(HEADERS, END_HEADERS | END_STREAM, n, block((b":x", b"y")))),
            (False, lambda n: frame(HEADERS, END_HEADERS | END_STREAM, n, block((b"connection", b"y")))),
            (False, lambda n: frame(WINDOW_UPDATE, 0, n, b"\x7f\xff\xff\xff")),
            (True, lambda n: frame(WINDOW_UPDATE, 0, n, b"\x7f\xff\xff\xff")),
        ):
            it = self.flood(b"".join(request(n, end=end) + wrong(n) for n in range(1, 2001, 2)))
            self.calmed(it)
            self.assertLessEqual(len(it.seen), 130)
        it = self.flood(
            b"".join(
                request(n, (b"content-length", b"1"), end=False) + frame(DATA, END_STREAM, n) for n in range(1, 2001, 2)
            )
        )
        self.calmed(it)
        self.assertLessEqual(len(it.seen), 130)

    def test_made_you_reset_by_trailers_that_we_refuse(self) -> None:
        """libnghttp2 lets more of them pass than we do."""
        trailers = block(*((b"x-%d" % n, b"y") for n in range(129)))
        it = H2Listener(take_body)
        it.greets()
        for n in range(1, 2001, 2):
            it.says(request(n, end=False))
            it.says(frame(HEADERS, END_HEADERS | END_STREAM, n, trailers))
        self.calmed(it)
        self.assertLessEqual(len(it.seen), 102)

    def test_made_you_reset_by_connection_errors(self) -> None:
        """What libnghttp2 takes for an error of the connection ends it at the first."""
        for wrong in (frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0"), frame(DATA, END_STREAM, 1), frame(PRIORITY, 0, 1)):
            it = self.flood(request(1) + wrong)
            self.assertTrue(it.is_over)
            self.assertEqual(it.seen[0].events, ["aborted client-gone"])

    def test_heads_that_are_refused(self) -> None:
        it = self.flood(b"".join(request(n, (b"connection", b"x")) for n in range(1, 2001, 2)))
        self.calmed(it)
        self.assertEqual(it.seen, [])

    def test_resets_after_the_answer_had_begun_are_anybodys(self) -> None:
        def begin(seen: Seen) -> None:
            seen.exchange.begin(head())

        it = H2Listener(begin)
        it.greets()
        for n in range(1, 2001, 2):
            it.says(request(n))
            it.says(frame(RST_STREAM, 0, n, b"\0\0\0\x08"))
        self.assertFalse(it.is_over)
        self.assertEqual(len(it.seen), 1000)

    def test_proxies_of_ours_may_reset_ten_times_as_many(self) -> None:
        resets = b"".join(request(n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08") for n in range(1, 1001, 2))
        self.assertFalse(self.flood(resets, trusted=True).is_over)
        self.assertTrue(self.flood(resets).is_over)

    def test_the_budget_comes_back_with_time(self) -> None:
        it = H2Listener()
        it.greets()
        for n in range(1, 801, 2):
            it.says(request(n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08"))
            it.waits(0.25)
        self.assertFalse(it.is_over)

    def test_pings_and_settings(self) -> None:
        for one in (frame(PING, 0, 0, b"x" * 8), frame(SETTINGS)):
            self.calmed(self.flood(one * 1000))

    def test_empty_data(self) -> None:
        it = self.flood(request(1, end=False) + frame(DATA, 0, 1) * 1000)
        self.calmed(it)

    def test_window_updates(self) -> None:
        self.calmed(self.flood(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 5000))

    def test_who_reads_much_opens_windows_often(self) -> None:
        def answer(seen: Seen) -> None:
            seen.exchange.answer(head(), b"x" * 60_000)

        it = H2Conversation(answer)
        for _ in range(100):
            stream = it.asks()
            it.says(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 30)
            for event in it.told.take():
                if event[0] == "data":
                    it.client.acknowledge(stream, len(event[2]))
        self.assertFalse(it.is_over)

    def test_so_do_many_small_calls(self) -> None:
        """As gRPC's clients have it, which open windows with each of them."""
        updates = frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 5
        it = self.flood(b"".join(request(n) + updates for n in range(1, 2001, 2)), say_hello)
        self.assertFalse(it.is_over)
        self.assertEqual(len(it.seen), 1000)

    def test_data_that_comes_with_the_last_straw(self) -> None:
        """The code is that of the flood, whatever else was in the same read."""
        it = H2Listener(take_body)
        it.greets()
        body = request(1, end=False) + frame(DATA, 0, 1, b"x")
        it.says(body + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 3000 + frame(DATA, 0, 1, b"x") * 2)
        self.calmed(it)

    def test_a_long_answer_and_a_long_quiet(self) -> None:
        """What has a budget of its own is not useless as well: downloads and pings would come to an end."""
        it = self.flood(request(1), limits=Limits(useless_bytes=2000))
        for _ in range(1000):
            it.says(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 10 + frame(PING, 0, 0, b"x" * 8))
            it.waits(0.25)
        self.assertFalse(it.is_over)

    def test_who_reads_nothing_is_not_waited_for(self) -> None:
        for one in (frame(PING, 0, 0, b"x" * 8), frame(PRIORITY, 0, 0, b"x" * 5), frame(99, 0, 0, b"x" * 500)):
            it = H2Listener(lambda seen: seen.exchange.answer(head(), b"x" * 300_000))
            it.greets()
            it.says(frame(SETTINGS, 0, 0, b"\0\4\x10\0\0\0") + frame(WINDOW_UPDATE, 0, 0, b"\x10\0\0\0"))
            it.wire.room = 0
            it.says(request(1) + request(3))
            for _ in range(600):
                it.says(one)
            it.waits(2.5)
            self.assertIsNotNone(it.wire.loss)
            self.assertEqual(it.factory.connections, set())

    def test_nor_if_its_streams_close_meanwhile(self) -> None:
        """The end that is near is not put off to that of an idle connection."""
        it = H2Listener(limits=Limits(useless_bytes=2000))
        it.greets()
        it.says(frame(SETTINGS, 0, 0, b"\0\4\x10\0\0\0") + frame(WINDOW_UPDATE, 0, 0, b"\x10\0\0\0"))
        it.wire.room = 0
        it.says(request(1))
        it.seen[0].exchange.begin(head())
        it.seen[0].exchange.write(b"x" * 700_000)
        it.says(frame(99, 0, 0, b"x" * 3000))
        it.connection.closed(1, 0)
        it.waits(2.5)
        self.assertIsNotNone(it.wire.loss)

    def test_frames_that_are_not_even_read(self) -> None:
        for one in (frame(99, 0, 0, b"x" * 1000), frame(PRIORITY, 0, 1, b"\0\0\0\3\0")):
            self.calmed(self.flood(one * (300_000 // len(one))))

    def test_continuations(self) -> None:
        it = self.flood(frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * 100)
        self.calmed(it)

    def test_zero_windows(self) -> None:
        """A client that opens no window holds what it has asked for, and not for ever."""
        it = H2Listener(lambda seen: seen.exchange.answer(head(), b"x" * 60_000), Timeouts(answer_progress=60))
        it.says(PREFACE + frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"))
        it.sent()
        it.says(b"".join(request(n) for n in range(1, 401, 2)))
        self.assertEqual(len(it.seen), 100)
        it.waits(59)
        self.assertEqual(len(it.seen), 100)
        it.waits(12)
        resets = [(stream, payload[3]) for kind, _, stream, payload in it.frames() if kind == RST_STREAM]
        self.assertEqual([stream for stream, code in resets if code == 8], list(range(1, 201, 2)))
