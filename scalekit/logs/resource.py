"""
The log's HTTP interface as a ``twisted.web`` resource, for any path of any site: `taking` does the work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.interfaces import IResponder
from scalekit.logs.collector import Collector
from scalekit.logs.otlp.taking import ExportLogs
from scalekit.logs.page.resource import Page
from scalekit.logs.taking import ManyEntries, OneEntry, Taking
from scalekit.web.answers import Absent, ProblemResource, method_answer
from scalekit.web.resource import ResponderResource


class _Folder(ProblemResource):
    """A path with others below it and nothing of its own."""

    def render(self, request: Request) -> bytes:
        return Absent().render(request)


class LogResource(ProblemResource):
    """
    The root of port 6000: takes one entry as a JSON object; ``v1/entries`` below it takes many, ``v1/logs`` OTLP.

    :param reading: what else is below ``v1``, by its name: `scalekit.logs.tap.open_logs` has all there is;
        with it comes the page on ``GET /``, whose paths are those of a site's root.
    :ivar takers: who answers POST, by path.
    """

    def __init__(self, collector: Collector, reading: Mapping[bytes, IResponder] = {}) -> None:
        super().__init__()
        one, many, otlp = OneEntry(collector), ManyEntries(collector), ExportLogs(collector)
        self.takers: dict[bytes, Taking] = {b"/": one, b"/v1/entries": many, b"/v1/logs": otlp}
        self._root = ResponderResource(one)
        v1 = _Folder()
        v1.putChild(b"entries", ResponderResource(many))
        v1.putChild(b"logs", ResponderResource(otlp))
        for name, responder in reading.items():
            v1.putChild(name, ResponderResource(responder))
        self.putChild(b"v1", v1)
        self._page = Page() if reading else None
        for name, asset in self._page.assets.items() if self._page is not None else ():
            self.putChild(name, asset)

    def getChild(self, path: bytes, request: Request) -> Resource:
        # "/logs/" has an empty last segment; "//" is no other name for it.
        return self if path == b"" and not request.postpath else super().getChild(path, request)

    def render_GET(self, request: Request) -> bytes:
        """The page, which is nothing without what is read."""
        if self._page is None:
            return method_answer(request, [b"POST"])
        return self._page.render(request)

    def render_POST(self, request: Request) -> Any:
        """Take one entry."""
        return self._root.render(request)
