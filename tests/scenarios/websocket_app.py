"""
A WebSocket server with none of our code in it: ``python -m tests.scenarios.websocket_app PORT [CHAIN KEY]``.

The ``websockets`` package on asyncio, over TLS if there is a certificate.

===============  ==================================================================================
``/ping``        200
``/count``       how many WebSockets are open
``/page``        a page that sends ``hello`` through one and shows what comes back
``/plain``       a WebSocket request is answered 403
``/close``       a WebSocket that is closed with 4001 at the first message
``/pieces``      a WebSocket that says what it hears in several frames
any other        a WebSocket that says what it hears; of subprotocols it speaks ``chat``
===============  ==================================================================================
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import Any

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response

PAGE = b"""<!DOCTYPE html><title>waiting</title><p id=heard></p><script>
const socket = new WebSocket(location.origin.replace("http", "ws") + "/echo");
socket.onopen = () => socket.send("hello");
socket.onmessage = (event) => { document.querySelector("#heard").textContent = event.data; socket.close(4000, "bye"); };
socket.onclose = (event) => { document.title = `closed ${event.code} ${event.wasClean}`; };
</script>"""

PIECE = 20_000
opened: set[Any] = set()


def answer(status: int, body: bytes, kind: str = "text/plain") -> Response:
    """A whole answer, after which the connection closes."""
    fields = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
    return Response(status, "", Headers(fields), body)


def answer_plainly(connection: Any, request: Any) -> Response | None:
    """What is no WebSocket."""
    path = request.path.partition("?")[0]
    if path == "/page":
        return answer(200, PAGE, "text/html")
    if path == "/count":
        return answer(200, b"%d" % len(opened))
    if path == "/plain":
        return answer(403, b"not here")
    return answer(200, b"pong") if path == "/ping" else None


async def talk(connection: Any) -> None:
    """One WebSocket."""
    opened.add(connection)
    try:
        async for message in connection:
            if connection.request.path == "/close":
                await connection.close(4001, "enough")
            elif connection.request.path == "/pieces":
                await connection.send([message[start : start + PIECE] for start in range(0, len(message), PIECE)])
            else:
                await connection.send(message)
    finally:
        opened.discard(connection)


async def main(port: int, certificate: list[str]) -> None:
    """Serve until killed."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    async with serve(
        talk,
        "127.0.0.1",
        port,
        ssl=context,
        select_subprotocol=lambda _, offered: next((name for name in offered if name == "chat"), None),
        process_request=answer_plainly,
        max_size=None,
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
