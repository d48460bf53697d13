"""
An app server that is well and answers 503 to everything; its one argument is the port.

``GET /ping`` is answered 200, and ``GET /count`` with how many other requests there were.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter

from tests.scenarios.asyncio_app import run

count = 0


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """One connection."""
    global count
    while True:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
        if path.startswith((b"/ping", b"/count")):
            status, body = b"200 OK", b"%d" % count
        else:
            count += 1
            status, body = b"503 Service Unavailable", b"away"
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        await writer.drain()


if __name__ == "__main__":
    run(serve)
