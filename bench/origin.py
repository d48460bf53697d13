"""
An origin of large answers that may be kept: ``python -m bench.origin PORT BYTES`` answers everything with so many.

It sends a file, so that a thousand answers under way cost it nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile

HEAD = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: %d\r\n\r\n"


async def main(port: int, size: int) -> None:
    """Serve until the process is ended."""
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryFile() as file:
        file.write(os.urandom(size))
        file.flush()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(HEAD % size)
                    with os.fdopen(os.dup(file.fileno()), "rb") as copy:
                        await loop.sendfile(writer.transport, copy, 0, size)
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
    except KeyboardInterrupt:
        sys.exit(0)
