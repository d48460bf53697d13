"""Where messages end in a stream."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.syslog.framing import Framing, Message

LIMIT = 20


def read(*reads: bytes, limit: int = LIMIT) -> tuple[list[Message], str | None]:
    """All messages of a connection that ends, and its fault."""
    framing = Framing(limit)
    messages = [message for data in reads for message in framing.feed(data)]
    return messages + framing.end(), framing.fault


def texts(*reads: bytes) -> list[bytes]:
    """The messages of a connection without a fault."""
    messages, fault = read(*reads, limit=1000)
    assert fault is None
    return [message.data for message in messages]


class TrailerTests(SynchronousTestCase):
    """A newline or NUL ends messages."""

    def test_newlines(self) -> None:
        """Empty lines are no messages; the last needs no end."""
        self.assertEqual(texts(b"<1>a\n<1>b\r\n\r\n\n<1>c"), [b"<1>a", b"<1>b\r", b"<1>c"])
        self.assertEqual(texts(b"\n\n"), [])
        self.assertEqual(texts(b"2026-11-23 a\n12\n"), [b"2026-11-23 a", b"12"])
        self.assertEqual(texts(b"12 a\n1234567890 <1>b\n"), [b"12 a", b"1234567890 <1>b"])

    def test_nul(self) -> None:
        """Python's: from the first NUL on, newlines are within messages, unless a priority follows."""
        self.assertEqual(texts(b"<1>a\0<1>b\n b\0<1>c\n<9 c\0"), [b"<1>a", b"<1>b\n b", b"<1>c\n<9 c"])
        self.assertEqual(texts(b"<1>a\0<1>b\n<191>c\n"), [b"<1>a", b"<1>b", b"<191>c\n"])

    def test_a_message_over_the_limit(self) -> None:
        """Is cut; what follows is whole again, and little of it is held."""
        long = b"<1>" + b"x" * 100
        self.assertEqual(read(long + b"\n<1>a\n"), ([Message(long[:LIMIT], 83), Message(b"<1>a")], None))
        self.assertEqual(
            read(b"<1>\0" + long + b"\0<1>a"), ([Message(b"<1>"), Message(long[:LIMIT], 83), Message(b"<1>a")], None)
        )
        framing = Framing(LIMIT)
        for byte in long:
            framing.feed(bytes([byte]))
            self.assertLessEqual(framing.held_bytes, LIMIT + 5)
        self.assertEqual(framing.end(), [Message(long[:LIMIT], 83)])
        self.assertEqual((framing.held_bytes, framing.end()), (0, []))

    def test_http(self) -> None:
        """What a browser can be made to send, to any port, is no syslog: neither its head nor what it posts."""
        for head in (
            b"POST /x HTTP/1.1",
            b"get <13>x HTTP/1.1",
            b"5 /<13>x HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"GET /" + b"x" * 100,
        ):
            self.assertEqual(read(head + b"\r\nHost: x\r\n\r\n<13>shop: forged\n"), ([], "http"), head)
        self.assertEqual(read(b"GET / HTTP/1.1"), ([], "http"))
        self.assertEqual(texts(b"<13>GET / HTTP/1.1\nGET / HTTP/1.1\n"), [b"<13>GET / HTTP/1.1", b"GET / HTTP/1.1"])


class CountTests(SynchronousTestCase):
    """Octet counting."""

    def test_counts(self) -> None:
        """Newlines within are part of the message; those between are forgiven."""
        self.assertEqual(texts(b"4 <1>a6 <1>b\nb\n\n4 <1>c"), [b"<1>a", b"<1>b\nb", b"<1>c"])

    def test_a_message_over_the_limit(self) -> None:
        long = b"<1>" + b"x" * 100
        self.assertEqual(read(b"103 " + long + b"4 <1>a"), ([Message(long[:LIMIT], 83), Message(b"<1>a")], None))
        framing = Framing(LIMIT)
        self.assertEqual(framing.feed(b"999999999 " + long), [Message(long[:LIMIT], 999_999_979)])
        framing.feed(b"y" * 1000)
        self.assertEqual((framing.held_bytes, framing.end()), (0, []))

    def test_an_end_within(self) -> None:
        """What came of it is not thrown away."""
        self.assertEqual(read(b"4 <1>a9 <1>b"), ([Message(b"<1>a"), Message(b"<1>b", 5)], None))
        self.assertEqual(read(b"4 <1>a9 "), ([Message(b"<1>a")], None))
        self.assertEqual(read(b"4 <1>a9"), ([Message(b"<1>a")], None))

    def test_newlines_between(self) -> None:
        """Forgiven, and not kept, however many come."""
        framing = Framing(LIMIT)
        self.assertEqual(framing.feed(b"4 <1>a\n"), [Message(b"<1>a")])
        for _ in range(3):
            self.assertEqual((framing.feed(b"\n" * 1000), framing.held_bytes), ([], 0))
        self.assertEqual((framing.feed(b"\n4"), framing.held_bytes), ([], 1))
        self.assertEqual(framing.feed(b" <1>b\n\n"), [Message(b"<1>b")])
        self.assertIsNone(framing.fault)

    def test_a_count_that_is_none(self) -> None:
        """Where messages begin is not known any more: those before are taken."""
        for rest in (b"<1>b\n", b"0 <1>b", b"x", b"-4 <1>b", b"1234567890 <1>b"):
            self.assertEqual(read(b"4 <1>a" + rest), ([Message(b"<1>a")], "framing"), rest)
        framing = Framing()
        framing.feed(b"4 <1>ax")
        self.assertEqual((framing.feed(b"4 <1>a"), repr(framing)), ([], "<Framing counted, 1 bytes held, framing>"))


_PIECES = st.sampled_from(
    [b"<1>", b"<191>", b"\n", b"\0", b"7 <", b"10 ", b"x" * 25, b" ", b"HTTP/1.1", b"GET /", b"12"]
)


class CutTests(SynchronousTestCase):
    """How the bytes are cut into reads."""

    @given(st.lists(_PIECES | st.binary(max_size=9), max_size=15).map(b"".join), st.lists(st.integers(0, 200)))
    @example(b"<1>a\0<1>b\n<191>c", [10, 11, 12, 13, 14, 15])
    @example(b"103 <1>" + b"x" * 100 + b"4 <1>a", [1, 2, 3, 4, 20, 100, 107, 108])
    def test_makes_no_difference(self, stream: bytes, cuts: list[int]) -> None:
        """All at once, byte by byte, or in any other way."""
        whole = read(stream)
        self.assertEqual(read(*(bytes([byte]) for byte in stream)), whole)
        places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
        self.assertEqual(read(*(stream[start:end] for start, end in pairwise(places))), whole)
        self.assertTrue(all(0 < len(message.data) <= LIMIT for message in whole[0]))

    @given(st.lists(st.binary(min_size=1, max_size=30).map(lambda data: b"<1>" + data), max_size=9))
    def test_counted_messages_come_as_they_were(self, messages: list[bytes]) -> None:
        stream = b"".join(b"%d %b" % (len(message), message) for message in messages)
        self.assertEqual(texts(stream), messages)
