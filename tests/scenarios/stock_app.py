"""
An app server with none of our code in it: ``python -m tests.scenarios.stock_app PORT [CHAIN KEY]``.

The standard library's threads and its HTTP/1.1, over TLS if there is a certificate.

=============================  ====================================================================================
``GET /ping``                  200
``GET /bytes?size=N``          N bytes of `blocks`; ``framing=length`` (default), ``chunked`` or ``close``
``GET /wait?seconds=S``        an answer after S seconds
``GET /hold``                  an answer once somebody has asked for ``/release``, or after a minute
``POST, PUT /...``             what came of the body, as JSON: size, sha256, framing; ``pause=S`` reads nothing for S
                               seconds in the middle of it
any other ``GET``              its port and the path
=============================  ====================================================================================
"""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

BLOCK_BYTES = 256 * 1024
#: Stands in every block, so that a part of the body can be known anywhere.
MARK = b"in-clear-marker "
_FILLING = hashlib.shake_256(b"scalekit").digest(BLOCK_BYTES)


def blocks(size: int) -> Iterator[bytes]:
    """A body of this size that does not compress, in blocks none of which is like another."""
    for start in range(0, size, BLOCK_BYTES):
        yield (MARK + b"%012d" % start + _FILLING)[: min(BLOCK_BYTES, size - start)]


def digest_of(size: int) -> str:
    """The SHA-256 of `blocks`."""
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()


class Answers(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        if url.path == "/bytes":
            self.send_bytes(int(query["size"]), query.get("framing", "length"))
            return
        if url.path == "/wait":
            time.sleep(float(query["seconds"]))
        elif url.path == "/hold":
            self.server.released.wait(60)
        elif url.path == "/release":
            self.server.released.set()
        self.answer(f"{self.server.server_address[1]} {url.path}\n".encode(), "text/plain; charset=utf-8")

    do_HEAD = do_GET

    def send_bytes(self, size: int, framing: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        if framing == "length":
            self.send_header("Content-Length", str(size))
        elif framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        for block in blocks(size):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if framing == "chunked" else block)
        if framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")

    def do_POST(self) -> None:
        pause = float(dict(parse_qsl(urlsplit(self.path).query)).get("pause", 0))
        is_chunked = self.headers.get("Transfer-Encoding") == "chunked"
        digest = hashlib.sha256()
        size = 0
        for piece in self.chunks() if is_chunked else self.pieces(int(self.headers.get("Content-Length", 0))):
            digest.update(piece)
            size += len(piece)
            if pause and size > 1024 * 1024:
                time.sleep(pause)
                pause = 0
        told = {"size": size, "sha256": digest.hexdigest(), "framing": "chunked" if is_chunked else "length"}
        self.answer(json.dumps(told).encode(), "application/json")

    do_PUT = do_POST

    def pieces(self, left: int) -> Iterator[bytes]:
        while left:
            piece = self.rfile.read1(min(left, BLOCK_BYTES))
            if not piece:
                raise ConnectionError("the body was cut")
            left -= len(piece)
            yield piece

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield from self.pieces(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Its standard error tells of faults only."""


class Server(ThreadingHTTPServer):
    """Has each handshake in the connection's own thread: one that hangs holds up nobody."""

    request_queue_size = 128

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.context = context
        self.released = threading.Event()
        super().__init__(("127.0.0.1", port), Answers)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            request.settimeout(30)
            request = self.context.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)
        if self.context is not None:
            try:
                request.unwrap()
            except OSError:
                request.close()  # the peer is gone, without a word

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that goes away is no fault."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def main(port: str, *certificate: str) -> None:
    """Serve until killed."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    Server(int(port), context).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
