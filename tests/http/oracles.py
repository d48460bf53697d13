"""
What h11 and httptools (llhttp, the parser of Node.js) make of the same bytes as our readers.

Each function takes the pieces that arrive on a connection and returns a `Reading`.  Where a message says the same in
other words, it is put into the same words here: names in lower case, values without white space around them, and
without the fields that our heads keep apart (Host, framing, and in answers those of the connection).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import h11
import httptools

from scalekit.errors import Fault
from scalekit.http.heads import Fields
from scalekit.http.reader import RequestReader, ResponseReader

_FRAMING = (b"content-length", b"transfer-encoding")
# What `scalekit.http.responses` keeps to itself.
_OF_CONNECTION = (b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te", b"trailer", b"x-request-id")


@dataclass(frozen=True)
class Message:
    """
    A message that was taken whole.

    :ivar start: method and target, or the status.
    :ivar host: of a request.
    """

    start: tuple[Any, ...]
    host: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...]


@dataclass
class Reading:
    """
    :ivar taken: message after message.
    :ivar why: why what follows was refused, if it was: the reason token of our fault (of an answer, which has only one,
        the whole sentence), or the oracle's words.
    """

    taken: list[Message] = field(default_factory=list)
    why: str = ""


def plain(fields: Iterable[tuple[bytes, bytes]], *without: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Fields in the same words, but for those of these names."""
    lower = [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in fields]
    return tuple(pair for pair in lower if pair[0] not in without)


def _request(
    method: bytes, target: bytes, fields: Fields, body: bytes, trailers: Fields, host: bytes | None
) -> Message:
    if host is None:
        host = next((value.strip(b" \t") for name, value in fields if name.lower() == b"host"), b"")
    return Message((method, target), host, plain(fields, b"host", *_FRAMING), body, plain(trailers))


def answer_of(status: int, fields: Fields, body: bytes, trailers: Fields) -> Message:
    """An answer, without what is said of the connection."""
    named = [token for name, value in plain(fields) if name == b"connection" for token in value.lower().split(b",")]
    hidden = {token.strip(b" \t") for token in named} | {*_FRAMING, *_OF_CONNECTION}
    return Message((status,), b"", plain(fields, *hidden), body, plain(trailers))


def _messages(
    reader: RequestReader | ResponseReader, read_head: Callable[[], Any], pieces: Iterable[bytes]
) -> Iterator[tuple[Any, bytes, Fields]]:
    """Head, body and trailers of each message that our reader takes whole; one of an answer may end with the stream."""
    head, body = None, b""
    for piece in pieces:
        reader.feed(piece)
        while True:
            if head is None:
                head, body = read_head(), b""
                if head is None:
                    break
            trailers: Fields = []
            if reader.decoder is not None:
                body += reader.read_body()
                if not reader.decoder.is_complete:
                    break
                trailers = reader.decoder.trailers
            yield head, body, trailers
            head = None
    if head is not None and isinstance(reader, ResponseReader):
        yield head, body, reader.end_of_stream()


# Requests.


def ours(pieces: Iterable[bytes]) -> Reading:
    """`RequestReader`."""
    reader, reading = RequestReader(), Reading()
    try:
        for head, body, trailers in _messages(reader, reader.read_head, pieces):
            reading.taken.append(_request(head.method, head.target, head.fields, body, trailers, head.host))
            if not head.keep_alive:
                break
    except Fault as fault:
        reading.why = fault.reason
    return reading


def by_h11(pieces: Iterable[bytes]) -> Reading:
    """h11 as a server that answers each request at once, so that nothing is switched to."""
    connection, reading = h11.Connection(h11.SERVER), Reading()
    head: h11.Request | None = None
    body = b""
    try:
        for piece in pieces:
            connection.receive_data(piece)
            while True:
                event = connection.next_event()
                if event is h11.PAUSED:
                    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                        return reading  # it waits for another protocol, or for the end
                    connection.start_next_cycle()
                elif isinstance(event, h11.Request):
                    head, body = event, b""
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    assert head is not None
                    reading.taken.append(
                        _request(head.method, head.target, list(head.headers), body, list(event.headers), None)
                    )
                    connection.send(h11.Response(status_code=404, headers=[(b"Content-Length", b"0")]))
                    connection.send(h11.EndOfMessage())
                    if connection.our_state is not h11.DONE:
                        return reading  # no other request will be taken here
                else:
                    break
    except h11.RemoteProtocolError as error:
        reading.why = str(error)
    return reading


class _Calls:
    """What `httptools` calls; a message at a time."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.parser: Any = None
        self.on_message_begin()

    def on_message_begin(self) -> None:
        self.target = self.body = b""
        self.fields: Fields = []
        self.trailers: Fields = []
        self.is_head_read = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        (self.trailers if self.is_head_read else self.fields).append((name, value))

    def on_headers_complete(self) -> None:
        self.is_head_read = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.reading.taken.append(self.message())
        self.is_head_read = False

    def message(self) -> Message:
        return _request(self.parser.get_method(), self.target, self.fields, self.body, self.trailers, None)


class _AnswerCalls(_Calls):
    def message(self) -> Message:
        return answer_of(self.parser.get_status_code(), self.fields, self.body, self.trailers)


def _by_httptools(pieces: Iterable[bytes], calls: _Calls, kind: Any) -> Reading:
    calls.parser = kind(calls)
    try:
        for piece in pieces:
            calls.parser.feed_data(piece)
    except httptools.HttpParserError as error:
        calls.reading.why = str(error)
    except httptools.HttpParserUpgrade:
        calls.reading.why = "another protocol"
    return calls.reading


def by_httptools(pieces: Iterable[bytes]) -> Reading:
    """httptools as a server."""
    return _by_httptools(pieces, _Calls(Reading()), httptools.HttpRequestParser)


# Answers to one GET; at the end the server closes the connection.


def our_answer(pieces: Iterable[bytes]) -> Reading:
    """`ResponseReader`, up to the final answer."""
    reader, reading = ResponseReader(), Reading()
    try:
        for head, body, trailers in _messages(reader, lambda: reader.read_head(b"GET"), pieces):
            reading.taken.append(answer_of(head.status, head.fields, body, trailers))
            if head.status >= 200:
                break
    except Fault as fault:
        reading.why = fault.detail
    return reading


def answer_by_h11(pieces: Iterable[bytes]) -> Reading:
    """h11 as a client."""
    connection, reading = h11.Connection(h11.CLIENT), Reading()
    connection.send(h11.Request(method=b"GET", target=b"/", headers=[(b"Host", b"a.example")]))
    connection.send(h11.EndOfMessage())
    head: h11.Response | None = None
    body = b""
    try:
        for piece in [*pieces, b""]:
            connection.receive_data(piece)
            while True:
                event = connection.next_event()
                if isinstance(event, h11.InformationalResponse):
                    reading.taken.append(answer_of(event.status_code, list(event.headers), b"", []))
                elif isinstance(event, h11.Response):
                    head = event
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    assert head is not None
                    reading.taken.append(answer_of(head.status_code, list(head.headers), body, list(event.headers)))
                    return reading
                else:
                    break
    except h11.RemoteProtocolError as error:
        reading.why = str(error)
    return reading


def answer_by_httptools(pieces: Iterable[bytes]) -> Reading:
    """httptools as a client, up to the final answer."""
    calls = _AnswerCalls(Reading())
    reading = _by_httptools(pieces, calls, httptools.HttpResponseParser)
    is_framed = any(name.lower() in _FRAMING for name, _ in calls.fields)
    if calls.is_head_read and not reading.why and not is_framed:
        # It is not told of the close: what has neither length nor chunks is whole then (RFC 9112 section 6.3).
        reading.taken.append(calls.message())
    final = next((place for place, message in enumerate(reading.taken) if message.start[0] >= 200), None)
    if final is not None:
        del reading.taken[final + 1 :]
    return reading
