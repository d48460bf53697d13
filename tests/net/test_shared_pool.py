"""The pool of an app server that may speak HTTP/2: who waits for which connection, and how many are opened."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost

from scalekit.http.h2.owner import ErrorCode
from scalekit.net.h2_stream import H2Stream
from scalekit.net.pool import MOST_OPENING
from scalekit.net.shared_pool import MOST_CONNECTIONS
from scalekit.net.upstream import UpstreamConnection
from tests.net.sharing import HELLO, SharedPoolCase
from tests.net.test_pool import raising


class PriorKnowledge(SharedPoolCase):
    def test_all_wait_for_the_first_connection(self) -> None:
        asked = self.ask(30)
        self.assertEqual(len(self.app.attempts), 1)
        self.assertEqual(repr(self.pool), "<SharedPool [], 0 idle, 1 opening, 30 waiting>")
        peer = self.app.meets(take=False)
        self.assertEqual(self.serve(peer), 30)
        self.assertEqual([one.events for one in asked], [[("answered", 200, b"")]] * 30)

    def test_a_connection_that_stands_is_used_first(self) -> None:
        self.ask(1)
        self.serve(self.app.meets(take=False))
        self.ask(5)
        self.assertEqual(self.serve(self.app.peer), 5)
        self.assertIsInstance(self.pool.take(), H2Stream)
        self.assertIsInstance(self.pool.take_young(), H2Stream)
        self.assertEqual(len(self.app.attempts), 1)

    def test_for_more_than_one_carries_more_are_opened(self) -> None:
        self.ask(250)
        self.assertEqual(len(self.app.attempts), 3)
        for attempt in self.app.attempts[:]:
            self.app.meets(attempt, take=False)
        self.assertEqual([self.serve(peer) for peer in self.app.peers], [100, 100, 50])

    def test_the_connect_fails_for_all_that_wait_for_it(self) -> None:
        asked = self.ask(3)
        self.app.attempts[0].fail()
        self.assertEqual(self.failures(asked), ["connect-refused"] * 3)
        self.assertEqual(repr(self.pool), "<SharedPool [], 0 idle, 0 opening, 0 waiting>")

    def test_one_of_two_connects_fails(self) -> None:
        asked = self.ask(150)
        self.app.attempts[0].fail()
        self.assertEqual(len(self.failures(asked)), 50)
        self.assertEqual(self.serve(self.app.meets(take=False)), 100)

    def test_it_ends_before_it_has_said_anything(self) -> None:
        asked = self.ask(2)
        self.app.accepts().lose(ConnectionLost)
        self.assertEqual(self.failures(asked), ["connection-closed"] * 2)

    def test_given_up_by_all_the_attempt_is_too(self) -> None:
        first, second = self.ask(2)
        first.give_up()
        self.assertFalse(self.app.attempts[0].was_given_up)
        second.give_up()
        second.give_up()
        self.assertTrue(self.app.attempts[0].was_given_up)

    def test_given_up_while_it_does_not_say_anything(self) -> None:
        (asked,) = self.ask(1)
        wire = self.app.accepts()
        asked.give_up()
        wire.settle()
        self.assertIsNotNone(wire.loss)
        self.assertEqual(repr(self.pool), "<SharedPool [], 0 idle, 0 opening, 0 waiting>")

    def test_opened_though_there_is_room(self) -> None:
        self.ask(1)
        self.serve(self.app.meets(take=False))
        streams: list[H2Stream] = []
        self.pool.open(streams.append, self.fail)
        give_up = self.pool.open(self.fail, self.fail)
        give_up()
        self.assertEqual(streams, [])
        self.turn()
        self.assertEqual(len(streams), 1)
        self.assertEqual(len(self.app.attempts), 1)

    def test_after_a_goaway_a_new_one_is_opened(self) -> None:
        (open_one,) = self.ask(1)
        peer = self.app.meets()
        peer.session.announce_end()
        peer.talk()
        self.ask(1)
        self.assertEqual(len(self.app.attempts), 2)
        peer.answers(1)
        self.assertEqual(open_one.events, [("answered", 200, b"")])
        self.turn()
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_closed_it_ends_what_is_idle_and_finishes_what_is_not(self) -> None:
        (asked,) = self.ask(1)
        peer = self.app.meets()
        self.pool.close()
        self.turn()
        self.assertIsNone(peer.wire.loss)
        peer.answers(1)
        self.turn()
        self.assertEqual(asked.events, [("answered", 200, b"")])
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_closed_while_it_opens(self) -> None:
        (asked,) = self.ask(1)
        self.pool.close()
        peer = self.app.meets()
        peer.answers(1)
        self.turn()
        self.assertEqual(asked.events, [("answered", 200, b"")])
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_what_cannot_be_tried_does_not_wait(self) -> None:
        """Its caller has answered already: nothing may be sent later."""
        self.patch(self.pool, "_open_connection", raising)
        self.assertRaises(ValueError, self.pool.open, self.fail, self.fail)
        self.assertEqual(repr(self.pool), "<SharedPool [], 0 idle, 0 opening, 0 waiting>")

    def test_tunnels_need_the_servers_word(self) -> None:
        streams: list[H2Stream] = []
        self.pool.open_alone(streams.append, self.fail)
        self.app.meets()
        self.assertEqual(len(streams), 1)


class FewStreams(SharedPoolCase):
    streams = 2

    def test_who_waits_is_told_of_what_cannot_be_tried(self) -> None:
        self.ask(2)
        faults: list[Exception] = []
        for _ in range(3):
            self.pool.open(self.fail, faults.append)
        self.patch(self.pool, "_open_connection", raising)
        self.app.meets()
        self.assertEqual([type(fault) for fault in faults], [ValueError] * 3)
        self.assertIn("0 opening, 0 waiting", repr(self.pool))

    def test_more_are_opened_as_it_shows(self) -> None:
        asked = self.ask(5)
        self.assertEqual(len(self.app.attempts), 1)
        self.app.meets(take=False)
        self.assertEqual(len(self.app.attempts), 3)
        self.app.meets(self.app.attempts[1], take=False)
        self.app.meets(self.app.attempts[2], take=False)
        self.assertEqual([self.serve(peer) for peer in self.app.peers], [2, 2, 1])
        self.assertEqual([one.events for one in asked], [[("answered", 200, b"")]] * 5)

    def test_there_is_an_end(self) -> None:
        most = MOST_CONNECTIONS * 2
        self.ask(1)
        self.serve(self.app.meets(take=False))
        asked = self.ask(most + 3)
        for attempt in self.app.attempts:  # which grows meanwhile
            if attempt.wire is None:
                self.app.meets(attempt, take=False)
        self.turn()
        self.assertEqual(len(self.app.attempts), MOST_CONNECTIONS)
        self.assertEqual(self.failures(asked), ["streams-used-up"] * 3)
        late = self.ask(1)
        self.turn()
        self.assertEqual(self.failures(late), ["streams-used-up"])
        self.assertEqual(sum(self.serve(peer) for peer in self.app.peers), most)


class NoStreams(SharedPoolCase):
    streams = 0

    def test_one_that_takes_no_requests(self) -> None:
        asked = self.ask(3)
        self.app.meets()
        self.assertEqual(self.failures(asked), ["streams-used-up"] * 3)
        self.assertEqual(len(self.app.attempts), 1)


class Negotiated(SharedPoolCase):
    knows_http2 = False

    def test_at_first_nobody_knows(self) -> None:
        asked = self.ask(3)
        self.assertEqual(len(self.app.attempts), 3)
        self.assertEqual(self.serve(self.app.meets(self.app.attempts[1], take=False)), 3)
        self.assertEqual(len(self.alive()), 1, "the others are not needed any more")
        self.assertEqual([one.events for one in asked], [[("answered", 200, b"")]] * 3)

    def test_then_it_is_expected(self) -> None:
        self.ask(1)
        peer = self.app.meets(take=False)
        self.serve(peer)
        peer.session.terminate(ErrorCode.NO_ERROR)
        peer.talk()
        self.ask(50)
        self.assertEqual(len(self.app.attempts), 2)

    def test_one_that_chooses_http_1(self) -> None:
        connections: list[UpstreamConnection] = []
        for _ in range(3):
            self.pool.open(connections.append, self.fail)
        for attempt in self.app.attempts:
            attempt.succeed("http/1.1")
        self.assertEqual([type(one) for one in connections], [UpstreamConnection] * 3)
        self.app.attempts[2].fail()
        self.assertEqual(repr(self.pool), "<SharedPool [], 0 idle, 0 opening, 0 waiting>")

    def test_one_that_does_not_any_more(self) -> None:
        self.ask(1)
        peer = self.app.meets(take=False)
        self.serve(peer)
        peer.session.terminate(ErrorCode.NO_ERROR)
        peer.talk()
        asked = self.ask(3)
        self.assertEqual(len(self.app.attempts), 2)
        self.app.attempts[1].succeed("http/1.1")
        self.assertEqual(len(self.app.attempts), 4)
        for attempt in self.app.attempts[2:]:
            attempt.succeed(None)
        for attempt in self.app.attempts[1:]:
            self.app.says(HELLO, wire=attempt.wire)
        self.assertEqual([one.events for one in asked], [[("answered", 200, b"hello")]] * 3)
        self.assertEqual(len(self.pool.idle), 3)

    def test_each_failed_connect_is_one_requests(self) -> None:
        asked = self.ask(2)
        self.app.attempts[0].fail()
        self.assertEqual(self.failures(asked), ["connect-refused"])
        self.assertEqual(self.serve(self.app.meets(take=False)), 1)

    def test_a_tunnel_gets_a_connection_of_its_own(self) -> None:
        connections: list[UpstreamConnection] = []
        self.ask(1)
        self.pool.open_alone(connections.append, self.fail)
        self.app.attempts[1].succeed("http/1.1")
        self.assertIsInstance(connections[0], UpstreamConnection)
        self.assertEqual(self.serve(self.app.meets(self.app.attempts[0], take=False)), 1)


class Many(SharedPoolCase):
    """More at once than may be opened, by an app server that nobody knows yet."""

    knows_http2 = False

    def setUp(self) -> None:
        super().setUp()
        self.asked = self.ask(MOST_OPENING + 10)
        self.assertEqual(len(self.app.attempts), MOST_OPENING)

    def test_one_connection_of_http_2_carries_them_all(self) -> None:
        self.assertEqual(self.serve(self.app.meets(self.app.attempts[1], take=False)), MOST_OPENING + 10)
        self.assertEqual(len(self.alive()), 1)
        self.clock.pump([0.25] * 20)
        self.assertEqual(self.failures(self.asked), [])

    def test_of_http_1_the_first_ones_are_used_again(self) -> None:
        wire = self.app.attempts[0].succeed("http/1.1")
        self.assertEqual(len(self.app.attempts), MOST_OPENING + 1)
        for number in range(1, 10):
            self.app.says(HELLO, wire=wire)
            self.assertEqual(len([one for one in self.asked if one.events]), number)
        # There is a connect under way for each of the rest.
        self.app.says(HELLO, wire=wire)
        self.assertEqual(repr(self.pool), "<SharedPool [], 1 idle, 50 opening, 50 waiting>")

    def test_a_failed_connect_is_one_requests_and_the_next_begins(self) -> None:
        self.app.attempts[0].fail()
        self.assertEqual(self.failures(self.asked), ["connect-refused"])
        self.assertEqual(len(self.app.attempts), MOST_OPENING + 1)

    def test_waiting_has_an_end(self) -> None:
        self.clock.pump([0.25] * 11)
        self.assertEqual(self.failures(self.asked), ["connect-timeout"] * (MOST_OPENING + 10))
        self.assertEqual(repr(self.pool), "<SharedPool [], 0 idle, 0 opening, 0 waiting>")

    def test_given_up_in_the_line(self) -> None:
        for one in self.asked:
            one.give_up()
        self.assertTrue(all(attempt.was_given_up for attempt in self.app.attempts))
        self.assertEqual(len(self.app.attempts), MOST_OPENING)

    def test_what_is_to_be_a_tunnel_waits_for_its_own(self) -> None:
        connections: list[UpstreamConnection] = []
        for _ in range(MOST_OPENING + 1):
            self.pool.open_alone(connections.append, self.fail)
        self.assertEqual(len(self.app.attempts), 2 * MOST_OPENING)
        self.app.attempts[-1].succeed("http/1.1")
        self.assertEqual((len(connections), len(self.app.attempts)), (1, 2 * MOST_OPENING + 1))
