"""Answers of the origin that are on their way, and those who wait for them."""

from __future__ import annotations

from scalekit.cache.front import streaming
from scalekit.errors import UpstreamFault
from tests.cache.front.fronted import FetchCase, Fronted, get

GONE = UpstreamFault(502, "answer-cut", "Cut.")


class Streaming(FetchCase):
    def test_a_slow_client_holds_nobody(self) -> None:
        slow, fast = self.ask(2)
        slow.takes(1000)
        self.it.origin.begins()
        for _ in range(10):
            self.it.origin.exchange.write(b"x" * 20_000)
        self.assertEqual(len(fast.sent()) // 20_000, 10)
        self.assertNotIn("pause", self.it.origin.seen.events)
        self.it.origin.exchange.finish()
        self.assertTrue(fast.sent().endswith(b"0\r\n\r\n"))
        slow.takes(None)
        self.assertTrue(slow.sent().endswith(b"0\r\n\r\n"))
        self.assert_rest()

    def test_nobody_is_fast(self) -> None:
        self.it = Fronted(100_000_000)
        clients = self.ask(2)
        for client in clients:
            client.takes(1000)
        self.it.origin.begins()
        piece = b"x" * 100_000
        for _ in range(streaming.LEAD_BYTES // len(piece) + 3):
            self.it.origin.exchange.write(piece)
        self.assertEqual(self.it.origin.seen.events, ["pause"])
        clients[1].takes(None)
        self.assertEqual(self.it.origin.seen.events, ["pause", "resume"])

    def test_a_cut_answer_is_cut_for_all_and_never_stored(self) -> None:
        clients = self.ask(2)
        self.it.origin.begins()
        self.it.origin.exchange.write(b"hel")
        clients += self.ask()
        self.it.origin.exchange.abort(GONE)
        self.assertEqual([client.was_cut for client in clients if client.sent() is not None], [True] * 3)
        self.ask()
        self.assertEqual(len(self.it.asked), 2)
        self.it.origin.begins(b"max-age=60", 5)
        self.it.origin.exchange.write(b"hel")
        self.it.origin.exchange.finish()
        self.ask()
        self.assertEqual(len(self.it.asked), 3)
        self.it.origin.answers()
        self.assert_rest()

    def test_all_leave_and_the_rest_is_short(self) -> None:
        (client,) = self.ask()
        self.it.origin.begins(b"max-age=60", 6)
        self.it.origin.exchange.write(b"one")
        client.wire.lose()
        self.it.origin.exchange.write(b"two")
        self.it.origin.exchange.finish()
        self.assertEqual(self.it.get(b"/x").body, b"onetwo")
        self.assert_rest()

    def test_all_leave_and_the_rest_is_long(self) -> None:
        self.it = Fronted(100_000_000)
        (client,) = self.ask()
        self.it.origin.begins(b"max-age=60", 10_000_000)
        client.wire.lose()
        self.assertTrue(self.it.origin.is_given_up)
        self.assert_rest()

    def test_too_long_to_be_stored(self) -> None:
        """Known beforehand: each for himself."""
        clients = self.ask(2)
        self.it.origin.begins(b"max-age=60", 200_000)
        self.assertEqual(len(self.it.asked), 2)
        self.it.asked[1].answers(b"short")
        self.it.asked[0].exchange.write(b"x" * 200_000)
        self.it.asked[0].exchange.finish()
        self.assertEqual([len(body) for body in self.bodies(clients)], [200_000, 5])
        self.assert_rest()

    def test_as_many_are_stored_as_there_is_room_for(self) -> None:
        """Their heads say how long they will be: who comes too late takes no room from those who are under way."""
        answers = []
        for number in range(10):
            self.it.client().says(get(b"/%d" % number))
            self.it.origin.begins(b"max-age=60", 100_000)
            self.it.origin.exchange.write(b"x" * 10_000)
            answers.append(self.it.origin.exchange)
        for _ in range(9):
            for exchange in answers:
                exchange.write(b"x" * 10_000)
        for exchange in answers:
            exchange.finish()
        self.assertEqual([self.it.get(b"/%d" % number).said[:3] for number in range(10)], [b"hit"] * 8 + [b""] * 2)

    def test_what_just_does_not_fit_is_told_by_its_head(self) -> None:
        outcomes = []
        for length in range(self.it.store.largest - 40_000, self.it.store.largest, 1000):
            path = b"/%d" % length
            (client,) = self.ask(path=path)
            self.it.origin.begins(b"max-age=60", length, 200, (b"Cache-Groups", b'"a", "b"'), (b"X", b"x" * 3000))
            is_reserved = self.it.store.stats().reserved_bytes > 0
            self.it.origin.exchange.write(b"x" * length)
            self.it.origin.exchange.finish()
            client.wire.lose()
            outcomes.append((is_reserved, self.it.store.peek(b"http://a" + path, self.it.clock.seconds()) is not None))
        self.assertEqual(set(outcomes), {(True, True), (False, False)})
        self.assertEqual(self.it.store.stats().refused, 0)
        self.assert_rest()

    def test_turns_out_too_long_to_be_stored(self) -> None:
        """Those who read it go on, whoever comes asks for himself; who is far behind is cut off."""
        slow, fast = self.ask(2)
        slow.takes(1000)
        self.it.origin.begins()
        piece = b"x" * 50_000
        for _ in range(4):
            self.it.origin.exchange.write(piece)
        self.ask()
        self.assertEqual(len(self.it.asked), 2)
        slow.settle()
        self.assertFalse(slow.was_cut)
        for _ in range(4 * streaming.UNKEPT_LEAD_BYTES // len(piece) + 1):
            self.it.asked[0].exchange.write(piece)
        slow.settle()
        self.assertTrue(slow.was_cut)
        self.it.asked[0].exchange.finish()
        self.assertTrue(fast.sent().endswith(b"0\r\n\r\n"))
        self.it.asked[1].answers()
        self.assert_rest()

    def test_of_what_is_not_stored_nobody_is_far_ahead(self) -> None:
        """A thousand of these have no room of their own."""
        (client,) = self.ask()
        client.takes(1000)
        self.it.origin.begins()
        for _ in range(5):
            self.it.origin.exchange.write(b"x" * 50_000)
        self.assertEqual(self.it.origin.seen.events, ["pause"])
        client.takes(None)
        self.assertEqual(self.it.origin.seen.events, ["pause", "resume"])

    def test_large_answers_out_of_the_store(self) -> None:
        body = bytes(range(256)) * 400
        self.it.fill(b"/x", body)
        client = self.it.client()
        client.takes(70_000)
        client.says(get(b"/x"))
        self.assertEqual(len(client.wire.sent), 70_000)
        client.takes(None)
        self.assertTrue(client.sent().endswith(body))
        self.assertEqual(self.it.get(b"/x", b"Range: bytes=65000-66999").body, body[65000:67000])
        self.assertEqual(self.it.get(b"/x", method=b"HEAD").status, 200)
