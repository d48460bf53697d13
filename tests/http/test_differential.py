"""
Our readers against h11 and httptools: who takes what, and what they read in it.

Three ways to find differences: requests and answers of the plain grammar, where there is none; each oddity of
`tests.http.oddities` by itself, several together, cut anywhere; and any change of some bytes.  `tests.http.differences`
lists every difference.  One that is not listed is red, and so is one that is listed and does not exist any more.
"""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.http.differences import (
    OUR_REASONS,
    REFUSES,
    SAME,
    TAKES,
    THEIR_REASONS,
)
from tests.http.input_table import cut_into, single_bytes
from tests.http.oddities import Odd
from tests.http.oracles import (
    Message,
    Reading,
    answer_by_h11,
    answer_by_httptools,
    by_h11,
    by_httptools,
    our_answer,
    ours,
    plain,
)
from tests.http.sides import PLACES, SIDES, Side, changed_messages, odd_messages, verdict


class OddityTests(SynchronousTestCase):
    def test_each_alone(self) -> None:
        """Every difference is listed, and every one that is listed exists."""
        wrong = []
        for side in SIDES.values():
            names = [odd.name for odd in side.odds]
            self.assertEqual(len(names), len(set(names)))
            self.assertEqual(set(side.listed) - set(names), set())
            for odd in side.odds:
                for base in [odd.base] if odd.base else side.bases:
                    our, *found = side.compare([side.bytes_of(base, odd)])
                    if tuple(found) != side.listed.get(odd.name, (SAME, SAME)):
                        wrong.append(f"{odd.name}, {base}: {found}; ours: {our.why or 'taken'}")
        if wrong:
            self.fail("\n".join(wrong))

    def test_each_in_any_pieces(self) -> None:
        for side in SIDES.values():
            for odd in side.odds:
                for base in [odd.base] if odd.base else side.bases:
                    data = side.bytes_of(base, odd)
                    whole = side.readers[0]([data])
                    for pieces in (single_bytes(data), *(cut_into(data, place) for place in range(1, len(data), 11))):
                        reading = side.readers[0](pieces)
                        self.assertEqual(reading.taken, whole.taken, odd.name)
                        if side is SIDES["requests"]:
                            self.assertEqual(reading.why, whole.why, odd.name)
                        # Of an answer the log is told; it may be told of the first few bytes.
                        self.assertEqual(bool(reading.why), bool(whole.why), odd.name)

    @settings(max_examples=300)
    @given(odd_messages())
    def test_several_together(self, message: tuple[Side, str, list[Odd], list[int]]) -> None:
        side, base, odds, places = message
        data = side.bytes_of(base, *odds)
        our, h11, httptools = side.compare(cut_into(data, *places))
        in_h11, in_httptools = side.allowed(odds)
        self.assertIn(h11, in_h11, (data, our))
        self.assertIn(httptools, in_httptools, (data, our))


class ChangedTests(SynchronousTestCase):
    @settings(max_examples=500)
    @given(changed_messages())
    def test_every_difference_has_a_reason(self, message: tuple[Side, bytes, list[int]]) -> None:
        side, data, places = message
        pieces = cut_into(data, *places)
        our, *others = (reader(pieces) for reader in side.readers)
        for other in others:
            found = verdict(our, other)
            if found == TAKES:
                self.assertTrue(any(reason in our.why for reason in OUR_REASONS), (data, our.why))
            elif found == REFUSES:
                self.assertTrue(any(re.search(words, other.why) for words in THEIR_REASONS), (data, other.why))
            else:
                self.assertEqual(found, SAME, data)

    @settings(max_examples=150)
    @given(changed_messages())
    def test_any_pieces_give_the_same(self, message: tuple[Side, bytes, list[int]]) -> None:
        side, data, places = message
        whole = side.readers[0]([data])
        for pieces in (cut_into(data, *places), single_bytes(data)):
            reading = side.readers[0](pieces)
            self.assertEqual(reading.taken, whole.taken)
            # What comes in pieces may be refused before its end has come, never later.
            self.assertTrue(reading.why or not whole.why, (data, whole.why))


# Messages of the plain grammar.

NAMES = st.from_regex(rb"[Xx]-[a-zA-Z0-9!#$%&'*+.^_`|~-]{0,8}", fullmatch=True)
VALUES = st.from_regex(rb"([!-~\x80-\xff]([ \t]{0,2}[!-~\x80-\xff]){0,9})?", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
SPACES = st.sampled_from([b"", b" ", b"\t", b"  \t"])
TARGETS = st.from_regex(
    rb"/([a-zA-Z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}){0,20}(\?[a-z0-9=&/?%+]{0,12})?", fullmatch=True
)
HOSTS = st.sampled_from([b"a.example", b"A.example:8080", b"[::1]:80", b"127.0.0.1", b"a_b.example"])
CHUNKS = st.lists(st.binary(min_size=1, max_size=20), max_size=4)
EXTENSIONS = st.sampled_from([b"", b";a", b";a=b", b';a="b c"', b";a=b;c=d"])


@st.composite
def framed_bodies(draw: st.DrawFn) -> tuple[list[bytes], bytes, bytes, list[tuple[bytes, bytes]]]:
    """The lines that say how long a body is, its bytes on the wire, what is in them, and the trailers."""
    if draw(st.booleans()):
        body = draw(st.binary(max_size=40))
        return [cased(draw, b"Content-Length") + b": %d" % len(body)], body, body, []
    pieces, trailers = draw(CHUNKS), draw(FIELDS)
    wire = b""
    for piece in pieces:
        size = draw(st.sampled_from([b"%x", b"%X", b"0%x"])) % len(piece)
        wire += size + draw(EXTENSIONS) + b"\r\n" + piece + b"\r\n"
    wire += b"0" + draw(EXTENSIONS) + b"\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in trailers) + b"\r\n"
    return [cased(draw, b"Transfer-Encoding") + b": " + cased(draw, b"chunked")], wire, b"".join(pieces), trailers


def cased(draw: st.DrawFn, word: bytes) -> bytes:
    """The word in any case."""
    return draw(st.sampled_from([word, word.lower(), word.upper(), word.swapcase()]))


def lines_of(draw: st.DrawFn, *groups: list[bytes]) -> bytes:
    """Field lines in any order; those of a group stay in theirs."""
    lines: list[bytes] = []
    for group in groups:
        place = draw(st.integers(0, len(lines)))
        lines[place:place] = group
    return b"".join(line + b"\r\n" for line in lines) + b"\r\n"


@st.composite
def good_requests(draw: st.DrawFn) -> tuple[bytes, Message]:
    """A request's bytes, and what is in them."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH"]))
    target, host, fields = draw(TARGETS), draw(HOSTS), draw(FIELDS)
    framing, wire, body, trailers = draw(st.one_of(st.just(([], b"", b"", [])), framed_bodies()))
    own = [b"%b:%b%b%b" % (name, draw(SPACES), value, draw(SPACES)) for name, value in fields]
    head = lines_of(draw, own, framing, [cased(draw, b"Host") + b":" + draw(SPACES) + host])
    return b"%b %b HTTP/1.1\r\n%b%b" % (method, target, head, wire), message_of(
        (method, target), host, fields, body, trailers
    )


@st.composite
def good_answers(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    """The bytes of an answer and of interim ones before it, and what is in them."""
    data, messages = b"", []
    for status in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2)):
        fields = draw(FIELDS)
        data += b"HTTP/1.1 %d \r\n%b" % (status, lines_of(draw, [b"%b: %b" % pair for pair in fields]))
        messages.append(message_of((status,), b"", fields, b"", []))
    status = draw(st.integers(200, 599).filter(lambda status: status not in (204, 304)))
    reason = draw(st.from_regex(rb"( [!-~\x80-\xff \t]{0,12})?", fullmatch=True))
    fields, rest = draw(FIELDS), draw(st.binary(max_size=40))
    framing, wire, body, trailers = draw(st.one_of(st.just(([], rest, rest, [])), framed_bodies()))
    own = [b"%b:%b%b%b" % (name, draw(SPACES), value, draw(SPACES)) for name, value in fields]
    data += b"HTTP/1.1 %d%b\r\n%b%b" % (status, reason, lines_of(draw, own, framing), wire)
    return data, [*messages, message_of((status,), b"", fields, body, trailers)]


def message_of(
    start: tuple[object, ...],
    host: bytes,
    fields: list[tuple[bytes, bytes]],
    body: bytes,
    trailers: list[tuple[bytes, bytes]],
) -> Message:
    return Message(start, host, plain(fields), body, plain(trailers))


class PlainTests(SynchronousTestCase):
    """What the grammar allows all three take, and read the same in it as was written."""

    @settings(max_examples=100)
    @given(st.lists(good_requests(), min_size=1, max_size=3), PLACES)
    def test_requests(self, requests: list[tuple[bytes, Message]], places: list[int]) -> None:
        data = b"".join(sent for sent, _ in requests)
        expected = [message for _, message in requests]
        for reader in (ours, by_h11, by_httptools):
            self.assertEqual(reader(cut_into(data, *places)), Reading(expected), reader)

    @settings(max_examples=100)
    @given(good_answers(), PLACES)
    def test_answers(self, answer: tuple[bytes, list[Message]], places: list[int]) -> None:
        data, expected = answer
        for reader in (our_answer, answer_by_h11, answer_by_httptools):
            self.assertEqual(reader(cut_into(data, *places)).taken, expected, reader)
