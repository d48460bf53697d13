"""The pool of an app server that takes HTTP/2 and asks for HTTP/1.1 (RFC 9113 section 7)."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from scalekit.http.h2.owner import ErrorCode
from scalekit.net.shared_pool import HTTP_1_SECONDS
from tests.net.h2_app_server import Asked, H2AppServer, Peer
from tests.net.sharing import HELLO, SharedPoolCase


class OldLanguage(SharedPoolCase):
    """One that takes HTTP/2, and asks for HTTP/1.1."""

    knows_http2 = False

    def refused(self, count: int = 1) -> tuple[list[Asked], Peer]:
        """So many requests that are told so."""
        asked = self.ask(count)
        peer = self.app.meets(take=False)
        for event in peer.hears():
            if event[0] == "requested":
                peer.session.reset(event[1], ErrorCode.HTTP_1_1_REQUIRED)
        peer.talk()
        return asked, peer

    def test_it_gets_it_for_a_while(self) -> None:
        (first,), peer = self.refused()
        self.assertEqual(self.failures([first]), ["http-1-required"])
        self.assertTrue(first.stream.was_refused)
        self.turn()
        self.assertIs(peer.wire.loss, ConnectionDone)
        (asked,) = self.ask(1)
        self.assertEqual(self.app.old_attempts, self.app.attempts[1:])
        self.app.accepts()
        self.app.says(HELLO)
        self.assertEqual(asked.events, [("answered", 200, b"hello")])

        self.clock.pump([1.0] * (round(HTTP_1_SECONDS) + 2))
        self.ask(1)
        self.assertEqual(len(self.app.attempts), 3)
        self.assertEqual(len(self.app.old_attempts), 1, "HTTP/2 is offered again")

    def test_all_pools_of_it_know(self) -> None:
        self.refused()
        other = H2AppServer(self.clock, self.wheel, None, 100, False, self.app.wish)
        Asked(other)
        self.assertEqual(other.old_attempts, other.attempts)

    def test_what_is_open_there_goes_on(self) -> None:
        first, second = self.ask(2)
        peer = self.app.meets()
        peer.begins(3, b"half")
        peer.session.reset(1, ErrorCode.HTTP_1_1_REQUIRED)
        peer.talk()
        self.assertEqual(self.failures([first, second]), ["http-1-required"])
        self.ask(1)
        self.assertEqual(len(self.app.old_attempts), 1)
        peer.sends(3, b"", True)
        self.assertEqual(second.events[-1], "ended")
        self.turn()
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_one_that_is_being_opened_is_not_used(self) -> None:
        self.ask(1)
        peer = self.app.meets()
        waiting = [self.ask(1)[0] for _ in range(100)]
        self.assertEqual(len(self.app.attempts), 2)
        peer.session.reset(1, ErrorCode.HTTP_1_1_REQUIRED)
        peer.talk()
        late = self.app.meets(self.app.attempts[1])
        self.assertEqual(late.hears(), [])
        self.assertEqual(len(self.app.old_attempts), 1)
        self.app.accepts()
        self.app.says(HELLO)
        self.assertEqual(waiting[-1].events, [("answered", 200, b"hello")])
        self.turn()
        self.assertIs(late.wire.loss, ConnectionDone)

    def test_by_goaway(self) -> None:
        self.ask(1)
        peer = self.app.meets()
        peer.answers(1)
        peer.session.terminate(ErrorCode.HTTP_1_1_REQUIRED)
        peer.talk()
        self.ask(1)
        self.assertEqual(len(self.app.old_attempts), 1)

    def test_in_the_midst_of_an_answer_it_is_a_reset(self) -> None:
        (asked,) = self.ask(1)
        peer = self.app.meets()
        peer.begins(1, b"half")
        peer.session.reset(1, ErrorCode.HTTP_1_1_REQUIRED)
        peer.talk()
        self.assertEqual((self.failures([asked]), asked.stream.was_refused), (["stream-reset"], False))
        self.ask(1)
        self.assertEqual(self.app.old_attempts, [])


class OldLanguageByPriorKnowledge(SharedPoolCase):
    def test_there_is_no_way_to_speak_it(self) -> None:
        (asked,) = self.ask(1)
        peer = self.app.meets()
        peer.session.reset(1, ErrorCode.HTTP_1_1_REQUIRED)
        peer.talk()
        self.assertEqual((self.failures([asked]), asked.stream.was_refused), (["http-1-required"], False))
        self.serve(peer)
        self.assertEqual(len(self.pool.shared), 1)
