"""``GET /`` of the log, its stylesheet and its script."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.web.answers import ProblemResource
from scalekit.web.guard import has_session

#: Nothing from elsewhere, nothing inline, nobody's frame; `data:` is the empty icon, so that none is asked for.
POLICY = b"default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
STYLESHEET = "/log.css"
#: What stands in the page for those who have logged in.
_LOGOUT = b'<form method="post" action="/logout"><button>Log out</button></form>'
_LOGOUT_PLACE = b"<!-- logout -->"


class Page:
    """
    What the log's root gives to browsers.

    :ivar assets: stylesheet and script by the name of their path.
    """

    def __init__(self) -> None:
        folder = files(__package__)
        page = (folder / "page.html").read_bytes()
        self._page = page.replace(_LOGOUT_PLACE, b"")
        self._page_of_session = page.replace(_LOGOUT_PLACE, _LOGOUT)
        self.assets: dict[bytes, Resource] = {
            b"log.css": _Asset((folder / "page.css").read_bytes(), b"text/css; charset=utf-8"),
            b"log.js": _Asset((folder / "page.js").read_bytes(), b"text/javascript; charset=utf-8"),
        }

    def render(self, request: Request) -> bytes:
        """The page."""
        _protect(request)
        request.setHeader(b"content-type", b"text/html; charset=utf-8")
        request.setHeader(b"content-security-policy", POLICY)
        request.setHeader(b"cache-control", b"no-store")
        return self._page_of_session if has_session(request) else self._page


class _Asset(ProblemResource):
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
    # With no-referrer the origin of the form that logs out would be null (Fetch, "append a request Origin header").
    request.setHeader(b"referrer-policy", b"same-origin")
