"""
Short answers from ``twisted.web`` resources, under our own Site and under a stock one alike.

A render method returns what these functions return::

    def render_GET(self, request):
        key = query_value(request, b"key")
        if key is None:
            return problem(request, 400, "no-key", "The query has no key.")
        return json_answer(request, 200, {"key": key})

A resource that subclasses `ProblemResource` may also raise a `scalekit.errors.Fault`; one that has to wait returns
``answer_later(request, deferred)``.
"""

from __future__ import annotations

from typing import IO, Any, cast

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.http import parse_qs
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from scalekit.errors import ClientFault, Fault, OurFault
from scalekit.http.problems import TEXT_TYPE, problem_body

_log = Logger()


def problem(request: Request, status: int, reason: str, detail: str, **extra: Any) -> bytes:
    """
    Set up a problem details answer (RFC 9457) and return its body; text/plain for a client that would rather have text.

    :param reason: a short token for machines, such as ``bad-port``.
    :param detail: one sentence for people.
    :param extra: more members of the JSON form.
    """
    accept = b", ".join(request.requestHeaders.getRawHeaders(b"accept", []))
    exchange = getattr(request, "exchange", None)  # our own Site's requests have one
    request_id = exchange.request_id if exchange is not None else b""
    kind, body = problem_body(accept, status, reason, detail, request_id, extra=extra)
    if exchange is not None:
        exchange.record.reason = reason
    request.setResponseCode(status)
    request.setHeader(b"content-type", kind)
    request.setHeader(b"cache-control", b"no-store")
    return body


def fault_answer(request: Request, fault: Fault) -> bytes:
    """Set up the answer that tells of a fault, and return its body."""
    return problem(request, fault.status, fault.reason, fault.detail)


def method_answer(request: Request, allowed: list[bytes]) -> bytes:
    """Set up the 405 for a method that is not among the allowed ones, and return its body."""
    methods = b", ".join(sorted(allowed))
    body = problem(request, 405, "method", f"This resource takes {methods.decode('latin-1')}.")
    request.setHeader(b"allow", methods)
    return body


def json_answer(request: Request, status: int, value: Any) -> bytes:
    """Set up an application/json answer and return its body; ``value`` is anything that msgspec encodes."""
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    return msgspec.json.encode(value) + b"\n"


def text_answer(request: Request, status: int, text: str) -> bytes:
    """Set up a text/plain answer in UTF-8 and return its body."""
    request.setResponseCode(status)
    request.setHeader(b"content-type", TEXT_TYPE)
    return text.encode()


def query_value(request: Request, name: bytes) -> str | None:
    """
    The first value of this name in the query of the request's target, percent-decoded; None if it is not there.

    Never from a form body, which ``request.args`` mixes in.  Raises `ClientFault` 400 if the value is not UTF-8.
    """
    query = request.uri.partition(b"?")[2]
    values = parse_qs(query, keep_blank_values=1).get(name)
    if not values:
        return None
    try:
        return cast(bytes, values[0]).decode()
    except UnicodeDecodeError:
        raise ClientFault(400, "bad-query", f"The query's {name.decode('latin-1')} is not UTF-8.") from None


def read_body(request: Request, limit: int) -> bytes:
    """The request's whole body; raises `ClientFault` 413 if it is longer than ``limit`` bytes."""
    content = cast(IO[bytes], request.content)
    content.seek(0)
    body = content.read(limit + 1)
    if len(body) > limit:
        raise ClientFault(413, "body-too-big", f"The body is longer than {limit} bytes.")
    return body


def answer_later(request: Request, waiting: Deferred[bytes]) -> int:
    """
    Answer with what this Deferred brings; for ``return answer_later(...)`` in a render method.

    A `Fault` becomes its problem answer, any other failure is logged and becomes a 500.  If the client goes away first,
    the Deferred is cancelled.
    """
    gone = False

    def leave(reason: Failure) -> None:
        nonlocal gone
        gone = True
        waiting.cancel()

    def complete(body: bytes) -> None:
        if gone:
            return
        if request.method == b"HEAD":
            if not request.responseHeaders.hasHeader(b"content-length"):
                request.setHeader(b"content-length", b"%d" % len(body))
            body = b""
        elif request.code not in (204, 304):
            request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def explain(failure: Failure) -> None:
        if gone and failure.check(CancelledError):
            return
        fault = failure.value
        if not isinstance(fault, Fault):
            _log.failure("answering {request}", failure, request=request)
            fault = OurFault(500, "internal", "Something went wrong here.")
        complete(fault_answer(request, fault) if not gone else b"")

    # `leave` is only for the errback: finishing normally needs nothing.
    request.notifyFinish().addErrback(leave)
    waiting.addCallback(complete).addErrback(explain)
    return NOT_DONE_YET


class ProblemResource(Resource):
    """
    A resource whose render methods may raise `Fault`, and that answers 405 with Allow to methods it does not have.

    (``twisted.web`` answers 501 to those beyond GET, HEAD and POST, and 500 to a raised Fault.)  A child that is not
    there is a 404 with problem details.
    """

    def getChild(self, path: bytes, request: Any) -> Resource:
        return Absent()

    def render(self, request: Request) -> Any:
        # Every Resource inherits a render_HEAD, which calls a render_GET that need not be there.
        answers_head = hasattr(self, "render_GET") or type(self).render_HEAD is not Resource.render_HEAD
        try:
            if request.method == b"HEAD" and not answers_head:
                raise UnsupportedMethod([name[7:].encode("ascii") for name in dir(self) if name.startswith("render_")])
            return super().render(request)
        except Fault as fault:
            return fault_answer(request, fault)
        except UnsupportedMethod as unsupported:
            allowed: set[bytes] = set(unsupported.allowedMethods)
            return method_answer(request, list(allowed if answers_head else allowed - {b"HEAD"}))


class Absent(Resource):
    """What is not there: 404."""

    isLeaf = True

    def __init__(self, detail: str = "There is nothing at this path.") -> None:
        super().__init__()
        self._detail = detail

    def render(self, request: Request) -> bytes:
        return problem(request, 404, "not-found", self._detail)
