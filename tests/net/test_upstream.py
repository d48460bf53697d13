"""A connection to an app server, as conversations in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost

from scalekit.net.pooled import UNUSED
from tests.net.app_server import GET, OK, Case, Receiver


class Framings(Case):
    def test_by_length_in_one_piece(self) -> None:
        receiver = self.ask()
        self.assertEqual(self.app.hears(), GET)
        self.app.says(OK + b"hello")
        self.assertEqual(receiver.events, [("answered", 200, b"hello")])
        self.assert_kept()

    def test_by_length_in_pieces(self) -> None:
        receiver = self.ask()
        self.app.says(OK[:9], OK[9:], b"he", b"llo")
        self.assertEqual(receiver.events, [("began", 200), b"he", b"llo", "ended"])
        self.assert_kept()

    def test_in_chunks(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for pieces, events in (
            ([head + b"5\r\nhello\r\n0\r\n\r\n"], [("answered", 200, b"hello")]),
            ([head, b"5\r\nhello\r\n", b"0\r\n\r\n"], [("began", 200), b"hello", "ended"]),
            ([head + b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"], [("began", 200), b"hello", "ended"]),
            ([head + b"5\r\nhello\r\n", b"0\r\nX: y\r\n\r\n"], [("began", 200), b"hello", "ended"]),
        ):
            receiver = self.ask()
            self.app.says(*pieces)
            self.assertEqual(receiver.events, events)
            if b"X: y" in b"".join(pieces):
                self.assertEqual(receiver.trailers, [(b"X", b"y")])
            self.assert_kept()
            self.app.pool.take()

    def test_until_the_close(self) -> None:
        receiver = self.ask()
        self.app.says(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
        self.app.closes()
        self.assertEqual(receiver.events, [("began", 200), b"hel", b"lo", "ended"])
        self.assert_closed()

    def test_a_break_is_no_close(self) -> None:
        receiver = self.ask()
        self.app.says(b"HTTP/1.1 200 OK\r\n\r\nhel")
        self.app.closes(ConnectionLost)
        self.assertEqual(receiver.events[-1], ("failed", "answer-cut"))
        self.assertEqual(receiver.fault.status, 502)

    def test_without_a_body(self) -> None:
        for method, head in (
            (b"HEAD", OK),
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
            (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
            (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ):
            receiver = self.ask(method=method)
            self.app.says(head)
            self.assertEqual(receiver.events, [("answered", int(head[9:12]), b"")])
            self.assert_kept()
            self.app.pool.take()

    def test_the_same_answer_again_and_then_too_much(self) -> None:
        """What comes in one piece with the last one's head takes a way of its own; its framing is as strict."""
        for _ in range(2):
            receiver = self.ask()
            self.app.says(OK + b"hello")
            self.assertEqual(receiver.events, [("answered", 200, b"hello")])
            self.assert_kept()
            self.app.pool.take()
        receiver = self.ask()
        self.app.says(OK + b"hello!")
        self.assertEqual(receiver.events, [("failed", "malformed-answer")])
        self.assert_closed()

    def test_a_head_after_get_with_the_same_answer(self) -> None:
        receiver = self.ask()
        self.app.says(OK + b"hello")
        self.app.pool.take()
        receiver = self.ask(method=b"HEAD")
        self.app.says(OK)
        self.assertEqual(receiver.events, [("answered", 200, b"")])


class Interim(Case):
    def test_they_are_told_and_the_answer_follows(self) -> None:
        receiver = self.ask()
        self.app.says(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 P\r\n\r\n"
        )
        self.app.says(OK + b"hello")
        self.assertEqual(
            receiver.events, [("informed", 103), "continued", ("informed", 102), ("answered", 200, b"hello")]
        )
        self.assert_kept()

    def test_a_switch_that_nobody_asked_for_is_malformed(self) -> None:
        receiver = self.ask()
        self.app.says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
        self.assertEqual(receiver.events, [("failed", "malformed-answer")])
        self.assert_closed()

    def test_who_cancels_at_one_hears_nothing_more(self) -> None:
        class Cancelling(Receiver):
            def informed(this, status: int, fields: Any) -> None:  # noqa: N805
                self.connection.cancel()

        receiver = self.ask(receiver=Cancelling())
        self.app.says(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"hello")
        self.assertEqual(receiver.events, [])
        self.assert_closed()


class BrokenAnswers(Case):
    def test_nothing_at_all(self) -> None:
        for reason in (ConnectionDone, ConnectionLost):
            self.connection = self.open()
            receiver = self.ask()
            self.app.closes(reason)
            self.assertEqual(receiver.events, [("failed", "connection-closed")])
            self.assertIs(receiver.fault, UNUSED)
            self.assertFalse(self.connection.has_answered)

    def test_cut_in_its_head(self) -> None:
        receiver = self.ask()
        self.app.says(OK[:10])
        self.app.closes()
        self.assertEqual(receiver.events, [("failed", "malformed-answer")])
        self.assertTrue(self.connection.has_answered)

    def test_cut_in_its_body(self) -> None:
        for head in (OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"):
            self.connection = self.open()
            receiver = self.ask()
            self.app.says(head + b"hell")
            self.app.closes()
            self.assertEqual(receiver.events, [("began", 200), b"hell", ("failed", "answer-cut")])

    def test_bytes_after_it(self) -> None:
        for pieces, events in (
            ([OK + b"hello!"], []),
            ([OK + b"hel", b"lo!"], [("began", 200), b"hel"]),
            ([b"HTTP/1.1 204 No Content\r\n\r\n!"], []),
            (
                [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n!"],
                [("began", 200), b"hello"],
            ),
        ):
            self.connection = self.open()
            receiver = self.ask()
            self.app.says(*pieces)
            self.assertEqual(receiver.events, [*events, ("failed", "malformed-answer")])
            self.assert_closed()

    def test_nonsense(self) -> None:
        for pieces in (
            [b"SSH-2.0-OpenSSH\r\n"],
            [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"],
            [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"],
            [b"HTTP/1.1 200 OK\r\nX: a\nb\r\n\r\n"],
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n"],
        ):
            self.connection = self.open()
            receiver = self.ask()
            self.app.says(*pieces)
            self.assertEqual(receiver.events[-1], ("failed", "malformed-answer"), pieces)
            self.assert_closed()

    def test_a_receiver_hears_nothing_after_its_end(self) -> None:
        receiver = self.ask()
        self.app.says(OK + b"hello!")
        self.app.wire.lose()
        self.assertEqual(len(receiver.events), 1)


class Idle(Case):
    def finish_one(self) -> None:
        self.ask()
        self.app.says(OK + b"hello")
        self.assertEqual(self.app.pool.idle, [self.connection])

    def test_it_is_closed_orderly_after_a_while(self) -> None:
        self.finish_one()
        self.wait(3.75)
        self.assertIsNone(self.app.wire.loss)
        self.wait(1)
        self.assertIs(self.app.wire.loss, ConnectionDone)
        self.assertEqual(self.app.pool.idle, [])

    def test_whatever_arrives_ends_it(self) -> None:
        self.finish_one()
        self.app.says(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        self.assert_closed()

    def test_so_does_a_close(self) -> None:
        self.finish_one()
        self.app.closes()
        self.assert_closed()

    def test_it_tells_how_long(self) -> None:
        self.finish_one()
        self.assertLessEqual(self.connection.idle_seconds, 0.25)
        self.wait(2)
        self.assertEqual(self.connection.idle_seconds, 2)

    def test_it_says_that_it_was_used(self) -> None:
        self.assertFalse(self.connection.is_reused)
        self.finish_one()
        self.assertTrue(self.connection.is_reused)


class Reuse(Case):
    """Answers after which the connection is not used again."""

    def test_it_closes(self) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
            b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ):
            self.connection = self.open()
            receiver = self.ask()
            self.app.says(answer)
            self.assertEqual(receiver.events, [("answered", 200, b"hello")])
            self.assert_closed()

    def test_an_answer_before_the_request_is_complete(self) -> None:
        receiver = self.upload()
        self.connection.write(b"abc")
        self.app.says(OK + b"hello")
        self.assertEqual(receiver.events, [("answered", 200, b"hello")])
        self.assert_closed()
        self.connection.write(b"def")
        self.connection.finish([])
        self.assertEqual(self.app.hears(), GET + b"abc")

    def test_a_cancelled_one(self) -> None:
        receiver = self.ask()
        self.app.says(OK + b"he")
        self.connection.cancel()
        self.app.says(b"llo")
        self.assertEqual(receiver.events, [("began", 200), b"he"])
        self.assertIs(self.app.wire.loss, ConnectionAborted)
        self.assert_closed()


class ReEntrancy(Case):
    def test_who_cancels_at_the_last_piece_harms_nobody_else(self) -> None:
        class Cancelling(Receiver):
            def data(this, piece: bytes) -> None:  # noqa: N805
                super().data(piece)
                self.connection.cancel()

        for pieces in ([OK + b"h", b"ello"], [OK, b"hello"]):
            self.connection = self.open()
            receiver = self.ask(receiver=Cancelling())
            self.app.says(*pieces)
            self.assertEqual([e for e in receiver.events if not isinstance(e, bytes)], [("began", 200)])
            self.assert_closed()

    def test_the_connection_can_be_taken_again_inside_the_answer(self) -> None:
        second = Receiver()

        class Asking(Receiver):
            def answered(this, head: Any, body: bytes) -> None:  # noqa: N805
                super().answered(head, body)
                taken = self.app.pool.take()
                assert taken is self.connection
                self.ask(taken, receiver=second)

        first = self.ask(receiver=Asking())
        self.app.says(OK + b"hello")
        self.app.says(OK + b"again")
        self.assertEqual(first.events, [("answered", 200, b"hello")])
        self.assertEqual(second.events, [("answered", 200, b"again")])

    def test_calls_without_a_request_do_nothing(self) -> None:
        for call in (self.connection.pause, self.connection.resume):
            call()
        self.connection.write(b"x")
        self.connection.finish([])
        self.connection.pauseProducing()
        self.connection.resumeProducing()
        self.connection.stopProducing()
        self.assertEqual(self.app.hears(), b"")
        self.assertTrue(self.app.wire.is_reading)

    def test_reprs(self) -> None:
        self.assertEqual(repr(self.connection), "<UpstreamConnection idle>")
        self.ask()
        self.assertEqual(repr(self.connection), "<UpstreamConnection busy>")
        self.app.says(OK + b"hello")
        self.connection.close()
        self.assertEqual(repr(self.connection), "<UpstreamConnection closed reused>")
