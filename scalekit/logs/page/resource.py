"""``GET /`` of the log, its stylesheet and its script."""

from __future__ import annotations

from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.web.assets import Asset, start_page
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
            b"log.css": Asset((folder / "page.css").read_bytes(), b"text/css; charset=utf-8"),
            b"log.js": Asset((folder / "page.js").read_bytes(), b"text/javascript; charset=utf-8"),
        }

    def render(self, request: Request) -> bytes:
        """The page."""
        start_page(request, POLICY)
        return self._page_of_session if has_session(request) else self._page
