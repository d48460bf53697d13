"""
What a server has to do with frames in and out of order: cases as data (RFC 9113, RFC 7541).

They follow the list of the public tool h2spec, by its sections (of RFC 7540, which it was written for; those that end
in ``+`` are ours), and judge as it does: it waits a second or two for the frame, or for the end of the connection.
Beyond it: a connection error is its GOAWAY and then an orderly end, and after a stream error the connection answers a
PING.
"""

from __future__ import annotations

from dataclasses import dataclass

from scalekit.http.h2.limits import Limits
from scalekit.http.h2.owner import ErrorCode
from tests.http.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    literal,
    request,
)

PROTOCOL_ERROR = ErrorCode.PROTOCOL_ERROR
FLOW_CONTROL_ERROR = ErrorCode.FLOW_CONTROL_ERROR
STREAM_CLOSED = ErrorCode.STREAM_CLOSED
FRAME_SIZE_ERROR = ErrorCode.FRAME_SIZE_ERROR
REFUSED_STREAM = ErrorCode.REFUSED_STREAM
COMPRESSION_ERROR = ErrorCode.COMPRESSION_ERROR

HAS_PRIORITY = 0x20
FRAME_BYTES = 16_384
#: The body of every answer: some cases open windows for a few bytes of it.
BODY = b"conforming"


@dataclass(frozen=True)
class Comes:
    """A frame like this comes, and the connection goes on."""

    kind: int
    flags: int = 0
    stream: int | None = None
    payload: bytes | None = None
    size: int | None = None

    def __contains__(self, one: tuple[int, int, int, bytes]) -> bool:
        kind, flags, stream, payload = one
        return (
            kind == self.kind
            and flags & self.flags == self.flags
            and self.stream in (None, stream)
            and self.payload in (None, payload)
            and self.size in (None, len(payload))
        )


@dataclass(frozen=True)
class Ends:
    """The connection ends, orderly; with a GOAWAY that has one of these codes, if there are any."""

    codes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Resets:
    """A stream is reset with one of these codes, and the connection goes on."""

    codes: tuple[int, ...]


@dataclass(frozen=True)
class Fails:
    """
    One or the other, as is quicker (RFC 9113 section 5.4.1 lets a server treat any stream error as the connection's):
    a stream that has been answered is closed, and not half-closed.
    """

    codes: tuple[int, ...]


Expected = Comes | Ends | Resets | Fails


@dataclass(frozen=True)
class Case:
    """
    :ivar steps: what the client sends, each in a packet of its own, and what it waits for in between.
    :ivar is_greeted: whether SETTINGS are exchanged before.
    """

    section: str
    title: str
    steps: tuple[bytes | Comes, ...]
    expected: Expected
    is_greeted: bool = True

    def __str__(self) -> str:
        return f"{self.section}: {self.title}"


def _ends(*codes: int) -> Ends:
    return Ends(codes)


def _resets(*codes: int) -> Resets:
    return Resets(codes)


def _fails(*codes: int) -> Fails:
    return Fails(codes)


def _get(stream: int = 1, *fields: tuple[bytes, bytes], end: bool = True) -> bytes:
    return request(stream, *fields, end=end)


POST_FIELDS = ((b":method", b"POST"), *REQUEST[1:])


def _post(stream: int = 1, *fields: tuple[bytes, bytes]) -> bytes:
    return request(stream, *fields, end=False, start=POST_FIELDS)


def _asking(fields: object, end: bool = True) -> bytes:
    return request(1, end=end, start=fields)


def _settings(*pairs: tuple[int, int], flags: int = 0) -> bytes:
    payload = b"".join(number.to_bytes(2, "big") + value.to_bytes(4, "big") for number, value in pairs)
    return frame(SETTINGS, flags, 0, payload)


def _window(increment: int, stream: int = 0) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def _priority(stream: int, depends_on: int = 0, weight: int = 255) -> bytes:
    return frame(PRIORITY, 0, stream, depends_on.to_bytes(4, "big") + bytes((weight,)))


def _reset(stream: int = 1, code: int = ErrorCode.CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def _ping(data: bytes = b"\0" * 8, flags: int = 0) -> bytes:
    return frame(PING, flags, 0, data)


def _data(stream: int = 1, data: bytes = b"test", end: bool = True) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, data)


def _trailers(*fields: tuple[bytes, bytes], end: bool = True) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), 1, block(*fields))


def _block(more: bytes = b"", before: bytes = b"") -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, before + block(*REQUEST) + more)


SECTION = block(*REQUEST)
DUMMY = (b"x-dummy", b"x" * 4000)
FIELD = block(DUMMY)
#: The head without its end, and an END_STREAM or not.
BEGUN = frame(HEADERS, END_STREAM, 1, SECTION)
BEGUN_POST = frame(HEADERS, 0, 1, block(*POST_FIELDS))

PONG = Comes(PING, ACK, 0)
ANSWER = Comes(HEADERS, END_HEADERS, 1)
ANSWERED = Comes(DATA, END_STREAM, 1)
ACKED = Comes(SETTINGS, ACK, 0)
ONE_BYTE = Comes(DATA, 0, 1, size=1)

CASES = (
    # What a client may do.
    Case("generic/1", "the preface", (PREFACE + _settings((4, 65_535)),), Comes(SETTINGS, 0, 0), False),
    Case("generic/2", "PRIORITY on an idle stream", (_priority(1), _ping()), PONG),
    Case(
        "generic/2",
        "WINDOW_UPDATE on a half-closed stream",
        (_settings((4, 0)), _get(), _window(1, 1)),
        Comes(DATA, 0, 1),
    ),
    Case(
        "generic/2",
        "PRIORITY on a half-closed stream",
        (_settings((4, 0)), _get(), _priority(1), _window(1, 1)),
        Comes(DATA, 0, 1),
    ),
    Case("generic/2", "RST_STREAM on a half-closed stream", (_get(), _reset(), _ping()), PONG),
    Case("generic/2", "PRIORITY on a closed stream", (_get(), ANSWERED, _priority(1), _ping()), PONG),
    Case("generic/3.1", "DATA", (_post(), _data()), ANSWER),
    Case("generic/3.1", "DATA in pieces", (_post(), _data(end=False), _data()), ANSWER),
    Case(
        "generic/3.1",
        "DATA with padding",
        (_post(), frame(DATA, END_STREAM | PADDED, 1, b"\x06test" + b"\0" * 6)),
        ANSWER,
    ),
    Case("generic/3.2", "HEADERS", (_get(),), ANSWER),
    Case(
        "generic/3.2",
        "HEADERS with padding",
        (frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x08" + SECTION + b"\0" * 8),),
        ANSWER,
    ),
    Case(
        "generic/3.2",
        "HEADERS with a priority",
        (frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, b"\0\0\0\0\xff" + SECTION),),
        ANSWER,
    ),
    Case("generic/3.3", "PRIORITY 1", (_priority(1, weight=0), _get()), ANSWER),
    Case("generic/3.3", "PRIORITY 256", (_priority(1), _get()), ANSWER),
    Case("generic/3.3", "PRIORITY with a dependency", (_priority(3, 1, 0), _get()), ANSWER),
    Case("generic/3.3", "PRIORITY, exclusive", (_priority(1, 0x8000_0000, 0), _get()), ANSWER),
    Case("generic/3.3", "PRIORITY of a later stream", (_priority(3), _get()), ANSWER),
    Case("generic/3.4", "RST_STREAM", (_get(end=False), _reset(), _ping()), PONG),
    Case(
        "generic/3.5",
        "SETTINGS",
        (_settings((1, 4096), (2, 1), (3, 100), (4, 65_535), (5, 16_384), (6, 100)),),
        ACKED,
    ),
    Case("generic/3.7", "PING", (_ping(b"12345678"),), Comes(PING, ACK, 0, b"12345678")),
    Case("generic/3.8", "GOAWAY", (frame(GOAWAY, 0, 0, b"\0" * 8 + b"done"),), _ends()),
    Case("generic/3.9", "WINDOW_UPDATE of the connection", (_window(1), _ping()), PONG),
    Case("generic/3.9", "WINDOW_UPDATE of a stream", (_get(), _window(1, 1)), ANSWER),
    Case(
        "generic/3.10",
        "CONTINUATION",
        (frame(HEADERS, END_STREAM, 1, SECTION[:5]), frame(CONTINUATION, END_HEADERS, 1, SECTION[5:])),
        ANSWER,
    ),
    Case(
        "generic/3.10",
        "several CONTINUATIONs",
        (
            frame(HEADERS, END_STREAM, 1, SECTION[:5]),
            frame(CONTINUATION, 0, 1, SECTION[5:10]),
            frame(CONTINUATION, END_HEADERS, 1, SECTION[10:]),
        ),
        ANSWER,
    ),
    Case("generic/4", "GET", (_get(),), ANSWER),
    Case("generic/4", "HEAD", (_asking([(b":method", b"HEAD"), *REQUEST[1:]]),), ANSWER),
    Case("generic/4", "POST", (_post(), _data()), ANSWER),
    Case(
        "generic/4",
        "POST with trailers",
        (_post(1, (b"trailer", b"x-test")), _data(end=False), _trailers((b"x-test", b"ok"))),
        ANSWER,
    ),
    # user-agent and x-test as h2spec has them, with and without Huffman's code (RFC 7541 section 6).
    Case("generic/5", "an indexed field", (_block(b"\xba"),), ANSWER),
    *(
        Case("generic/5", f"a literal, {how}, {what}", (_block(bytes((first,)) + rest),), ANSWER)
        for how, first, index in (("indexed", 0x40, 0x7A), ("not indexed", 0x00, 0x0F), ("never indexed", 0x10, 0x1F))
        for what, rest in (
            ("new name", literal(b"x-test", b"h2spec")[1:]),
            ("new name, Huffman", b"\x85\xf2\xb2\x4a\x84\xff\x84\x9c\x48\xac\xa4"),
        )
    ),
    *(
        Case("generic/5", f"a literal, {how}, indexed name, {what}", (_block(start + value),), ANSWER)
        for how, start in (("indexed", b"\x7a"), ("not indexed", b"\x0f\x2b"), ("never indexed", b"\x1f\x2b"))
        for what, value in (("plain", b"\x06h2spec"), ("Huffman", b"\x84\x9c\x48\xac\xa4"))
    ),
    Case("generic/5", "a table size update", (_block(before=b"\x20"),), ANSWER),
    Case("generic/5", "several table size updates", (_block(before=b"\x20\x3f\xe1\x1f"),), ANSWER),
    # What it may not.
    Case("http2/3.5", "the preface", (PREFACE, _settings((4, 65_535))), Comes(SETTINGS, 0, 0), False),
    Case("http2/3.5", "no preface", (b"INVALID CONNECTION PREFACE\r\n\r\n",), _ends(), False),
    Case("http2/3.5+", "half a preface", (PREFACE[:18], b"XX\r\n\r\n"), _ends(), False),
    Case("http2/3.5+", "no SETTINGS first", (PREFACE + _ping(),), _ends(PROTOCOL_ERROR), False),
    Case("http2/4.1", "an unknown frame", (frame(0x16, 0, 0, b"\0" * 8), _ping()), PONG),
    Case("http2/4.1", "unknown flags", (_ping(flags=0x16),), PONG),
    Case("http2/4.1", "the reserved bit", (frame(PING, 0x16, 0x8000_0000, b"\0" * 8),), PONG),
    Case("http2/4.2", "DATA of the largest size", (_post(), _data(1, b"x" * FRAME_BYTES)), ANSWER),
    Case("http2/4.2", "DATA that is too large", (_post(), _data(1, b"x" * (FRAME_BYTES + 1))), _ends(FRAME_SIZE_ERROR)),
    Case(
        "http2/4.2",
        "HEADERS that are too large",
        (_get(1, *[(b"x-dummy%d" % n, b"x" * 4000) for n in range(5)]),),
        _ends(FRAME_SIZE_ERROR),
    ),
    Case(
        "http2/4.3",
        "a field block that is none",
        (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40"),),
        _ends(COMPRESSION_ERROR),
    ),
    Case(
        "http2/4.3",
        "PRIORITY in a field block",
        (frame(HEADERS, 0, 1, SECTION), _priority(1), frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/4.3",
        "HEADERS of another stream in a field block",
        (frame(HEADERS, 0, 1, SECTION), _get(3), frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        _ends(PROTOCOL_ERROR),
    ),
    Case("http2/5.1", "idle: DATA", (_data(),), _ends(PROTOCOL_ERROR)),
    Case("http2/5.1", "idle: RST_STREAM", (_reset(),), _ends(PROTOCOL_ERROR)),
    Case("http2/5.1", "idle: WINDOW_UPDATE", (_window(100, 1),), _ends(PROTOCOL_ERROR)),
    Case("http2/5.1", "idle: CONTINUATION", (frame(CONTINUATION, END_HEADERS, 1, SECTION),), _ends(PROTOCOL_ERROR)),
    Case("http2/5.1", "half-closed: DATA", (_get(), _data()), _fails(STREAM_CLOSED)),
    Case("http2/5.1", "half-closed: HEADERS", (_get(), _get()), _fails(STREAM_CLOSED)),
    Case(
        "http2/5.1",
        "half-closed: CONTINUATION",
        (_get(), frame(CONTINUATION, END_HEADERS, 1, SECTION)),
        _ends(STREAM_CLOSED, PROTOCOL_ERROR),
    ),
    Case("http2/5.1", "reset: DATA", (_get(end=False), _reset(), _data()), _fails(STREAM_CLOSED)),
    Case("http2/5.1", "reset: HEADERS", (_get(end=False), _reset(), _get()), _fails(STREAM_CLOSED)),
    Case(
        "http2/5.1",
        "reset: CONTINUATION",
        (_get(end=False), _reset(), frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        _ends(STREAM_CLOSED, PROTOCOL_ERROR),
    ),
    Case("http2/5.1", "closed: DATA", (_get(), ANSWERED, _data()), _ends(STREAM_CLOSED)),
    Case("http2/5.1", "closed: HEADERS", (_get(), ANSWERED, _get()), _ends(STREAM_CLOSED)),
    Case(
        "http2/5.1",
        "closed: CONTINUATION",
        (_get(), ANSWERED, frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        _ends(STREAM_CLOSED, PROTOCOL_ERROR),
    ),
    Case(
        "http2/5.1+",
        "late frames on a stream that we have reset",
        (
            _post(1, (b"connection", b"x")),
            Comes(RST_STREAM, 0, 1),
            _data(end=False),
            _trailers((b"x-test", b"ok")),
            _window(1, 1),
            _ping(),
        ),
        PONG,
    ),
    Case("http2/5.1.1", "an even stream", (_get(2),), _ends(PROTOCOL_ERROR)),
    Case("http2/5.1.1", "a lower stream", (_get(5), _get(3)), _ends(PROTOCOL_ERROR)),
    Case("http2/5.1.1", "the same stream", (_get(5), _get(5)), _fails(STREAM_CLOSED)),
    Case(
        "http2/5.1.2",
        "more streams than announced",
        (_settings((4, 0)), b"".join(_get(stream) for stream in range(1, 2 * Limits().streams + 3, 2))),
        _fails(PROTOCOL_ERROR, REFUSED_STREAM),
    ),
    Case(
        "http2/5.3.1",
        "HEADERS of a stream that depends on itself",
        (frame(HEADERS, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, b"\0\0\0\1\xff" + SECTION),),
        _ends(PROTOCOL_ERROR),
    ),
    Case("http2/5.3.1", "PRIORITY of a stream that depends on itself", (_priority(1, 1),), _ends(PROTOCOL_ERROR)),
    Case(
        "http2/5.4.1",
        "an error of the connection",
        (frame(PING, 0, 3, b"\0" * 8),),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/5.4.1+",
        "an error, and much behind it that nobody reads: the GOAWAY is not lost to a reset",
        (frame(PING, 0, 3, b"\0" * 8) + b"\0" * 2_000_000,),
        _ends(PROTOCOL_ERROR),
    ),
    Case("http2/5.5", "an unknown frame", (frame(0x16, 0, 0, b"\0" * 8), _ping()), PONG),
    Case(
        "http2/5.5",
        "an unknown frame in a field block",
        (BEGUN, frame(0x16, 0, 0, b"\0" * 8)),
        _ends(PROTOCOL_ERROR),
    ),
    Case("http2/6.1", "DATA on stream 0", (_data(0),), _ends(PROTOCOL_ERROR)),
    Case(
        "http2/6.1",
        "DATA on a half-closed stream",
        (request(1, start=POST_FIELDS), _data()),
        _fails(STREAM_CLOSED),
    ),
    Case(
        "http2/6.1",
        "DATA with more padding than payload",
        (_post(1, (b"content-length", b"4")), frame(DATA, END_STREAM | PADDED, 1, b"\x06Test")),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/6.2",
        "PRIORITY after HEADERS without an end",
        (frame(HEADERS, 0, 1, SECTION), _priority(1)),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/6.2",
        "HEADERS of another stream after HEADERS without an end",
        (frame(HEADERS, 0, 1, SECTION), _get(3)),
        _ends(PROTOCOL_ERROR),
    ),
    Case("http2/6.2", "HEADERS on stream 0", (_get(0),), _ends(PROTOCOL_ERROR)),
    Case(
        "http2/6.2",
        "HEADERS with more padding than payload",
        (frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, bytes((len(SECTION) + 2,)) + SECTION),),
        _ends(PROTOCOL_ERROR),
    ),
    Case("http2/6.3", "PRIORITY on stream 0", (_priority(0),), _ends(PROTOCOL_ERROR)),
    Case(
        "http2/6.3",
        "PRIORITY of a wrong size",
        (_get(), frame(PRIORITY, 0, 1, b"\x80\0\0\1")),
        _fails(FRAME_SIZE_ERROR),
    ),
    Case("http2/6.4", "RST_STREAM on stream 0", (_reset(0),), _ends(PROTOCOL_ERROR)),
    Case("http2/6.4", "RST_STREAM on an idle stream", (_reset(),), _ends(PROTOCOL_ERROR)),
    Case(
        "http2/6.4",
        "RST_STREAM of a wrong size",
        (_get(), frame(RST_STREAM, 0, 1, b"\0\0\0")),
        _ends(FRAME_SIZE_ERROR),
    ),
    Case("http2/6.5", "SETTINGS, ACK with a payload", (frame(SETTINGS, ACK, 0, b"\0"),), _ends(FRAME_SIZE_ERROR)),
    Case("http2/6.5", "SETTINGS on a stream", (frame(SETTINGS, 0, 1, b"\0\3\0\0\0\x64"),), _ends(PROTOCOL_ERROR)),
    Case(
        "http2/6.5",
        "SETTINGS of a wrong size",
        (frame(SETTINGS, 0, 0, b"\0\3\0"),),
        _ends(PROTOCOL_ERROR, FRAME_SIZE_ERROR),
    ),
    Case(
        "http2/6.5+",
        "SETTINGS of a wrong size that never come whole",
        (frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64\0\2\0")[:-1],),
        _ends(FRAME_SIZE_ERROR),
    ),
    Case("http2/6.5.2", "ENABLE_PUSH 2", (_settings((2, 2)),), _ends(PROTOCOL_ERROR)),
    Case("http2/6.5.2", "INITIAL_WINDOW_SIZE 2^31", (_settings((4, 1 << 31)),), _ends(FLOW_CONTROL_ERROR)),
    Case("http2/6.5.2", "MAX_FRAME_SIZE 2^14-1", (_settings((5, FRAME_BYTES - 1)),), _ends(PROTOCOL_ERROR)),
    Case("http2/6.5.2", "MAX_FRAME_SIZE 2^24", (_settings((5, 1 << 24)),), _ends(PROTOCOL_ERROR)),
    Case("http2/6.5.2", "an unknown setting", (_settings((0xFF, 1)), _ping()), PONG),
    Case(
        "http2/6.5.3",
        "INITIAL_WINDOW_SIZE twice: the last counts",
        (_settings((4, 100), (4, 1)), ACKED, _get()),
        ONE_BYTE,
    ),
    Case("http2/6.5.3", "SETTINGS are acknowledged", (_settings((2, 0)),), ACKED),
    Case("http2/6.7", "PING", (_ping(b"12345678"),), Comes(PING, ACK, 0, b"12345678")),
    Case(
        "http2/6.7",
        "PING with ACK is not answered",
        (_ping(b"a" * 8, ACK) + _ping(b"b" * 8),),
        Comes(PING, ACK, 0, b"b" * 8),
    ),
    Case("http2/6.7", "PING on a stream", (frame(PING, 0, 1, b"\0" * 8),), _ends(PROTOCOL_ERROR)),
    Case("http2/6.7", "PING of a wrong size", (frame(PING, 0, 0, b"\0" * 6),), _ends(FRAME_SIZE_ERROR)),
    Case("http2/6.8", "GOAWAY on a stream", (frame(GOAWAY, 0, 1, b"\0" * 8),), _ends(PROTOCOL_ERROR)),
    Case("http2/6.9", "WINDOW_UPDATE 0", (_window(0),), _ends(PROTOCOL_ERROR)),
    Case("http2/6.9", "WINDOW_UPDATE 0 of a stream", (_get(end=False), _window(0, 1)), _fails(PROTOCOL_ERROR)),
    Case(
        "http2/6.9", "WINDOW_UPDATE of a wrong size", (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"),), _ends(FRAME_SIZE_ERROR)
    ),
    Case("http2/6.9.1", "a window of 1", (_settings((4, 1)), ACKED, _get()), ONE_BYTE),
    Case(
        "http2/6.9.1",
        "the connection's window grows over 2^31-1",
        (_window(0x7FFF_FFFF), _window(0x7FFF_FFFF)),
        _ends(FLOW_CONTROL_ERROR),
    ),
    Case(
        "http2/6.9.1",
        "a stream's window grows over 2^31-1",
        (_get(end=False), _window(0x7FFF_FFFF, 1) + _window(0x7FFF_FFFF, 1)),
        _resets(FLOW_CONTROL_ERROR),
    ),
    Case(
        "http2/6.9.2",
        "a window that is opened later",
        (_settings((4, 0)), ACKED, _get(), _settings((4, 1)), ACKED),
        ONE_BYTE,
    ),
    Case(
        "http2/6.9.2",
        "a window that becomes negative",
        (_settings((4, 3)), ACKED, _get(), Comes(DATA, 0, 1, size=3), _settings((4, 2)), ACKED, _window(2, 1)),
        ONE_BYTE,
    ),
    Case("http2/6.9.2", "INITIAL_WINDOW_SIZE 2^31", (_settings((4, 1 << 31)),), _ends(FLOW_CONTROL_ERROR)),
    Case(
        "http2/6.10",
        "several CONTINUATIONs",
        (BEGUN, frame(CONTINUATION, 0, 1, FIELD), frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        ANSWER,
    ),
    Case(
        "http2/6.10",
        "CONTINUATION, then DATA",
        (BEGUN_POST, frame(CONTINUATION, 0, 1, FIELD), _data()),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/6.10",
        "CONTINUATION on stream 0",
        (BEGUN, frame(CONTINUATION, END_HEADERS, 0, FIELD)),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/6.10",
        "CONTINUATION after the head's end",
        (_get(), frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/6.10",
        "CONTINUATION after its own end",
        (BEGUN, frame(CONTINUATION, END_HEADERS, 1, FIELD), frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/6.10",
        "CONTINUATION after DATA",
        (BEGUN_POST, _data(), frame(CONTINUATION, END_HEADERS, 1, FIELD)),
        _ends(PROTOCOL_ERROR),
    ),
    Case("http2/7", "GOAWAY with an unknown code", (frame(GOAWAY, 0, 0, b"\0" * 7 + b"\xff"),), _ends()),
    Case("http2/7", "RST_STREAM with an unknown code", (_post(), _reset(1, 0xFF), _ping()), PONG),
    Case(
        "http2/8.1",
        "trailers that do not end the stream",
        (_post(), _data(end=False), _trailers((b"x-test", b"ok"), end=False)),
        _resets(PROTOCOL_ERROR),
    ),
    Case("http2/8.1.2", "a name in capitals", (_get(1, (b"X-TEST", b"ok")),), _resets(PROTOCOL_ERROR)),
    Case("http2/8.1.2.1", "an unknown pseudo field", (_get(1, (b":test", b"ok")),), _resets(PROTOCOL_ERROR)),
    Case("http2/8.1.2.1", "a pseudo field of answers", (_get(1, (b":status", b"200")),), _resets(PROTOCOL_ERROR)),
    Case(
        "http2/8.1.2.1",
        "a pseudo field in trailers",
        (_post(), _data(end=False), _trailers((b":method", b"POST"))),
        _resets(PROTOCOL_ERROR),
    ),
    Case(
        "http2/8.1.2.1",
        "pseudo fields after others",
        (_asking([(b"x-test", b"ok"), *REQUEST]),),
        _resets(PROTOCOL_ERROR),
    ),
    Case("http2/8.1.2.2", "connection", (_get(1, (b"connection", b"keep-alive")),), _resets(PROTOCOL_ERROR)),
    Case(
        "http2/8.1.2.2",
        "te with more than trailers",
        (_get(1, (b"trailers", b"test"), (b"te", b"trailers, deflate")),),
        _resets(PROTOCOL_ERROR),
    ),
    Case(
        "http2/8.1.2.3",
        "an empty :path",
        (_asking([*REQUEST[:2], (b":path", b""), REQUEST[3]]),),
        _resets(PROTOCOL_ERROR),
    ),
    *(
        Case(
            "http2/8.1.2.3",
            f"no {name.decode()}",
            (_asking([field for field in REQUEST if field[0] != name]),),
            _resets(PROTOCOL_ERROR),
        )
        for name in (b":method", b":scheme", b":path")
    ),
    *(
        Case("http2/8.1.2.3", f"{name.decode()} twice", (_get(1, (name, value)),), _resets(PROTOCOL_ERROR))
        for name, value in REQUEST[:3]
    ),
    Case(
        "http2/8.1.2.6",
        "DATA that is not as long as content-length",
        (_post(1, (b"content-length", b"1")), _data()),
        _resets(PROTOCOL_ERROR),
    ),
    Case(
        "http2/8.1.2.6",
        "DATA in pieces that are together not as long as content-length",
        (_post(1, (b"content-length", b"1")), _data(end=False), _data()),
        _resets(PROTOCOL_ERROR),
    ),
    Case(
        "http2/8.2",
        "PUSH_PROMISE",
        (_get(end=False), frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + SECTION)),
        _ends(PROTOCOL_ERROR),
    ),
    Case(
        "http2/8.2",
        "PUSH_PROMISE on an idle stream",
        (frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\3" + SECTION),),
        _ends(PROTOCOL_ERROR),
    ),
    # Field compression.
    Case("hpack/2.3.3", "an index that is nothing's", (_block(b"\xfe"),), _ends(COMPRESSION_ERROR)),
    Case("hpack/2.3.3", "a name's index that is nothing's", (_block(b"\x7f\x07\x05empty"),), _ends(COMPRESSION_ERROR)),
    Case("hpack/4.2", "a table size update at the end", (_block(b"\x21"),), _ends(COMPRESSION_ERROR)),
    *(
        Case("hpack/5.2", what, (_block(b"\x00\x85\xf2\xb2\x4a\x84\xff" + value),), _ends(COMPRESSION_ERROR))
        for what, value in (
            ("over 7 bits of padding", b"\x84\x49\x50\x9f\xff"),
            ("padding of zeros", b"\x83\x49\x50\x90"),
        )
    ),
    Case(
        "hpack/5.2",
        "EOS in a string",
        (_block(b"\x00\x85\xf2\xb2\x4a\x87\xff\xff\xff\xfd\x25\x42\x7f"),),
        _ends(COMPRESSION_ERROR),
    ),
    Case("hpack/6.1", "index 0", (_block(b"\x80"),), _ends(COMPRESSION_ERROR)),
    Case(
        "hpack/6.3",
        "a table size update over HEADER_TABLE_SIZE",
        (_block(before=b"\x3f\xe2\x1f"),),
        _ends(COMPRESSION_ERROR),
    ),
)
