"""
An app server that is well and answers badly: ``python -m tests.scenarios.bad_app PORT...``, a port for each of `KINDS`.

=====================  ==============================================================================
``GET /ping``          200, until it has turned
``GET /turn``          200, and from then on ``/ping`` is answered like everything else
anything else          as its kind does
=====================  ==============================================================================
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

_RESET = struct.pack("ii", 1, 0)
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
FINE = _OK % 4 + b"fine"


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection as a process that is killed does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def hung(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says nothing."""
    await reader.read()


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says a byte a second."""
    for byte in FINE:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(1.0)


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says something that is no HTTP."""
    writer.write(bytes(range(256)))


async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says more than it has said that it would."""
    writer.write(_OK % 4 + b"fine, and then some more")


async def long(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says less, and ends the connection in order."""
    writer.write(_OK % 100_000 + b"fine" * 1000)


async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says less, and is gone."""
    writer.write(_OK % 100_000 + b"fine" * 1000)
    await writer.drain()
    # What it has said is on its way still, and a reset would overtake it.
    await asyncio.sleep(0.05)
    reset(writer)


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Is gone before it has said anything."""
    reset(writer)


KINDS = {one.__name__: one for one in (hung, slow, garbage, short, long, broken, mute)}


class Bad:
    """The app server of one kind."""

    def __init__(self, kind: str) -> None:
        self._misbehave = KINDS[kind]
        self._has_turned = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1]
                is_turning = path.startswith(b"/turn")
                if is_turning or (path == b"/ping" and not self._has_turned):
                    writer.write(FINE)
                    await writer.drain()
                    self._has_turned = self._has_turned or is_turning
                else:
                    await self._misbehave(reader, writer)
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main(*ports: int) -> None:
    """Serve until killed."""
    pairs = zip(KINDS, ports, strict=True)
    servers = [await asyncio.start_server(Bad(kind).serve, "127.0.0.1", port, backlog=1024) for kind, port in pairs]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
