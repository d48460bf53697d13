"""What the body of a request does on every `IExchange`, whatever carries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.net.conversation import Seen, take_body

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase

    Mixed = SynchronousTestCase
else:
    Mixed = object


class PauseAndResume(Mixed):
    """Mix into a test case that knows how a client asks and goes on."""

    def posts(self, then: Callable[[Seen], object] | None = None) -> Any:
        """A request whose body has six bytes, and the first three of them; with ``seen``."""
        raise NotImplementedError

    def goes_on(self, it: Any) -> None:
        """The last three bytes, and the end."""
        raise NotImplementedError

    def test_before_the_body_is_wanted_there_is_nothing_to_pause(self) -> None:
        it = self.posts()
        it.seen[0].exchange.pause()
        take_body(it.seen[0])
        self.assertEqual(it.seen[0].body, b"abc")
        self.goes_on(it)
        self.assertEqual((it.seen[0].body, it.seen[0].events[-1]), (b"abcdef", "end"))

    def test_a_pause_before_and_one_after(self) -> None:
        it = self.posts()
        exchange = it.seen[0].exchange
        exchange.pause()
        exchange.resume()
        take_body(it.seen[0])
        exchange.pause()
        self.goes_on(it)
        self.assertEqual(it.seen[0].events, [b"abc"])
        exchange.resume()
        exchange.resume()
        it.settle()
        self.assertEqual((it.seen[0].body, it.seen[0].events[-1]), (b"abcdef", "end"))

    def test_after_the_end_there_is_nothing_to_resume(self) -> None:
        it = self.posts(take_body)
        self.goes_on(it)
        it.seen[0].exchange.pause()
        it.seen[0].exchange.resume()
        it.settle()
        self.assertEqual(it.seen[0].events.count("end"), 1)

    def test_inside_each_piece(self) -> None:
        class Wavering(Seen):
            def data(self, piece: bytes) -> None:
                super().data(piece)
                self.exchange.pause()
                self.exchange.resume()

        it = self.posts()
        wavering = Wavering(it.seen[0].exchange)
        self.goes_on(it)
        take_body(wavering)
        it.settle()
        self.assertEqual((wavering.body, wavering.events.count("end")), (b"abcdef", 1))
