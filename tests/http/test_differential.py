r"""
Our readers against h11 and httptools: who takes what, and what they read in it.

Three ways to find differences: requests and answers of the plain grammar, where there is none; each oddity of
`tests.http.oddities` by itself, several together, cut anywhere; and any change of some bytes.  The tables below list
every difference, with the section that justifies ours.  One that is not listed is red, and so is one that is listed and
does not exist any more.

What an oracle does where ours does otherwise:

``TAKES``       it takes what we refuse
``REFUSES``     it refuses what we take
``OTHERWISE``   it takes it too, and reads something else
"""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.http.input_table import cut_into, single_bytes
from tests.http.oddities import ANSWER_BASES, ANSWERS, NEXT, REQUEST_BASES, REQUESTS, Draft, Odd
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

SAME, TAKES, REFUSES, OTHERWISE = "same", "takes", "refuses", "otherwise"

#: Why ours is right -> oddity -> what h11 does, what httptools does.
Table = dict[str, dict[str, tuple[str, str]]]

FRAMING_IN_TRAILERS = "RFC 9110 section 6.5.1: framing in trailers is ignored (it is dropped when they are sent on)"

BOTH: Table = {
    "RFC 9112 section 2.2: LF alone may be taken for a line's end; who does not cannot disagree with the next": {
        "LF after the first line": (TAKES, SAME),
        "LF inside": (TAKES, SAME),
        "LF at the end of the head": (TAKES, SAME),
        "CRLF LF at the end of the head": (TAKES, SAME),
        r"chunks 5\r\nhello\r\n0\r\n\n": (TAKES, SAME),
        r"chunks 5\r\nhello\r\n0\r\nX-T: u\n\r\n": (TAKES, SAME),
    },
    "RFC 9112 section 5.2: a folded line is to be refused": {
        "a folded line": (TAKES, SAME),
        "a line folded by a tab": (TAKES, SAME),
        "a line of white space": (TAKES, SAME),
        r"chunks 5\r\nhello\r\n0\r\nX-T: u\r\n v\r\n\r\n": (TAKES, SAME),
    },
    "RFC 9110 section 5.5: no control characters in values": {
        "a control": (TAKES, SAME),
        "DEL": (TAKES, SAME),
    },
    "RFC 9110 section 7.6.1: Connection is a list of tokens": {
        "Connection is no list": (TAKES, TAKES),
    },
    "RFC 9110 section 8.6, RFC 9112 section 6.3: a repeated length may be refused": {
        "Content-Length: 5 | 5": (TAKES, SAME),
        "Content-Length: 5, 5": (TAKES, SAME),
    },
    "RFC 9110 section 8.6: lengths that overflow are to be expected; over 19 digits we do not look whether they do": {
        "Content-Length: 00000000000000000000005": (SAME, TAKES),
    },
    "RFC 9110 section 5.5: white space behind a value is no part of it": {
        r"Transfer-Encoding:\tchunked \t": (SAME, REFUSES),
    },
    "RFC 9112 section 6.1: 501 for a coding that is not understood, and we understand only chunked": {
        "Transfer-Encoding: gzip, chunked": (SAME, TAKES),
        "Transfer-Encoding: gzip | chunked": (SAME, TAKES),
        "Transfer-Encoding: identity, chunked": (SAME, TAKES),
        "Transfer-Encoding: ,chunked": (SAME, TAKES),
    },
    "RFC 9112 section 6.1: a length beside chunks ought to be handled as an error; and HTTP/1.0 has no chunks": {
        "length and chunks": (TAKES, SAME),
        "length in front of chunks": (TAKES, SAME),
        "length nought and chunks": (TAKES, SAME),
        "chunks in HTTP/1.0": (TAKES, TAKES),
    },
    "RFC 9112 section 7.1: chunk-size is hexadecimal digits, and their overflow is to be expected: 16 at most": {
        r"chunks 5 \r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5\t\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 00000000000000005\r\nhello\r\n0\r\n\r\n": (TAKES, TAKES),
    },
    "RFC 9112 section 7.1.1: an extension has a name, and no control characters": {
        r"chunks 5;\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\x00b\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\x01b\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\x7fb\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\rb\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
    },
    "RFC 9112 section 7.1.1: extensions are ignored (ours are never sent on); white space in them is to be taken": {
        r"chunks 5; a = b\r\nhello\r\n0\r\n\r\n": (SAME, REFUSES),
        r"chunks 5;\xc3\xa4\r\nhello\r\n0\r\n\r\n": (SAME, REFUSES),
    },
    FRAMING_IN_TRAILERS: {
        r"chunks 5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n": (SAME, REFUSES),
    },
}

REQUEST_DIFFERENCES: Table = BOTH | {
    FRAMING_IN_TRAILERS: BOTH[FRAMING_IN_TRAILERS]
    | {
        r"chunks 5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n": (SAME, REFUSES),
    },
    "RFC 9112 section 3: single spaces; a lenient reader may differ from the next": {
        "two spaces": (SAME, TAKES),
    },
    "RFC 9112 section 2.2: one empty line (CRLF) before a request line is to be let pass; no more need be": {
        "an empty line in front": (REFUSES, SAME),
        "two empty lines in front": (SAME, TAKES),
        "LF in front": (SAME, TAKES),
    },
    "RFC 9110 sections 2.5 and 15.6.6: 505 for a major version that is not ours, and HTTP/1.2 does not exist": {
        "HTTP/0.9": (SAME, TAKES),
        "HTTP/0.9 by its name": (TAKES, TAKES),
        "HTTP/1.2": (TAKES, SAME),
        "HTTP/2.0": (TAKES, TAKES),
        "PRI": (TAKES, SAME),
    },
    "RFC 9110 section 9.1: any token may be a method": {
        "a method of its own": (SAME, REFUSES),
        "a method in small letters": (SAME, REFUSES),
        # What we take for no body is read as helloGET.
        "a look-alike": (SAME, REFUSES),
        "neither": (SAME, REFUSES),
    },
    "RFC 9110 section 9.3.6: CONNECT is not for us": {
        "CONNECT": (TAKES, TAKES),
        "CONNECT with a path": (TAKES, TAKES),
    },
    "RFC 9112 section 3.2.2: the authority of an absolute target replaces Host": {
        "an absolute target": (OTHERWISE, OTHERWISE),
        "an absolute target of another host": (OTHERWISE, OTHERWISE),
    },
    "RFC 9110 section 4.2.4: user information is to be treated as an error": {
        "an absolute target with user information": (TAKES, TAKES),
    },
    "RFC 9112 section 3.2: four forms of targets, of http URIs, authority-form for CONNECT and * for OPTIONS only": {
        "an absolute target of another scheme": (TAKES, TAKES),
        "an authority as target": (TAKES, SAME),
        "a word as target": (TAKES, SAME),
        "* for GET": (TAKES, TAKES),
    },
    "RFC 9110 section 7.1: no fragment in a target": {
        "a fragment": (TAKES, TAKES),
    },
    "RFC 9110 section 7.6.1: Connection does not name what is for more than one hop": {
        "Connection names Host": (TAKES, TAKES),
        "Connection names Content-Length": (TAKES, TAKES),
    },
    "RFC 9110 section 10.1.1: 417 for an expectation that cannot be met": {
        "another expectation": (TAKES, TAKES),
    },
    "RFC 9110 section 7.8: Upgrade may be ignored; what follows is HTTP/1.1 until a 101 has been sent": {
        "an upgrade": (SAME, REFUSES),
        "an upgrade with a body": (SAME, OTHERWISE),
    },
    "RFC 9112 section 3.2: 400 without Host, with two, and with one that is none": {
        "no Host": (SAME, TAKES),
        "two Host": (SAME, TAKES),
        "two hosts": (SAME, TAKES),
        "a Host with user information": (TAKES, TAKES),
        "a Host with a path": (TAKES, TAKES),
        "a Host with a space": (TAKES, TAKES),
        "a list of hosts": (TAKES, TAKES),
        "a port over 65535": (TAKES, TAKES),
        "a port that is none": (TAKES, TAKES),
        "IPv6 without brackets": (TAKES, TAKES),
    },
    "RFC 9110 section 4.2.1: a http URI has a host that is not empty": {
        "an empty Host": (TAKES, TAKES),
    },
    "RFC 3986 section 3.2.2: names are to be those of DNS, and those have no escapes": {
        "an escape in Host": (TAKES, TAKES),
    },
    "RFC 3986 section 3.2.3: no colon without a port is to be sent": {
        "an empty port": (TAKES, TAKES),
    },
    "RFC 9112 section 9.3: HTTP/1.0 keeps the connection if keep-alive says so, and close does not": {
        "keep-alive in HTTP/1.0": (REFUSES, SAME),
        "close and keep-alive in HTTP/1.0": (SAME, TAKES),
    },
}

ANSWER_DIFFERENCES: Table = BOTH | {
    "RFC 9112 section 4: no control characters in a reason": {
        "a control in the reason": (TAKES, TAKES),
        "NUL in the reason": (SAME, TAKES),
    },
    "RFC 9110 section 15: a status is from 100 to 599; others are to be handled as if they were a 5xx": {
        "status 000": (SAME, TAKES),
        "status 099": (SAME, TAKES),
        "status 600": (TAKES, TAKES),
        "status 999": (TAKES, TAKES),
    },
    "RFC 9110 section 2.5: an answer has our major version and no higher minor one": {
        "HTTP/1.2": (TAKES, SAME),
        "HTTP/2.0": (TAKES, TAKES),
    },
    "RFC 9112 section 2.2: empty lines are let pass before requests, not before answers": {
        "an empty line in front": (SAME, TAKES),
    },
    "RFC 9112 section 6.3: an interim answer ends with its head, whatever its version": {
        "HTTP/1.0 100 Continue before": (SAME, REFUSES),
    },
    "RFC 9110 section 8.6, RFC 9112 section 6.1: an interim answer has no length and no chunks": {
        "103 with a length": (TAKES, TAKES),
        "103 with chunks": (TAKES, TAKES),
    },
    "RFC 9110 section 15.2.2: whether a switch was asked for, `scalekit.http.upgrade` decides": {
        "101": (REFUSES, SAME),
    },
    "RFC 9112 section 7: chunked is applied once": {
        "Transfer-Encoding: chunked | chunked": (SAME, TAKES),
        "Transfer-Encoding: chunked, chunked": (SAME, TAKES),
    },
}

#: What shows only where two meet: names as patterns, then the verdicts as above.
INTERPLAY: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "RFC 9112 section 6.3: framing that is wrong is wrong, also where no body follows": (
        (r"[23]04 with .*", r"Transfer-Encoding:.*", SAME, TAKES),
        (r"[23]04 with .*", r"Content-Length: 18446744073709551621", TAKES, SAME),
        (r"[23]04 with .*", r"Content-Length: 18446744073709551615", TAKES, TAKES),
        (r"an upgrade with a body", r"Content-Length: 18446744073709551615", SAME, TAKES),
    ),
    "RFC 9112 section 9.3: close wins over keep-alive": (
        (r"keep-alive in HTTP/1\.0", r"close( among others)?", SAME, TAKES),
    ),
}

#: Our reasons to refuse what an oracle takes, where no oddity is known by name: bytes have been changed at random.
OUR_REASONS: dict[str, str] = {
    "bad-request-line": "RFC 9112 section 3",
    "version-not-supported": "RFC 9110 section 2.5",
    "bare-lf": "RFC 9112 section 2.2",
    "folded-field": "RFC 9112 section 5.2",
    "bad-field": "RFC 9110 section 5.5",
    "bad-host": "RFC 9112 section 3.2",
    "bad-target": "RFC 9112 section 3.2",
    "bad-content-length": "RFC 9110 section 8.6",
    "bad-transfer-encoding": "RFC 9112 section 6.1",
    "bad-chunk": "RFC 9112 section 7.1",
    "the first line is no HTTP/1.1 status line": "RFC 9112 section 4",
    "it does not start with HTTP/1.": "RFC 9112 section 4",
    "line ends in LF without CR": "RFC 9112 section 2.2",
    "A field line starts with white space": "RFC 9112 section 5.2",
    "A field's value has a control character": "RFC 9110 section 5.5",
    "Transfer-Encoding is not exactly one chunked": "RFC 9112 section 6.1",
    "it is an interim answer with a body": "RFC 9110 section 15.2",
    "A chunk's size is not hexadecimal digits and CRLF": "RFC 9112 section 7.1",
}
#: The oracles' words where they refuse what we take.
THEIR_REASONS: dict[str, str] = {
    "no request line received": "RFC 9112 section 2.2: an empty line is to be let pass",
    "Invalid method encountered|Expected space after method": "RFC 9110 section 9.1: any token may be a method",
    "Request has invalid `Transfer-Encoding`": "RFC 9110 section 5.5: white space behind a value is no part of it",
    "Empty Transfer-Encoding|Only Transfer-Encoding: chunked": FRAMING_IN_TRAILERS,
}


def verdict(our: Reading, their: Reading) -> str:
    """How an oracle's reading differs from ours."""
    if our.taken == their.taken:
        return SAME
    shared = min(len(our.taken), len(their.taken))
    if our.taken[:shared] != their.taken[:shared]:
        return OTHERWISE
    return TAKES if len(their.taken) > shared else REFUSES


class Side:
    """Requests or answers: their oddities, table, readers."""

    def __init__(
        self,
        odds: tuple[Odd, ...],
        bases: dict[str, Callable[[], Draft]],
        table: Table,
        behind: bytes,
        *readers: Callable[[list[bytes]], Reading],
    ) -> None:
        self.odds = odds
        self.bases = bases
        self.listed = {name: verdicts for group in table.values() for name, verdicts in group.items()}
        self.behind = behind
        self.readers = readers

    def bytes_of(self, base: str, *odds: Odd) -> bytes:
        draft = self.bases[base]()
        for odd in odds:
            odd.change(draft)
        return bytes(draft) + self.behind

    def compare(self, pieces: list[bytes]) -> tuple[Reading, str, str]:
        """Our reading, and the verdicts on h11 and httptools."""
        our, *others = (reader(pieces) for reader in self.readers)
        by_h11, by_httptools = (verdict(our, other) for other in others)
        return our, by_h11, by_httptools

    def allowed(self, odds: list[Odd]) -> tuple[set[str], set[str]]:
        """The verdicts that are listed for any of these, by oracle."""
        listed = [self.listed.get(odd.name, (SAME, SAME)) for odd in odds]
        for rows in INTERPLAY.values():
            for one, other, *verdicts in rows:
                if all(any(re.fullmatch(name, odd.name) for odd in odds) for name in (one, other)):
                    listed.append((verdicts[0], verdicts[1]))
        return {SAME, *(h11 for h11, _ in listed)}, {SAME, *(httptools for _, httptools in listed)}


SIDES = {
    "requests": Side(REQUESTS, REQUEST_BASES, REQUEST_DIFFERENCES, NEXT, ours, by_h11, by_httptools),
    "answers": Side(ANSWERS, ANSWER_BASES, ANSWER_DIFFERENCES, b"", our_answer, answer_by_h11, answer_by_httptools),
}
PLACES = st.lists(st.integers(0, 160), max_size=4).map(sorted)


@st.composite
def odd_messages(draw: st.DrawFn) -> tuple[Side, str, list[Odd], list[int]]:
    """A side, one of its bases, oddities for that, and where to cut."""
    side = SIDES[draw(st.sampled_from(sorted(SIDES)))]
    base = draw(st.sampled_from(sorted(side.bases)))
    fitting = [odd for odd in side.odds if odd.base in ("", base)]
    odds = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=3, unique_by=id))
    return side, base, odds, draw(PLACES)


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


#: What parsers stumble over.
NOISE = st.one_of(
    st.sampled_from([bytes([octet]) for octet in b'\r\n \t\x00\x01\x7f\x80\xff:,;="015aG/?#%@[]-_.*(\\'] + [b"\r\n"]),
    st.binary(min_size=1, max_size=2),
)
#: Where (of a thousand), how many bytes go, and what comes in their place.
EDITS = st.lists(st.tuples(st.integers(0, 999), st.integers(0, 3), st.one_of(st.just(b""), NOISE)), max_size=3)


@st.composite
def changed_messages(draw: st.DrawFn) -> tuple[Side, bytes, list[int]]:
    """A good message with a few bytes changed."""
    side = SIDES[draw(st.sampled_from(sorted(SIDES)))]
    data = bytearray(side.bytes_of(draw(st.sampled_from(sorted(side.bases)))))
    for place, count, noise in draw(EDITS):
        at = place * len(data) // 1000
        data[at : at + count] = noise
    return side, bytes(data), draw(PLACES)


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
