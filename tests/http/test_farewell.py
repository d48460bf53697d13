from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.farewell import Farewell, Step
from scalekit.http.websocket import FRAME, MESSAGE, close_frame
from tests.http.input_table import cut_into
from tests.http.test_websocket import CUTS, END, FRAMES, KEY, START, TEXT, frame, stops

TOLD = close_frame(1001)
ANSWER = close_frame(1001, key=KEY)


class Ending(SynchronousTestCase):
    @given(FRAMES, CUTS, st.integers(0, 9), st.sampled_from((FRAME, MESSAGE)))
    def test_the_client_is_told_at_the_first_end(
        self, frames: list[tuple[int, bytes, bytes]], cuts: list[int], asked_at: int, until: int
    ) -> None:
        """Whenever it is asked for, and however the app's bytes are cut; nothing of them is torn, nothing follows."""
        data = b"".join(frame(*one) for one in frames)
        farewell = Farewell()
        heard, passed, place = b"", 0, -1
        for number, piece in enumerate(cut_into(data, *sorted(cuts))):
            if number == asked_at:
                place = passed
                heard += farewell.ask(until)
            heard += farewell.to_client(piece)
            passed += len(piece)
        if place < 0:
            self.assertEqual((heard, farewell.step), (data, Step.OPEN))
            return
        ends = [0, *(end.at for end in stops(frames) if end.is_message or until == FRAME)]
        end = next((end for end in ends if end >= place), None)
        if end is None:
            self.assertEqual((heard, farewell.step), (data, Step.ASKED))
        else:
            self.assertEqual((heard, farewell.step), (data[:end] + TOLD, Step.TOLD))

    @given(FRAMES, FRAMES, CUTS)
    def test_what_the_client_says_goes_on_with_its_answer(
        self, before: list[tuple[int, bytes, bytes]], after: list[tuple[int, bytes, bytes]], cuts: list[int]
    ) -> None:
        first, second = (b"".join(frame(*one) for one in frames) for frames in (before, after))
        farewell = Farewell()
        heard = farewell.to_app(first)
        farewell.ask(MESSAGE)
        for piece in cut_into(second + ANSWER, *sorted(cuts)):
            self.assertIs(farewell.step, Step.TOLD if piece else Step.ANSWERED)
            heard += farewell.to_app(piece)
        self.assertEqual(heard, first + second + ANSWER)
        self.assertIs(farewell.step, Step.ANSWERED)

    def test_a_frame_will_do_when_a_message_takes_too_long(self) -> None:
        farewell = Farewell()
        farewell.to_client(frame(START, b"a"))
        self.assertEqual(farewell.ask(MESSAGE), b"")
        self.assertEqual(farewell.ask(FRAME), TOLD)
        self.assertEqual(farewell.ask(FRAME), b"")
        self.assertEqual(farewell.to_client(frame(END, b"b")), b"")

    def test_a_client_that_does_not_answer(self) -> None:
        farewell = Farewell()
        farewell.ask(FRAME)
        self.assertEqual(farewell.give_up_client(KEY), ANSWER)
        self.assertEqual(farewell.to_app(frame(TEXT, b"late", KEY)), b"")

    def test_a_client_that_stops_inside_a_frame(self) -> None:
        farewell = Farewell()
        farewell.ask(FRAME)
        farewell.to_app(frame(TEXT, b"abc", KEY)[:-1])
        self.assertEqual(farewell.give_up_client(KEY), b"")

    def test_who_ends_it_by_itself_is_let(self) -> None:
        for is_client in (True, False):
            farewell = Farewell()
            self.assertFalse(farewell.is_ending)
            if is_client:
                farewell.to_app(close_frame(4000, key=KEY))
            else:
                farewell.to_client(close_frame(4000))
            self.assertTrue(farewell.is_ending)

    def test_the_app_ends_it_just_before_it_is_told(self) -> None:
        farewell = Farewell()
        farewell.to_client(frame(START))
        farewell.ask(MESSAGE)
        self.assertEqual(farewell.to_client(close_frame(4000)), close_frame(4000))
        self.assertEqual(farewell.ask(FRAME), b"")
        self.assertTrue(farewell.is_ending)

    def test_the_client_ends_it_just_before_it_is_told(self) -> None:
        """Each is the other's answer."""
        farewell = Farewell()
        farewell.to_client(frame(START))
        farewell.ask(MESSAGE)
        self.assertEqual(farewell.to_app(close_frame(4000, key=KEY)), close_frame(4000, key=KEY))
        self.assertEqual(farewell.to_client(frame(END)), frame(END) + TOLD)
        self.assertEqual(repr(farewell), "<Farewell answered>")
