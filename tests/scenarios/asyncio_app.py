"""What the app servers have in common that are made of asyncio alone; their one argument is the port."""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable


def run(serve: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> None:
    """Serve each connection until it is gone, until killed."""

    async def serve_one(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def serve_all() -> None:
        server = await asyncio.start_server(serve_one, "127.0.0.1", int(sys.argv[1]), backlog=1024)
        await server.serve_forever()

    asyncio.run(serve_all())
