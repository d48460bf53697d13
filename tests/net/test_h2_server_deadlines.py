"""Until when `scalekit.net.h2_server` waits for its clients, and that slow ones are served."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.http.h2.frames import (
    PING,
    PREFACE,
    frame,
)
from tests.net.conversation import Seen, take_body
from tests.net.h2_conversation import POST, H2Conversation, H2Listener, head, say_hello


class Deadlines(SynchronousTestCase):
    def test_a_first_request_is_waited_for(self) -> None:
        it = H2Listener()
        it.says(PREFACE)
        it.waits(9)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertTrue(it.is_over)

    def test_no_frame_puts_it_off(self) -> None:
        it = H2Listener()
        it.greets()
        for _ in range(6):
            it.says(frame(PING, 0, 0, b"x" * 8))
            it.waits(2)
        self.assertTrue(it.is_over)

    def test_idle_connections_end(self) -> None:
        it = H2Conversation(say_hello)
        it.asks()
        it.waits(59)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertIn(("going away", 1, 0), it.hears())
        self.assertTrue(it.is_over)

    def test_who_waits_for_an_answer_is_not_idle(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        it.waits(300)
        say_hello(it.seen[0])
        self.assertIn(("closed", stream, 0), it.hears())

    def test_a_body_that_comes_too_slowly(self) -> None:
        it = H2Conversation(take_body)
        stream = it.asks(start=POST, body=b"x", ends=False)
        it.waits(16)
        events = it.hears()
        self.assertEqual(events[0][2][0], (b":status", b"408"))
        self.assertEqual(events[-1], ("closed", stream, 0))
        self.assertEqual(it.seen[0].events[-1], "aborted body-timeout")

    def test_one_that_comes_fast_enough_or_is_held(self) -> None:
        it = H2Conversation(take_body)
        fast, held = (it.asks(start=POST, body=b"x", ends=False) for _ in range(2))
        it.seen[1].exchange.pause()
        for _ in range(60):
            it.client.send_data(fast, b"x" * 600)
            it.talk()
            it.waits(1)
        self.assertEqual(it.hears(), [])
        self.assertTrue(held)

    def test_too_slowly_with_the_answer_begun(self) -> None:
        it = H2Conversation(take_body)
        stream = it.asks(start=POST, body=b"x", ends=False)
        it.seen[0].exchange.begin(head())
        it.waits(16)
        self.assertEqual(it.hears()[-1], ("closed", stream, 8))
        self.assertEqual(it.seen[0].events[-1], "aborted body-timeout")

    def test_messages_of_grpc_come_when_there_is_something_to_say(self) -> None:
        it = H2Conversation(take_body)
        grpc = (b"content-type", b"application/grpc+proto")
        silent, talking, answered = (it.asks(grpc, start=POST, body=b"x", ends=False) for _ in range(3))
        it.seen[2].exchange.begin(head())
        it.hears()
        for _ in range(4):
            it.waits(50)
            it.client.send_data(talking, b"x")
            it.talk()
        closed = [event[1] for event in it.hears() if event[0] == "closed"]
        self.assertEqual(closed, [silent])
        self.assertEqual(it.seen[0].events[-1], "aborted body-timeout")
        it.seen[2].exchange.finish()
        self.assertIn(("closed", answered, 0), it.hears())

    def test_a_client_that_takes_nothing_is_cut(self) -> None:
        it = H2Conversation()
        it.asks()
        it.wire.room = 0
        it.seen[0].exchange.begin(head())
        it.seen[0].exchange.write(b"x" * 100_000)
        it.settle()
        it.waits(72)
        self.assertIsNotNone(it.wire.loss)
        self.assertEqual(it.seen[0].events[-1], "aborted client-gone")


class SlowClients(SynchronousTestCase):
    """Who takes its answer slowly is served as long as it takes any of it."""

    def download(self, it: H2Conversation, room: int, seconds: int) -> Seen:
        """A client that asks for what has no end, and takes so much of it a second."""
        it.wire.room = 0
        stream = it.asks()
        seen: Seen = it.seen[-1]
        seen.exchange.begin(head())
        for _ in range(seconds):
            while seen.events.count("pause") == seen.events.count("resume") and seen.exchange.connection is not None:
                seen.exchange.write(b"x" * 16_384)
            it.takes(room)
            down = it.sent()
            if down:
                it.client.receive(down)
            for event in it.told.take():
                if event[0] == "data":
                    it.client.acknowledge(stream, len(event[2]))
            it.says(it.client.output(1 << 20))
            it.waits(1)
        return seen

    def test_its_connection_is_slow(self) -> None:
        for room in (20_000, 300_000, 2_000_000):
            it = H2Conversation()
            seen = self.download(it, room, 200)
            self.assertNotIn("aborted client-gone", seen.events, room)
            self.assertIsNone(it.wire.loss)

    def test_its_window_is(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        seen = it.seen[0]
        seen.exchange.begin(head())
        due = 0
        for _ in range(100):
            while seen.events.count("pause") == seen.events.count("resume"):
                seen.exchange.write(b"x" * 16_384)
            for event in it.hears():
                if event[0] == "data":
                    due += len(event[2])
            for _ in range(3):
                it.waits(1)
            step = min(due, 70_000)
            due -= step
            it.client.acknowledge(stream, step)
            it.talk()
        self.assertEqual([event for event in seen.events if event not in ("pause", "resume")], [])

    def test_many_streams_share_a_slow_connection(self) -> None:
        """None of them is blamed for waiting for its turn."""
        it = H2Conversation()
        it.wire.room = 0
        for _ in range(20):
            it.asks()
        for seen in it.seen:
            seen.exchange.begin(head())
            seen.exchange.write(b"x" * 100_000)
        for _ in range(150):
            it.takes(5_000)
            it.waits(1)
        self.assertEqual({event for seen in it.seen for event in seen.events} - {"pause", "resume"}, set())
