"""The `deploy_app` in the kit's wrapper, as ASGI; it registers itself.  ``GET /told`` says what the wrapper tells."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from scalekit import kit
from tests.scenarios import deploy_app


async def told(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """The application."""
    if scope.get("path") != "/told":
        await deploy_app.app(scope, receive, send)
        return
    more = scope.get("scalekit", {})
    values = [scope["client"][0], scope["scheme"], more.get("request_id"), more.get("traceparent")]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(values).encode()})


app = kit.asgi(told)
