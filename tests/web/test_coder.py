"""CodedStream and Turns, whatever happens in whichever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.web.coder import QUEUE, CodedStream, Turns
from scalekit.web.compressors import CODINGS
from scalekit.web.memory import MemoryExchange
from tests.web.coded import Threads
from tests.web.decoders import NAMES, decoded, partly

LARGEST = 600_000
STEPS = st.lists(
    st.one_of(
        st.sampled_from(["hold", "release", "thread", "flush"]),
        st.sampled_from([1, 100, 20_000, 40_000, 90_000, 200_000, 262_144, 262_145, LARGEST]),
    ),
    max_size=12,
)


class Source:
    """Keeps to what it is told, as every source must."""

    def __init__(self) -> None:
        self.is_paused = False
        self.turns: list[str] = []

    def pause(self) -> None:
        self.turns.append("pause")
        self.is_paused = True

    def resume(self) -> None:
        self.turns.append("resume")
        self.is_paused = False

    def aborted(self, fault: Exception) -> None:
        self.turns.append("aborted")


class CodedStreamTests(SynchronousTestCase):
    @given(st.sampled_from(NAMES), st.booleans(), STEPS)
    def test_any_order_of_things(self, name: bytes, is_live: bool, steps: list[Any]) -> None:
        exchange = MemoryExchange(RequestHead(b"GET", b"/", []))
        exchange.begin(ResponseHead(200, []))
        coding, threads, source = CODINGS[name](), Threads(), Source()
        quiet: list[CodedStream] = []
        stream = CodedStream(
            exchange, source, coding.stream(is_live), coding.inline_bytes, threads, is_live, quiet.append
        )
        ended: list[bool] = []
        stream.ended = lambda: ended.append(True)
        plain, is_held = b"", False
        for step in steps:
            if step == "thread":
                if threads.waiting:
                    threads.run()
            elif step == "flush":
                if stream.flush():
                    # Whatever was taken, but for what waits in the queue, can be read.
                    self.assertTrue(plain.startswith(partly(name, exchange.sent)))
                    if not stream._queue:
                        self.assertEqual(partly(name, exchange.sent), plain)
            elif step in ("hold", "release"):
                is_held = step == "hold"
                (exchange.hold if is_held else exchange.release)()
            elif not source.is_paused:
                piece = (b"%d piece " % len(plain) * (step // 9 + 1))[:step]
                stream.write(piece)
                plain += piece
            self.assertLessEqual(len(threads.waiting), 1)  # a compressor is for one thread at a time
            self.assertLessEqual(stream._queued_bytes, QUEUE + LARGEST)
            if is_live and not threads.waiting and not stream._queue and not is_held:
                self.assertEqual(partly(name, exchange.sent), plain)
        if is_held:
            exchange.release()
        stream.finish([(b"X", b"y")])
        threads.run_all()
        self.assertEqual((decoded(name, exchange.sent), exchange.trailers), (plain, [(b"X", b"y")]))
        self.assertEqual((ended, stream._compressor), ([True], None))
        self.assertTrue(all(a != b for a, b in zip(source.turns, source.turns[1:], strict=False)), source.turns)


class TurnsTests(SynchronousTestCase):
    def test_in_order_and_never_more_at_a_time(self) -> None:
        threads = Threads()
        turns = Turns(threads, 2)
        done: list[bytes] = []
        for number in range(5):
            turns(lambda given: given * 2, b"%d" % number).addCallback(done.append)
        self.assertEqual(repr(turns), "<Turns 0 free, 3 waiting>")
        while threads.waiting:
            self.assertLessEqual(len(threads.waiting), 2)
            threads.run()
        self.assertEqual(done, [b"00", b"11", b"22", b"33", b"44"])
        self.assertEqual(repr(turns), "<Turns 2 free, 0 waiting>")

    def test_a_failure_gives_its_place_back(self) -> None:
        threads = Threads()
        turns = Turns(threads, 1)
        first: Deferred[bytes] = turns(bytes, b"1")
        second = turns(bytes, b"2")
        threads.waiting.pop(0)[0].errback(MemoryError())
        self.failureResultOf(first, MemoryError)
        threads.run()
        self.assertEqual(self.successResultOf(second), b"2")
