"""
An application with nothing of ours in it, as WSGI (`application`) and as ASGI (`app`), for gunicorn, uvicorn, granian.

=============  ====================================================================================
``GET /ping``  200
``GET /slow``  twenty lines within ``DEPLOY_APP_SECONDS`` (2), as they come
any ``GET``    the process' number
``POST``       appends the body, a line, to the file that ``DEPLOY_APP_FILE`` names
a WebSocket    says what it hears, in ASGI
=============  ====================================================================================

`deploy_twisted` is the same for Twisted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

LINES = [b"%d\n" % number for number in range(20)]
LINE_SECONDS = float(os.environ.get("DEPLOY_APP_SECONDS", "2")) / len(LINES)

ANSWER = b"%d\n" % os.getpid()


def note(body: bytes) -> None:
    """One write(2) at the file's end: those of several processes do not mix."""
    descriptor = os.open(os.environ["DEPLOY_APP_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, body + b"\n")
    os.close(descriptor)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """As WSGI."""
    path = environ["PATH_INFO"]
    if path == "/slow":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return slowly()
    if environ["REQUEST_METHOD"] == "POST":
        note(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(ANSWER)))])
    return [ANSWER]


def slowly() -> Iterator[bytes]:
    for line in LINES:
        time.sleep(LINE_SECONDS)
        yield line


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """As ASGI."""
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    assert scope["type"] == "http", "no lifespan here"
    body = b""
    is_whole = False
    while not is_whole:
        message = await receive()
        body += message.get("body", b"")
        is_whole = not message.get("more_body")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if scope["path"] == "/slow":
        for line in LINES:
            await asyncio.sleep(LINE_SECONDS)
            await send({"type": "http.response.body", "body": line, "more_body": True})
    elif scope["method"] == "POST":
        note(body)
    await send({"type": "http.response.body", "body": b"" if scope["path"] == "/slow" else ANSWER})


async def echo(receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """One WebSocket."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            return
