"""
Requests and answers with one or more things odd about them: a `Draft` is a message before it is put together, an `Odd`
does one thing to it.  `tests.http.test_differential` has the table of who makes what of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: Behind each request comes this one: where a body is thought to end shows by it.
NEXT = b"GET /next HTTP/1.1\r\nHost: next.example\r\n\r\n"


@dataclass
class Draft:
    """A message in the making; ``swaps`` are done to its bytes at the end, first places only."""

    start: bytes
    lines: list[bytes] = field(default_factory=list)
    body: bytes = b""
    swaps: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __bytes__(self) -> bytes:
        data = b"\r\n".join([self.start, *self.lines, b"", b""]) + self.body
        for old, new in self.swaps:
            data = data.replace(old, new, 1)
        return data


Change = Callable[[Draft], None]


@dataclass(frozen=True)
class Odd:
    """
    :ivar change: does it to a draft.
    :ivar base: which draft it can be done to, see `REQUEST_BASES` and `ANSWER_BASES`; empty: all.
    """

    name: str
    change: Change
    base: str = ""


# How to make them.


def started(start: bytes) -> Change:
    """Another first line."""

    def change(draft: Draft) -> None:
        draft.start = start

    return change


def edited(old: bytes, new: bytes) -> Change:
    """Something in the first line."""

    def change(draft: Draft) -> None:
        draft.start = draft.start.replace(old, new, 1)

    return change


def lined(*lines: bytes) -> Change:
    """More field lines, at the end."""

    def change(draft: Draft) -> None:
        draft.lines += lines

    return change


def topped(line: bytes) -> Change:
    """A field line at the top."""

    def change(draft: Draft) -> None:
        draft.lines.insert(0, line)

    return change


def hosted(*lines: bytes) -> Change:
    """These in place of Host."""

    def change(draft: Draft) -> None:
        draft.lines = [line for line in draft.lines if not line.lower().startswith(b"host")] + list(lines)

    return change


def framed(*lines: bytes) -> Change:
    """These in place of the framing."""

    def change(draft: Draft) -> None:
        framing = (b"content-length", b"transfer-encoding")
        draft.lines = [line for line in draft.lines if not line.lower().startswith(framing)] + list(lines)

    return change


def bodied(body: bytes) -> Change:
    """Another body."""

    def change(draft: Draft) -> None:
        draft.body = body

    return change


def swapped(old: bytes, new: bytes) -> Change:
    """Something in the finished bytes."""

    def change(draft: Draft) -> None:
        draft.swaps.append((old, new))

    return change


def _behind(interim: bytes) -> Change:
    """Behind this interim answer."""

    def change(draft: Draft) -> None:
        draft.swaps.insert(0, (draft.start, interim + draft.start))

    return change


def _shown(value: bytes) -> str:
    return ascii(value.decode("latin-1"))[1:-1]


#: By name: what oddities are done to.
REQUEST_BASES: dict[str, Callable[[], Draft]] = {
    "plain": lambda: Draft(b"GET /a?b=c HTTP/1.1", [b"Host: a.example", b"X-A: b"]),
    "length": lambda: Draft(b"POST /a HTTP/1.1", [b"Host: a.example", b"Content-Length: 5"], b"hello"),
    "chunked": lambda: Draft(
        b"PUT /a HTTP/1.1", [b"Host: a.example", b"Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"
    ),
    "old": lambda: Draft(b"GET /a HTTP/1.0", [b"Host: a.example"]),
}
ANSWER_BASES: dict[str, Callable[[], Draft]] = {
    "length": lambda: Draft(b"HTTP/1.1 200 OK", [b"X-A: b", b"Content-Length: 5"], b"hello"),
    "chunked": lambda: Draft(b"HTTP/1.1 200 OK", [b"Transfer-Encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n"),
    "close": lambda: Draft(b"HTTP/1.1 200 OK", [b"X-A: b"], b"hello"),
}

REQUEST_LINE = (
    Odd("two spaces", edited(b" ", b"  ")),
    Odd("a tab", edited(b" ", b"\t")),
    Odd("a space at the end", edited(b"HTTP/1.1", b"HTTP/1.1 "), base="plain"),
    Odd("a space in front", edited(b"GET", b" GET"), base="plain"),
    Odd("an empty line in front", lambda draft: draft.swaps.insert(0, (draft.start, b"\r\n" + draft.start))),
    Odd("two empty lines in front", lambda draft: draft.swaps.insert(0, (draft.start, b"\r\n\r\n" + draft.start))),
    Odd("LF in front", lambda draft: draft.swaps.insert(0, (draft.start, b"\n" + draft.start))),
    Odd("HTTP/0.9", started(b"GET /a")),
    Odd("HTTP/0.9 by its name", started(b"GET /a HTTP/0.9")),
    Odd("HTTP/1.2", started(b"GET /a HTTP/1.2")),
    Odd("HTTP/2.0", started(b"GET /a HTTP/2.0")),
    Odd("HTTP/11", started(b"GET /a HTTP/11")),
    Odd("HTTP/1.10", started(b"GET /a HTTP/1.10")),
    Odd("http", started(b"GET /a http/1.1")),
    Odd("HTTPS", started(b"GET /a HTTPS/1.1")),
    Odd("a method of its own", started(b"X-OWN /a HTTP/1.1"), base="plain"),
    Odd("a method in small letters", started(b"get /a HTTP/1.1"), base="plain"),
    Odd("a method with a bracket", started(b"GE[T /a HTTP/1.1"), base="plain"),
    Odd("no method", started(b" /a HTTP/1.1")),
    Odd("PRI", started(b"PRI * HTTP/2.0"), base="plain"),
    Odd("CONNECT", started(b"CONNECT a.example:443 HTTP/1.1"), base="plain"),
    Odd("CONNECT with a path", started(b"CONNECT /a HTTP/1.1"), base="plain"),
    Odd("no target", started(b"GET HTTP/1.1")),
    Odd("an absolute target", started(b"GET http://a.example/a HTTP/1.1"), base="plain"),
    Odd("an absolute target of another host", started(b"GET http://b.example/a HTTP/1.1"), base="plain"),
    Odd("an absolute target with user information", started(b"GET http://u@b.example/a HTTP/1.1"), base="plain"),
    Odd("an absolute target of another scheme", started(b"GET ftp://a.example/a HTTP/1.1"), base="plain"),
    Odd("an authority as target", started(b"GET a.example:80 HTTP/1.1"), base="plain"),
    Odd("a word as target", started(b"GET a HTTP/1.1"), base="plain"),
    Odd("* for GET", started(b"GET * HTTP/1.1"), base="plain"),
    Odd("* for OPTIONS", started(b"OPTIONS * HTTP/1.1"), base="plain"),
    Odd("a fragment", started(b"GET /a#b HTTP/1.1"), base="plain"),
    Odd("quotes and brackets in the target", started(b'GET /"<>[]\\^`{|} HTTP/1.1'), base="plain"),
    Odd("a control in the target", started(b"GET /a\x01 HTTP/1.1"), base="plain"),
    Odd("DEL in the target", started(b"GET /a\x7f HTTP/1.1"), base="plain"),
    Odd("a letter beyond ASCII in the target", started(b"GET /\xc3\xa4 HTTP/1.1"), base="plain"),
    Odd("a space in the target", started(b"GET /a b HTTP/1.1"), base="plain"),
    Odd("a tab in the target", started(b"GET /a\tb HTTP/1.1"), base="plain"),
    Odd("LF after the first line", lambda draft: draft.swaps.append((draft.start + b"\r\n", draft.start + b"\n"))),
    Odd("CR after the first line", lambda draft: draft.swaps.append((draft.start + b"\r\n", draft.start + b"\r"))),
)

FIELDS = (
    Odd("a space before the colon", lined(b"X-B : c")),
    Odd("a tab before the colon", lined(b"X-B\t: c")),
    Odd("no colon", lined(b"X-B c")),
    Odd("no name", lined(b": c")),
    Odd("no value", lined(b"X-B:")),
    Odd("white space around", lined(b"X-B: \t c \t ")),
    Odd("a folded line", lined(b"X-B: c", b" d")),
    Odd("a line folded by a tab", lined(b"X-B: c", b"\td")),
    Odd("a folded line at the top", topped(b" X-B: c")),
    Odd("a line of white space", lined(b"X-B: c", b"  ")),
    Odd("NUL", lined(b"X-B: c\x00d")),
    Odd("a control", lined(b"X-B: c\x01d")),
    Odd("a vertical tab", lined(b"X-B: c\x0bd")),
    Odd("a form feed at the end", lined(b"X-B: c\x0c")),
    Odd("DEL", lined(b"X-B: c\x7fd")),
    Odd("CR inside", lined(b"X-B: c\rd")),
    Odd("LF inside", lined(b"X-B: c\nX-C: d")),
    Odd("LF at the end of the head", swapped(b"\r\n\r\n", b"\n\n")),
    Odd("CRLF LF at the end of the head", swapped(b"\r\n\r\n", b"\r\n\n")),
    Odd("two CR", lined(b"X-B: c\r")),
    Odd("letters beyond ASCII", lined(b"X-B: \xc3\xa4\xff")),
    Odd("a bracket in the name", lined(b"X[B: c")),
    Odd("a slash in the name", lined(b"X/B: c")),
    Odd("a space in the name", lined(b"X B: c")),
    Odd("a quote in the name", lined(b'X"B: c')),
    Odd("a letter beyond ASCII in the name", lined(b"X\xe4: c")),
    Odd("NUL in the name", lined(b"X\x00B: c")),
    Odd("all a name may have", lined(b"!#$%&'*+-.^_`|~0aZ: c")),
    Odd("twice", lined(b"X-B: c", b"X-B: d")),
    Odd("Connection is no list", lined(b"Connection: a b")),
    Odd("Connection names Host", lined(b"Connection: host")),
    Odd("Connection names Content-Length", lined(b"Connection: content-length")),
    Odd("close", lined(b"Connection: close")),
    Odd("close among others", lined(b"Connection: x-a, CLOSE")),
    Odd("close and keep-alive", lined(b"Connection: close", b"Connection: keep-alive"), base="length"),
    Odd("keep-alive", lined(b"Connection: keep-alive"), base="length"),
    Odd("another expectation", lined(b"Expect: 200-maybe")),
    Odd("an expectation", lined(b"Expect: 100-continue")),
    Odd("an upgrade", lined(b"Connection: upgrade", b"Upgrade: websocket"), base="plain"),
    Odd("an upgrade with a body", lined(b"Connection: upgrade", b"Upgrade: websocket"), base="length"),
    Odd("an upgrade that Connection does not name", lined(b"Upgrade: websocket")),
)

HOSTS = (
    Odd("no Host", hosted(), base="plain"),
    Odd("two Host", hosted(b"Host: a.example", b"Host: a.example")),
    Odd("two hosts", hosted(b"Host: a.example", b"Host: b.example")),
    Odd("an empty Host", hosted(b"Host:"), base="plain"),
    Odd("a Host with user information", hosted(b"Host: u@a.example")),
    Odd("a Host with a path", hosted(b"Host: a.example/b")),
    Odd("a Host with a space", hosted(b"Host: a example")),
    Odd("a list of hosts", hosted(b"Host: a.example, b.example")),
    Odd("an escape in Host", hosted(b"Host: ex%61mple")),
    Odd("a port over 65535", hosted(b"Host: a.example:65536")),
    Odd("a port that is none", hosted(b"Host: a.example:80a")),
    Odd("an empty port", hosted(b"Host: a.example:")),
    Odd("IPv6", hosted(b"Host: [::1]:80")),
    Odd("IPv6 without brackets", hosted(b"Host: ::1")),
)

LENGTHS = tuple(
    Odd("Content-Length:" + " |".join(map(_shown, values)), framed(*(b"Content-Length:" + v for v in values)), "length")
    for values in (
        (b" 5", b" 5"), (b" 5", b" 6"), (b" 5, 5",), (b" 5, 6",), (b" +5",), (b" -5",), (b" 0x5",), (b" 5 5",), (b"",),
        (b" 1_0",), (b" 05",), (b" 5.0",), (b" 5\x0b",), (b" five",), (b" 18446744073709551615",),
        (b" 18446744073709551621",), (b" 00000000000000000000005",), (b" 5;",), (b" ,5",),
    )
)  # fmt: skip

CODINGS = tuple(
    Odd("Transfer-Encoding:" + " |".join(map(_shown, values)),
        framed(*(b"Transfer-Encoding:" + value for value in values)), "chunked")
    for values in (
        (b" CHUNKED",), (b"\tchunked \t",), (b" chunked", b" chunked"), (b" chunked, chunked",), (b" gzip, chunked",),
        (b" gzip", b" chunked"), (b" chunked", b" gzip"), (b" gzip",), (b" identity",), (b" identity, chunked",),
        (b" chunked, identity",), (b" xchunked",), (b" chunkedx",), (b" chunked;q=1",), (b' "chunked"',),
        (b" chunked,",), (b" ,chunked",), (b"",), (b" \x0bchunked",), (b" chunk ed",), (b" chunked\x0c",),
    )
)  # fmt: skip

FRAMINGS = (
    Odd("length and chunks", lined(b"Content-Length: 5"), base="chunked"),
    Odd("length in front of chunks", topped(b"Content-Length: 5"), base="chunked"),
    Odd("length nought and chunks", lined(b"Content-Length: 0"), base="chunked"),
    Odd("chunks in HTTP/1.0", edited(b"HTTP/1.1", b"HTTP/1.0"), base="chunked"),
    Odd("a look-alike", framed(b"Content_Length: 5"), base="length"),
    Odd("neither", framed(), base="length"),
    Odd("keep-alive in HTTP/1.0", lined(b"Connection: keep-alive"), base="old"),
    Odd("close and keep-alive in HTTP/1.0", lined(b"Connection: close", b"Connection: keep-alive"), base="old"),
    Odd("HTTP/1.0 without Host", hosted(), base="old"),
    Odd("HTTP/1.0 with a length", lined(b"Content-Length: 0"), base="old"),
)

CHUNKS = tuple(
    Odd("chunks " + _shown(body), bodied(body), base="chunked")
    for body in (
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\t\r\nhello\r\n0\r\n\r\n",
        b"\r\n5\r\nhello\r\n0\r\n\r\n",
        b"5_0\r\nhello\r\n0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
        b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
        b"5;\r\nhello\r\n0\r\n\r\n",
        b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
        b"5; a = b\r\nhello\r\n0\r\n\r\n",
        b"5;a\x00b\r\nhello\r\n0\r\n\r\n",
        b"5;a\x01b\r\nhello\r\n0\r\n\r\n",
        b"5;a\x7fb\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5;\xc3\xa4\r\nhello\r\n0\r\n\r\n",
        b"5,a\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"6\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\n\r\n",
        b"5\r\nhello\r\n0\r\n\n",
        b"5\r\nhello\r\n0\n\n",
        b"5\r\nhello\r\n00\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-T: u\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n",
        b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"5\r\nhello\r\n0\r\nHost: b.example\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-T : u\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-T: u\n\r\n",
        b"5\r\nhello\r\n0\r\nX-T: u\r\n v\r\n\r\n",
        b"5\r\nhello\r\n0\r\n X-T: u\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-T: u\x00\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX-T u\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r",
        b"0\r\n\r\n",
    )
)

STATUS_LINE = (
    Odd("no reason", started(b"HTTP/1.1 200 ")),
    Odd("no reason and no space", started(b"HTTP/1.1 200")),
    Odd("two spaces in front of the status", started(b"HTTP/1.1  200 OK")),
    Odd("two spaces behind the status", started(b"HTTP/1.1 200  OK")),
    Odd("a tab behind the status", started(b"HTTP/1.1 200\tOK")),
    Odd("a reason beyond ASCII", started(b"HTTP/1.1 200 \xc3\xa4")),
    Odd("a control in the reason", started(b"HTTP/1.1 200 O\x01K")),
    Odd("NUL in the reason", started(b"HTTP/1.1 200 O\x00K")),
    Odd("CR in the reason", started(b"HTTP/1.1 200 O\rK")),
    Odd("a status of two digits", started(b"HTTP/1.1 20 OK")),
    Odd("a status of four digits", started(b"HTTP/1.1 2000 OK")),
    Odd("a status with a sign", started(b"HTTP/1.1 +20 OK")),
    Odd("status 000", started(b"HTTP/1.1 000 OK")),
    Odd("status 099", started(b"HTTP/1.1 099 OK")),
    Odd("status 600", started(b"HTTP/1.1 600 OK")),
    Odd("status 999", started(b"HTTP/1.1 999 OK")),
    Odd("no status", started(b"HTTP/1.1 OK")),
    Odd("no version", started(b"HTTP 200 OK")),
    Odd("HTTP/1.0", started(b"HTTP/1.0 200 OK"), base="close"),
    Odd("HTTP/1.2", started(b"HTTP/1.2 200 OK")),
    Odd("HTTP/2.0", started(b"HTTP/2.0 200 OK")),
    Odd("http", started(b"http/1.1 200 OK")),
    Odd("ICY", started(b"ICY 200 OK")),
    Odd("an empty line in front", lambda draft: draft.swaps.insert(0, (draft.start, b"\r\n" + draft.start))),
    Odd("LF after the first line", lambda draft: draft.swaps.append((draft.start + b"\r\n", draft.start + b"\n"))),
)

INTERIM = tuple(
    Odd(f"{_shown(interim.partition(bytes([13]))[0])} before", _behind(interim))
    for interim in (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        b"HTTP/1.1 199\r\n\r\n",
        b"HTTP/1.0 100 Continue\r\n\r\n",
    )
)

BODILESS = (
    Odd("204 with a length", started(b"HTTP/1.1 204 No Content"), base="length"),
    Odd("304 with a length", started(b"HTTP/1.1 304 Not Modified"), base="length"),
    Odd("204 with chunks", started(b"HTTP/1.1 204 No Content"), base="chunked"),
    Odd("204 with a body", started(b"HTTP/1.1 204 No Content"), base="close"),
    Odd("103 with a length", started(b"HTTP/1.1 103 Early Hints"), base="length"),
    Odd("103 with chunks", started(b"HTTP/1.1 103 Early Hints"), base="chunked"),
    Odd("101", started(b"HTTP/1.1 101 Switching Protocols"), base="close"),
    Odd("less than its length", framed(b"Content-Length: 9"), base="length"),
    Odd("more than its length", framed(b"Content-Length: 3"), base="length"),
    Odd("chunks that stop", bodied(b"5\r\nhello\r\n"), base="chunked"),
    Odd("a chunk that stops", bodied(b"9\r\nhello"), base="chunked"),
)

#: What says the same in a request and in an answer.
_BOTH = (*FIELDS, *LENGTHS, *CODINGS, *CHUNKS, *(odd for odd in FRAMINGS if odd.base in ("length", "chunked")))
ANSWERS: tuple[Odd, ...] = (
    *STATUS_LINE,
    *INTERIM,
    *BODILESS,
    *(odd for odd in _BOTH if odd.base in ("", *ANSWER_BASES) and odd.name not in ("neither", "a look-alike")),
)
REQUESTS: tuple[Odd, ...] = (*REQUEST_LINE, *FIELDS, *HOSTS, *LENGTHS, *CODINGS, *FRAMINGS, *CHUNKS)
