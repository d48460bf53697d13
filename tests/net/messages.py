"""What clients say in HTTP/1.1, and what they hear from a responder that says hello."""

from __future__ import annotations

from scalekit.http.heads import ResponseHead
from tests.net.conversation import Seen

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED_POST = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HELLO_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def get(path: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\nHost: a\r\n" % (path, version) + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(length: int, *lines: bytes) -> bytes:
    """The head of a request; its body is for the test to send."""
    extra = b"".join(line + b"\r\n" for line in lines)
    return b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (length, extra)


def ok(body: bytes = b"hello") -> tuple[ResponseHead, bytes]:
    """What `IExchange.answer` takes."""
    return ResponseHead(200, [], len(body)), body


def say_hello(seen: Seen) -> None:
    seen.exchange.answer(*ok())
