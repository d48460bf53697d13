"""The `deploy_app` in the kit's wrapper, as WSGI; it registers itself.  ``GET /told`` says what the wrapper tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from scalekit import kit
from tests.scenarios import deploy_app


def told(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    """The application."""
    if environ["PATH_INFO"] != "/told":
        return deploy_app.application(environ, start_response)
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "scalekit.request_id", "scalekit.traceparent")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ.get(name) for name in names]).encode()]


application = kit.wsgi(told)
