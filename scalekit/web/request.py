"""`SiteRequest`: ``twisted.web.server.Request`` with our manners on errors, HEAD and conditions."""

# Nearly all of twisted.web.server.Request is unannotated.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.http import CACHED, NOT_MODIFIED, PRECONDITION_FAILED
from twisted.web.http_headers import Headers
from twisted.web.server import NOT_DONE_YET, Request, Site

from scalekit.errors import Fault, OurFault
from scalekit.http.conditional import is_none_match_hit
from scalekit.web.answers import fault_answer, method_answer

_log = Logger()


class SiteRequest(Request):
    """
    What resources under `scalekit.web.site.Site` are given to render.

    :ivar exchange: the `IExchange` underneath; its ``request_id`` names this request in all logs.
    """

    exchange: Any = None
    channel: Any
    site: Site

    def render(self, resrc: Any) -> None:
        """
        Ask a resource to render this request.

        A method that it does not have is a 405 with Allow.  HEAD is rendered as GET where only that is there, and the
        exchange leaves the body out (stock ``twisted.web`` ends the request before an asynchronous GET has answered).
        """
        try:
            body = resrc.render(self)
        except UnsupportedMethod as unsupported:
            allowed: list[bytes] = list(unsupported.allowedMethods)
            if self.method == b"HEAD" and b"GET" in allowed:
                self.method = b"GET"
                body = resrc.render(self)
            else:
                body = method_answer(self, allowed)
        if body is NOT_DONE_YET:
            return
        if not isinstance(body, bytes):
            raise TypeError(f"{resrc!r} rendered {type(body).__name__}, not bytes")
        if body or self.method != b"HEAD":  # an empty body of HEAD says nothing about GET's
            self.setHeader(b"content-length", b"%d" % len(body))
        self.write(b"" if self.method == b"HEAD" else body)
        self.finish()

    def processingFailed(self, reason: Failure) -> Failure:
        """A raised `Fault` is answered as such; anything else is logged and answered with 500, without a traceback."""
        fault = reason.value
        if not isinstance(fault, Fault):
            _log.failure("rendering {request}", reason, request=self)
            fault = OurFault(500, "internal", "Something went wrong here.")
        if self.finished or self._disconnected:
            return reason
        if self.startedWriting:
            self.channel.fail(fault)
            return reason
        # What the resource had set up was for another answer.
        self.responseHeaders = Headers()
        self.cookies = []
        self.etag = self.lastModified = self._encoder = None
        body = fault_answer(self, fault)
        self.setHeader(b"content-length", b"%d" % len(body))
        self.write(body)
        self.finish()
        return reason

    def setETag(self, etag: bytes | None) -> Any:
        """
        As in ``twisted.web``, but If-None-Match may be a list and is compared weakly (RFC 9110 section 13.1.2).

        Returns `CACHED` where the answer is a 304 or 412 without a body.
        """
        if not etag:
            return super().setETag(etag)
        self.etag = etag
        conditions = self.requestHeaders.getRawHeaders(b"if-none-match")
        if conditions and is_none_match_hit(b", ".join(conditions), etag):
            self.setResponseCode(NOT_MODIFIED if self.method in (b"GET", b"HEAD") else PRECONDITION_FAILED)
            return CACHED
        return None
