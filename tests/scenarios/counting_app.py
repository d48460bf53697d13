"""
An app server that counts what reaches it: ``python -m tests.scenarios.counting_app PORT``.

=====================  =============================================================================
``GET /count``         how many requests of the next two kinds have reached it
``GET /large``         64 MiB, as fast as they are taken
``... /never``         no answer
anything else          its path
=====================  =============================================================================
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter

from tests.scenarios.asyncio_app import run

LARGE_BYTES = 64 * 1024 * 1024
_BLOCK = b"x" * 65_536

count = 0


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """One connection."""
    global count
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1]
        if path.startswith(b"/count"):
            body = b"%d" % count
        else:
            body = path
            count += path in (b"/large", b"/never")
        if path == b"/never":
            await reader.read()  # until the balancer gives up
            return
        length = LARGE_BYTES if path == b"/large" else len(body)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % length
        )
        if path == b"/large":
            for _ in range(LARGE_BYTES // len(_BLOCK)):
                writer.write(_BLOCK)
                await writer.drain()
        else:
            writer.write(body)
            await writer.drain()


if __name__ == "__main__":
    run(serve)
