"""The bodies of requests on their way to an app server, and until when its answers are waited for."""

from __future__ import annotations

from scalekit.net.transports import QUEUE_BYTES
from tests.net.app_server import GET, OK, Case, Receiver


class Uploads(Case):
    def test_by_length(self) -> None:
        receiver = self.upload()
        self.connection.write(b"abc")
        self.connection.finish([])
        self.assertEqual(self.app.hears(), GET + b"abc")
        self.app.says(OK + b"hello")
        self.assertEqual(receiver.events, [("answered", 200, b"hello")])
        self.assert_kept()

    def test_in_chunks(self) -> None:
        self.upload(is_chunked=True)
        self.connection.write(b"abc")
        self.connection.finish([(b"X", b"y")])
        self.assertEqual(self.app.hears(), GET + b"3\r\nabc\r\n0\r\nX: y\r\n\r\n")

    def test_after_the_end_nothing_more_is_sent(self) -> None:
        self.upload(is_chunked=True)
        self.connection.finish([])
        self.connection.finish([])
        self.connection.write(b"abc")
        self.assertEqual(self.app.hears(), GET + b"0\r\n\r\n")

    def test_back_pressure(self) -> None:
        receiver = self.upload()
        self.app.wire.room = 100
        self.connection.write(b"x" * (QUEUE_BYTES + 1000))
        self.assertEqual(receiver.events, ["hold"])
        self.app.wire.room = None
        self.app.wire.settle()
        self.assertEqual(receiver.events, ["hold", "release"])

    def test_a_server_that_takes_nothing_is_given_up(self) -> None:
        receiver = self.upload()
        self.app.wire.room = 100
        self.connection.write(b"x" * (QUEUE_BYTES + 1000))
        self.wait(61)
        self.assertEqual(receiver.events[-1], ("failed", "body-stalled"))
        self.assertEqual(receiver.fault.status, 504)

    def test_a_slow_client_is_not_its_fault(self) -> None:
        receiver = self.upload()
        self.wait(300)
        self.assertEqual(receiver.events, [])
        self.connection.finish([])
        self.wait(31)
        self.assertEqual(receiver.events, [("failed", "answer-timeout")])

    def test_an_answer_that_began_early_has_its_own_time_after_a_stall(self) -> None:
        receiver = self.upload()
        self.app.wire.room = 100
        self.app.says(OK + b"he")
        self.connection.write(b"x" * (QUEUE_BYTES + 1000))
        self.connection.finish([])
        self.app.wire.room = None
        self.app.wire.settle()
        self.wait(45)
        self.assertNotIn(("failed", "answer-stalled"), receiver.events)
        self.app.says(b"llo")
        self.assertEqual(receiver.events[-1], "ended")

    def test_while_its_answer_is_paused_it_need_not_take_anything(self) -> None:
        receiver = self.upload()
        self.app.wire.room = 100
        self.app.says(OK + b"he")
        self.connection.pause()
        self.connection.write(b"x" * (QUEUE_BYTES + 1000))
        self.wait(100)
        self.app.wire.room = None
        self.app.wire.settle()
        self.wait(100)
        self.assertEqual(receiver.events, [("began", 200), b"he", "hold", "release"])
        self.connection.resume()
        self.wait(61)
        self.assertEqual(receiver.events[-1], ("failed", "answer-stalled"))

    def test_one_answered_early_with_bytes_queued_is_not_kept_for_ever(self) -> None:
        self.upload()
        self.app.wire.room = 100
        self.connection.write(b"x" * 1000)
        self.connection.finish([])
        self.app.says(OK + b"hello")
        self.wait(6)
        self.assert_closed()


class Deadlines(Case):
    def test_the_first_byte(self) -> None:
        receiver = self.ask()
        self.wait(29)
        self.assertEqual(receiver.events, [])
        self.wait(2)
        self.assertEqual(receiver.events, [("failed", "answer-timeout")])
        self.assertEqual(receiver.fault.status, 504)
        self.assert_closed()

    def test_interim_answers_do_not_move_it(self) -> None:
        receiver = self.ask()
        for _ in range(31):
            self.app.says(b"HTTP/1.1 102 Processing\r\n\r\n")
            self.wait(1)
        self.assertEqual(receiver.events[-1], ("failed", "answer-timeout"))

    def test_a_head_that_comes_byte_by_byte_does_not_either(self) -> None:
        receiver = self.ask()
        for number in range(31):
            self.app.says(OK[number : number + 1])
            self.wait(1)
        self.assertEqual(receiver.events, [("failed", "answer-timeout")])

    def test_between_reads(self) -> None:
        receiver = self.ask()
        self.app.says(OK + b"h")
        self.wait(50)
        self.app.says(b"e")
        self.wait(50)
        self.assertEqual(receiver.events, [("began", 200), b"h", b"e"])
        self.wait(11)
        self.assertEqual(receiver.events[-1], ("failed", "answer-stalled"))
        self.assert_closed()

    def test_not_while_paused(self) -> None:
        receiver = self.ask()
        self.app.says(OK + b"h")
        self.connection.pause()
        self.connection.pause()
        self.assertFalse(self.app.wire.is_reading)
        self.wait(200)
        self.app.says(b"ello")
        self.assertEqual(receiver.events, [("began", 200), b"h"])
        self.connection.resume()
        self.connection.resume()
        self.app.wire.settle()
        self.assertEqual(receiver.events, [("began", 200), b"h", b"ello", "ended"])
        self.assert_kept()

    def test_a_pause_at_the_last_piece_does_not_outlast_it(self) -> None:
        class Pausing(Receiver):
            def data(this, piece: bytes) -> None:  # noqa: N805
                super().data(piece)
                self.connection.pause()

        receiver = self.ask(receiver=Pausing())
        self.app.says(OK, b"hello")
        self.assertEqual(receiver.events, [("began", 200), b"hello", "ended"])
        self.assertTrue(self.app.wire.is_reading)
        self.assert_kept()
