"""``GET /`` for browsers, its stylesheet and script, and ``GET /v1/overview``."""

from __future__ import annotations

from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.balancer.dashboard.overview import Overview
from scalekit.balancer.dashboard.page import page
from scalekit.web.answers import ProblemResource, json_answer
from scalekit.web.assets import Asset, start_page
from scalekit.web.guard import grant_of, has_session

#: Nothing from elsewhere, nothing inline, nobody's frame; `data:` is the empty icon, so that none is asked for.
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STYLESHEET = "/dashboard.css"


class Dashboard:
    """
    What the private port's root gives to browsers.

    :ivar overview: ``/v1/overview``; ``assets``: stylesheet and script by the name of their path.
    """

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        #: The page of the present view, for those who may change something or not, and who can log out or not.
        self._pages: dict[tuple[bool, bool], bytes] = {}
        self._shown: object = None
        self.overview: Resource = _OverviewResource(overview)
        folder = files(__package__)
        self.assets: dict[bytes, Resource] = {
            b"dashboard.css": Asset((folder / "style.css").read_bytes(), b"text/css; charset=utf-8"),
            b"dashboard.js": Asset((folder / "live.js").read_bytes(), b"text/javascript; charset=utf-8"),
        }

    def is_wanted(self, request: Request) -> bool:
        """Whether this is a browser: they name HTML in Accept, and curl does not."""
        return any(b"text/html" in value.lower() for value in request.requestHeaders.getRawHeaders(b"accept", []))

    def render(self, request: Request) -> bytes:
        """The page."""
        start_page(request, POLICY)
        view = self._overview.view()
        if view is not self._shown:
            self._shown = view
            self._pages.clear()
        grant = grant_of(request)
        reader = (grant is None or grant.allows("operator", grant.service), has_session(request))
        made = self._pages.get(reader)
        if made is None:
            made = self._pages[reader] = page(view, *reader).encode("utf-8", "replace")
        return made


class _OverviewResource(ProblemResource):
    def __init__(self, overview: Overview) -> None:
        super().__init__()
        self._overview = overview

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"cache-control", b"no-store")
        return json_answer(request, 200, self._overview.view())
