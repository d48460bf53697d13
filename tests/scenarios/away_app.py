"""
An app server that is well and answers 503 to everything; its one argument is the port.

``GET /ping`` is answered 200, and ``GET /count`` with how many other requests there were.
"""

from __future__ import annotations

import asyncio
import sys

count = 0


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    global count
    try:
        while True:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
            if path.startswith((b"/ping", b"/count")):
                status, body = b"200 OK", b"%d" % count
            else:
                count += 1
                status, body = b"503 Service Unavailable", b"away"
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
