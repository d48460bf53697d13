"""``GET /`` for browsers, its stylesheet and script, and ``GET /v1/overview``."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Any

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.balancer.dashboard.overview import Overview
from scalekit.balancer.dashboard.page import page
from scalekit.balancer.listing import Branch
from scalekit.web.answers import json_answer

#: Nothing from elsewhere, nothing inline, nobody's frame; `data:` is the empty icon, so that none is asked for.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Dashboard:
    """
    What the private port's root gives to browsers.

    :ivar overview: ``/v1/overview``; ``assets``: stylesheet and script by the name of their path.
    """

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._shown: dict[str, Any] | None = None
        self._page = b""
        self.overview: Resource = _OverviewResource(overview)
        folder = files(__package__)
        self.assets: dict[bytes, Resource] = {
            b"dashboard.css": _Asset((folder / "style.css").read_bytes(), b"text/css; charset=utf-8"),
            b"dashboard.js": _Asset((folder / "live.js").read_bytes(), b"text/javascript; charset=utf-8"),
        }

    def is_wanted(self, request: Request) -> bool:
        """Whether this is a browser: they name HTML in Accept, and curl does not."""
        return any(b"text/html" in value.lower() for value in request.requestHeaders.getRawHeaders(b"accept", []))

    def render(self, request: Request) -> bytes:
        """The page."""
        _protect(request)
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(b"content-security-policy", POLICY)
        request.setHeader(b"cache-control", b"no-store")
        view = self._overview.view()
        if view is not self._shown:
            self._shown, self._page = view, page(view).encode("utf-8", "replace")
        return self._page


class _OverviewResource(Branch):
    def __init__(self, overview: Overview) -> None:
        super().__init__()
        self._overview = overview

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"cache-control", b"no-store")
        return json_answer(request, 200, self._overview.view())


class _Asset(Branch):
    def __init__(self, content: bytes, kind: bytes) -> None:
        super().__init__()
        self._content = content
        self._kind = kind
        self._tag = b'"%b"' % sha256(content).hexdigest()[:16].encode("ascii")

    def render_GET(self, request: Request) -> bytes:
        _protect(request)
        request.setHeader(b"content-type", self._kind)
        request.setHeader(b"cache-control", b"no-cache")  # asked again each time: an update is seen at once
        return b"" if request.setETag(self._tag) is CACHED else self._content


def _protect(request: Request) -> None:
    request.setHeader(b"x-content-type-options", b"nosniff")
    request.setHeader(b"referrer-policy", b"no-referrer")
