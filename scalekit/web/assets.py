"""What pages that browsers open are made of: the page itself, which is made each time, and its files, which stay."""

from __future__ import annotations

from hashlib import sha256

from twisted.web.http import CACHED
from twisted.web.server import Request

from scalekit.web.answers import ProblemResource


def start_page(request: Request, policy: bytes) -> None:
    """
    Set up the answer that a page of HTML in UTF-8 goes into; nobody keeps it.

    :param policy: its Content-Security-Policy.
    """
    _protect(request)
    request.setHeader(b"content-type", b"text/html; charset=utf-8")
    request.setHeader(b"content-security-policy", policy)
    request.setHeader(b"cache-control", b"no-store")


class Asset(ProblemResource):
    """
    A stylesheet or a script, sent again only when it has changed.

    :param kind: its Content-Type.
    """

    def __init__(self, content: bytes, kind: bytes) -> None:
        super().__init__()
        self._content = content
        self._kind = kind
        self._tag = b'"%b"' % sha256(content).hexdigest()[:16].encode("ascii")

    def render_GET(self, request: Request) -> bytes:
        """The file, or 304 for who has it."""
        _protect(request)
        request.setHeader(b"content-type", self._kind)
        request.setHeader(b"cache-control", b"no-cache")  # asked again each time: an update is seen at once
        return b"" if request.setETag(self._tag) is CACHED else self._content


def _protect(request: Request) -> None:
    request.setHeader(b"x-content-type-options", b"nosniff")
    # With no-referrer the origin of the form that logs out would be null (Fetch, "append a request Origin header").
    request.setHeader(b"referrer-policy", b"same-origin")
