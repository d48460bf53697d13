"""
What it costs to refuse, or to take, the nastiest inputs of up to 64 KiB: CPU time, whole and byte by byte.

    python bench/refusals.py

Prints a table, worst first; exits with 1 if one takes over 10 ms, given to the parser whole, or if it is refused and
was sent to a listener one byte a packet (which reads such a client once a tick).  "bytewise" gives the parser each byte
in a call of its own, which no listener does: what a byte costs there should be about the same for all.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from operator import length_hint
from typing import Any, ClassVar

from scalekit.errors import ClientFault
from scalekit.http.forwarding import Forwarder
from scalekit.http.heads import Client, ResponseHead
from scalekit.http.negotiation import pick_coding, prefers_text
from scalekit.http.reader import RequestReader
from scalekit.http.targets import readings
from scalekit.net.factory import HTTPFactory
from scalekit.net.loop import QuickReactor
from scalekit.net.ports import Admission, Port
from scalekit.net.server import ServerConnection

SIZE = 64 * 1024
BUDGET_SECONDS = 0.010
RUNS = 5
SOCKET_RUNS = 3

START = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def filled(start: bytes, repeated: bytes, end: bytes = b"", size: int = SIZE) -> bytes:
    """As often as it fits between start and end."""
    return start + repeated * ((size - len(start) - len(end)) // len(repeated)) + end


HEAD = 32 * 1024

INPUTS = {
    "colon, spaces, NUL": filled(START + b"X:", b" ", b"\0\r\n\r\n", HEAD),
    "colon, spaces, NUL, 64 KiB": filled(START + b"X:", b" ", b"\0\r\n\r\n"),
    "value of 'a ', then NUL": filled(START + b"X:", b"a ", b"\0\r\n\r\n", HEAD),
    "value of tabs and letters, then NUL": filled(START + b"X:", b"a\t \t", b"\0\r\n\r\n", HEAD),
    "name without colon": filled(START, b"x", b"\r\n\r\n", HEAD),
    "fields of spaces, last one bad": filled(START, b"X: " + b" " * 60 + b"\r\n", b"X : y\r\n\r\n", HEAD),
    "no newline": filled(b"GET /", b"x"),
    "no newline, 15 KiB": filled(b"GET /", b"x", b"", 15 * 1024),
    "zero bytes": filled(b"", b"\0"),
    "empty lines": filled(b"", b"\r\n"),
    "carriage returns": filled(b"", b"\r"),
    "carriage returns in a value": filled(START + b"X:", b"\r", b"\r\n\r\n", HEAD),
    "thousands of fields": filled(START, b"a:\r\n"),
    "thousands of fields, 32 KiB, whole": filled(START, b"a:\r\n", b"\r\n", HEAD),
    "127 fields, the last one bad": START + b"X-Some: value\r\n" * 126 + b"X : y\r\n\r\n",
    "127 new names": START + b"".join(b"x-%d: y\r\n" % n for n in range(127)) + b"\r\n",
    "almost an end": filled(START, b"a:\r\n\r", b"", HEAD),
    "Connection, a long list": filled(START + b"Connection: ", b"a,", b"a\r\n\r\n", HEAD),
    "Connection, empty elements": filled(START + b"Connection: ", b", ", b"a b\r\n\r\n", HEAD),
    "Connection, 126 lists": filled(START, b"Connection: " + b"a," * 110 + b"b\r\n", b"\r\n", HEAD - 4096),
    "Transfer-Encoding, a long list": filled(START + b"Transfer-Encoding: ", b"gzip,", b"cow\r\n\r\n", HEAD),
    "Content-Length, digits": filled(START + b"Content-Length: ", b"9", b"\r\n\r\n", HEAD),
    "Host, letters": filled(b"GET / HTTP/1.1\r\nHost: ", b"a.", b"\r\n\r\n", HEAD),
    "Host, an open bracket": filled(b"GET / HTTP/1.1\r\nHost: [", b"1:", b"\r\n\r\n", HEAD),
    "path of %2e%2e/": filled(b"GET /", b"%2e%2e/", b" HTTP/1.1\r\nHost: a\r\n\r\n", 16 * 1024),
    "path of %41": filled(b"GET /", b"%41", b" HTTP/1.1\r\nHost: a\r\n\r\n", 16 * 1024),
    "path of %": filled(b"GET /", b"%", b" HTTP/1.1\r\nHost: a\r\n\r\n", 16 * 1024),
    "path of ../": filled(b"GET /", b"../", b" HTTP/1.1\r\nHost: a\r\n\r\n", 16 * 1024),
    "path of a/, then ../": filled(b"GET /" + b"a/" * 3000, b"../", b" HTTP/1.1\r\nHost: a\r\n\r\n", 16 * 1024),
    "absolute form": filled(b"GET http://", b"a?", b" HTTP/1.1\r\nHost: a\r\n\r\n", 16 * 1024),
    "chunks of one byte": filled(CHUNKED, b"1\r\na\r\n", b"x\r\n"),
    "chunk size without end": filled(CHUNKED, b"0"),
    "a long extension": filled(CHUNKED + b"1;", b"x"),
    "many extensions": filled(CHUNKED, b"1;x\r\na\r\n"),
    "trailers, thousands": filled(CHUNKED + b"0\r\n", b"a:\r\n"),
    "trailers, thousands, whole": filled(CHUNKED + b"0\r\n", b"a:\r\n", b"\r\n", HEAD),
    "trailer, spaces and NUL": filled(CHUNKED + b"0\r\nX:", b" ", b"\0\r\n\r\n", HEAD),
    "trailer without end": filled(CHUNKED + b"0\r\nX:", b"y"),
    "pipelined requests": b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(1600)),
}


def read(pieces: Iterable[bytes]) -> str:
    """Feed the pieces; what came of them."""
    reader = RequestReader()
    heads = 0
    try:
        for piece in pieces:
            reader.feed(piece)
            while True:
                decoder = reader.decoder
                if decoder is None or decoder.is_complete:
                    if reader.read_head() is None:
                        break
                    heads += 1
                    decoder = reader.decoder
                if decoder is not None:
                    reader.read_body()
                    if not decoder.is_complete:
                        break
    except ClientFault as fault:
        return f"{fault.status} {fault.reason}"
    return f"waits, {heads} taken"


def forward(data: bytes) -> str:
    """What happens to a head that is taken: the path's readings, the negotiation, the outgoing head."""
    reader = RequestReader()
    reader.feed(data)
    head = reader.read_head()
    assert head is not None
    found = readings(head.path)
    pick_coding(head.get(b"accept-encoding"), (b"br", b"gzip"))
    prefers_text(head.get(b"accept"))
    try:
        sent = FORWARDER.head(head, Client("10.0.0.1", 1, False, 2000), b"id", b"a")
    except ClientFault as fault:
        return f"{fault.status} {fault.reason}"
    return f"{len(found)} readings, {len(sent)} bytes"


FORWARDER = Forwarder(b"a1", (ipaddress.ip_network("10.0.0.0/8"),), lambda: 1 << 64 | 1)

TAKEN = (
    {
        f"path of {part.decode()}": filled(b"GET /", part, b" HTTP/1.1\r\nHost: a\r\n\r\n", 16 * 1024)
        for part in (
            b"%2f",
            b"%2e%2e%2f",
            b"../",
            b"..;/",
            b"a/..;x/",
            b"\\..",
            b"/",
            b"%",
            b";a/",
            b"%41",
            b"%5c..",
            b"a;",
        )
    }
    | {
        f"{name.decode()} of {part.decode()!r}": filled(START + name + b": ", part, b"x\r\n\r\n", HEAD)
        for name, part in (
            (b"Accept", b"a/b,"),
            (b"Accept", b"a/b;q=0.5,"),
            (b"Accept", b", "),
            (b"Accept", b";"),
            (b"Accept-Encoding", b"gzip;q=0.5,"),
            (b"Accept-Encoding", b","),
            (b"Accept-Encoding", b";q"),
            (b"Connection", b"a,"),
            (b"Via", b"1.1 a,"),
            (b"Via", b"scalekit-a1x"),
            (b"TE", b"trailers x,"),
            (b"TE", b", "),
            (b"X-Forwarded-For", b"10.0.0.1,"),
            (b"X-Forwarded-For", b"1:"),
            (b"Forwarded", b"for=10.0.0.1,"),
            (b"Forwarded", b'"'),
            (b"Forwarded", b'"\\'),
            (b"Forwarded", b";for=1"),
            (b"Forwarded", b'a";"'),
            (b"Cookie", b"a=b;"),
        )
    }
    | {
        "127 hop names in 127 fields": START
        + b"Connection: "
        + b",".join(b"x-%d" % n for n in range(2000))
        + b"\r\n"
        + b"".join(b"x-%d: y\r\n" % n for n in range(126))
        + b"\r\n",
        "126 X-Forwarded-For": START + (b"X-Forwarded-For: " + b"10.0.0.1," * 26 + b"10.0.0.1\r\n") * 120 + b"\r\n",
    }
)


def least(call: Callable[[], object]) -> float:
    """The least CPU seconds of a few runs."""
    best = float("inf")
    for _ in range(RUNS):
        begun = time.process_time()
        call()
        best = min(best, time.process_time() - begun)
    return best


def single_bytes(data: bytes) -> list[bytes]:
    """The bytes that are read before the refusal, one a piece."""
    pieces = [data[index : index + 1] for index in range(len(data))]
    left = iter(pieces)
    read(left)
    return pieces[: len(pieces) - length_hint(left)]


class Paid(ServerConnection):
    """A connection that notes the CPU time of the process from its begin to its end."""

    spent: ClassVar[list[float]] = []

    def connectionMade(self) -> None:
        self._begun = time.process_time()
        super().connectionMade()

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        self.spent.append(time.process_time() - self._begun)


class Empty:
    """Answers everything at once, with nothing."""

    def respond(self, exchange: Any) -> None:
        exchange.answer(ResponseHead(204, []))


class Listener(HTTPFactory):
    """Of such connections."""

    def buildProtocol(self, addr: Any) -> Any:
        return Paid(self)


def trickle(port: int, data: bytes) -> None:
    """A client that sends one byte a packet and reads nothing but the end."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            for index in range(len(data)):
                sock.send(data[index : index + 1])
            sock.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while sock.recv(65536):
                pass


def over_sockets() -> list[float]:
    """CPU seconds of a listener for each input, sent byte by byte."""
    reactor = QuickReactor()
    listener = Listener(Empty(), reactor, time.time, b"b")
    port = Port(0, listener, "127.0.0.1", reactor, Admission(10))
    port.startListening()
    number = port.getHost().port
    client = os.fork()
    if not client:
        for data in list(INPUTS.values()) * SOCKET_RUNS:
            trickle(number, data)
            time.sleep(0.05)  # its end is a turn of its own
        os._exit(0)

    def look() -> None:
        if len(Paid.spent) == len(INPUTS) * SOCKET_RUNS:
            reactor.stop()
        else:
            reactor.callLater(0.5, look)

    look()
    reactor.run()
    os.waitpid(client, 0)
    return [min(Paid.spent[index :: len(INPUTS)]) for index in range(len(INPUTS))]


def main() -> int:
    """Measure and print."""
    spent = over_sockets()
    rows = []
    for (name, data), socketwise in zip(INPUTS.items(), spent, strict=True):
        pieces = single_bytes(data)
        times = (least(partial(read, [data])), socketwise, least(partial(read, pieces)))
        rows.append((times, len(pieces), name, read([data])))
    print(f"{'whole ms':>9} {'by socket ms':>12} {'bytewise ms':>11} {'us/byte':>8}  input")
    for (once, socketwise, slowly), count, name, result in sorted(rows, reverse=True):
        per_byte = slowly * 1e6 / count
        print(f"{once * 1e3:9.2f} {socketwise * 1e3:12.2f} {slowly * 1e3:11.2f} {per_byte:8.2f}  {name}: {result}")
    taken = [(least(partial(forward, data)), name, forward(data)) for name, data in TAKEN.items()]
    print(f"\n{'taken ms':>9}  input")
    for once, name, result in sorted(taken, reverse=True):
        print(f"{once * 1e3:9.2f}  {name}: {result}")
    refused = [max(row[0][:2]) for row in rows if not row[-1].startswith("waits")]
    worst = max(refused + [row[0][0] for row in rows] + [row[0] for row in taken])
    print(f"\nworst: {worst * 1e3:.2f} ms, budget {BUDGET_SECONDS * 1e3:.0f} ms")
    return int(worst > BUDGET_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
