"""
An app server that closes each idle connection after a random short time; its one argument is the port.

=====================  ==============================================================================
``GET /counts``        how often each path was asked for by POST, and how many connections there were
``GET /ping``          200
anything else          its path
=====================  ==============================================================================

Every other close is a reset, as of a server that has something unread.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections import Counter

from tests.scenarios.asyncio_app import run

#: About as long as clients pause: as many connections are closed just as they are used again as can be.
MOST_IDLE_SECONDS = 0.01
#: That of every POST.
BODY = b"x"
#: A new connection is not idle yet.
FIRST_SECONDS = 10.0
_RESET = struct.pack("ii", 1, 0)

posts: Counter[str] = Counter()
connections = 0


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """One connection."""
    global connections
    connections += 1
    patience = FIRST_SECONDS
    while True:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
        except TimeoutError:
            if random.random() < 0.5:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            return
        method, path, _ = head.decode("latin-1").split(" ", 2)
        if method == "POST":
            await reader.readexactly(len(BODY))
            posts[path] += 1
        body = path.encode()
        if path.startswith("/counts"):
            body = json.dumps({"posts": posts, "connections": connections}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        patience = random.random() * MOST_IDLE_SECONDS


if __name__ == "__main__":
    run(serve)
