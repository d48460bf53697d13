"""
`ResponderResource`: a ``twisted.web`` resource made of any responder, for any site::

    root.putChild(b"api", ResponderResource(reverse_proxy))

Under `scalekit.web.site.Site` the responder gets the exchange itself.  Under a stock ``twisted.web.server.Site`` it
gets a `RequestExchange`: the request's body has been collected by then, and what the stock site cannot do is left out,
not faked: interim answers and trailers are dropped.  What stock ``twisted.web`` lets through though HTTP does not allow
it (no Host, two of them, odd targets and codings) is refused here with the same faults as on our own listeners.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from scalekit.errors import ClientFault, Fault, OurFault
from scalekit.http.heads import Amend, Client, Fields, Outcome, RequestHead
from scalekit.http.problems import problem_answer
from scalekit.interfaces import IExchange, IResponder
from scalekit.web.answers import fault_answer
from scalekit.web.stock import request_head
from scalekit.web.wrapping import WrappedExchange

_log = Logger()

# One read of the collected body; the size of a socket read.
_PIECE = 64 * 1024


@implementer(IResource)
class ResponderResource:
    """
    :param responder: who answers; it sees the whole target unless ``strip_prefix``.
    :param strip_prefix: take the path segments that led to this resource off the target.
    :param new_request_id: makes the ids of exchanges under a stock site; None: they are counted, and only this process'
        own.
    """

    isLeaf = True

    def __init__(
        self, responder: IResponder, strip_prefix: bool = False, new_request_id: Callable[[], bytes] | None = None
    ) -> None:
        self.responder = responder
        self._strip_prefix = strip_prefix
        self._new_request_id = new_request_id or map(b"stock-%d".__mod__, count(1)).__next__

    def __repr__(self) -> str:
        return f"<ResponderResource of {self.responder!r}>"

    def stream(self, exchange: Any, depth: int) -> None:
        """Hand on an exchange of our own wire, reached over this many path segments."""
        head = _below(exchange.head, depth, self._strip_prefix)
        self.responder.respond(exchange if head is exchange.head else WrappedExchange(exchange, head))

    # IResource

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """Nothing is below a leaf."""
        raise RuntimeError("a ResponderResource has no children")

    def putChild(self, path: bytes, child: Any) -> None:
        """Nothing is below a leaf."""
        raise RuntimeError("a ResponderResource takes no children")

    def render(self, request: Any) -> Any:
        """Let the responder answer this ``twisted.web`` request."""
        try:
            head = _below(request_head(request), len(request.prepath), self._strip_prefix)
        except Fault as fault:
            return fault_answer(request, fault)
        own = getattr(request, "exchange", None)
        request_id = own.request_id if own is not None else self._new_request_id()
        exchange = RequestExchange(request, head, request_id)
        try:
            self.responder.respond(exchange)
        except Fault as fault:
            exchange.fail(fault)
        except Exception:
            _log.failure("responding to {head}", head=head)
            exchange.fail(OurFault(500, "internal", "Something went wrong here."))
        exchange.begin_delivery()
        return NOT_DONE_YET


def _below(head: RequestHead, depth: int, is_stripped: bool) -> RequestHead:
    """
    The head as a responder mounted this many segments deep is to see it.

    Raises `ClientFault` 400 where the path leads here only as it is spelt, but not in its normal form: the tree and the
    responder would not be talking of the same place (``/public/../api``).
    """
    if not depth or not head.path.startswith(b"/"):
        return head
    spelt, normal = head.path.split(b"/"), head.normal_path.split(b"/")
    for one, other in zip(spelt[1 : depth + 1], normal[1 : depth + 1], strict=False):
        if unquote_to_bytes(one) != unquote_to_bytes(other):
            raise ClientFault(400, "ambiguous-path", "The path's dot segments change which route it takes.")
    if len(normal) < min(len(spelt), depth + 1):
        raise ClientFault(400, "ambiguous-path", "The path's dot segments change which route it takes.")
    if not is_stripped:
        return head
    path = b"/" + b"/".join(spelt[depth + 1 :])
    return RequestHead(
        head.method,
        path if head.query is None else path + b"?" + head.query,
        head.fields,
        head.host,
        head.version,
        head.length,
        head.keep_alive,
        path,
        head.query,
        b"/" + b"/".join(normal[depth + 1 :]),
        head.expects_continue,
        head.hop,
        head.upgrade,
    )


@implementer(IExchange)
class RequestExchange:
    """An exchange on top of one ``twisted.web`` request whose body has been collected."""

    def __init__(self, request: Any, head: RequestHead, request_id: bytes) -> None:
        self.head = head
        self.request_id = request_id
        self.record = Outcome()
        self.client = _client(request)
        self.amend: Amend | None = None
        self._request = request
        self._observer: Any = None
        self._receiver: Any = None
        self._is_delivering = True  # until `begin_delivery`: the responder is still being told of the exchange
        self._is_body_paused = False
        self._body_end_told = False
        self._has_begun = False
        self._is_over = False
        self._left: int | None = None
        request.notifyFinish().addErrback(self._gone)

    def __repr__(self) -> str:
        return f"<RequestExchange {self.head!r} for {self.client!r}>"

    def begin_delivery(self) -> None:
        """The responder has returned: the body may flow."""
        self._is_delivering = False
        self._deliver()

    # The body.

    def observe(self, observer: object) -> None:
        self._observer = observer

    def receive(self, receiver: object) -> None:
        self._receiver = receiver
        self._deliver()

    def discard(self) -> None:
        """There is nothing to do: the body has been read."""

    def pause(self) -> None:
        self._is_body_paused = True

    def resume(self) -> None:
        self._is_body_paused = False
        self._deliver()

    def _deliver(self) -> None:
        if self._is_delivering or self._receiver is None or self._body_end_told:
            return
        self._is_delivering = True
        try:
            while not self._is_body_paused and not self._is_over:
                piece = self._request.content.read(_PIECE)
                if piece:
                    self._receiver.data(piece)
                else:
                    self._body_end_told = True
                    self._receiver.end([])
                    return
        finally:
            self._is_delivering = False

    # The answer.

    def inform(self, status: int, fields: Fields) -> None:
        """Interim answers cannot be sent here, and nobody may rely on them (RFC 9110 section 15.2): dropped."""

    def answer(self, head: Any, body: bytes = b"") -> None:
        if self._is_over or self._has_begun:
            return
        if self.amend is not None:
            head = self.amend(head, len(body) if head.length is None else head.length)
        if head.length is None and not self._is_bodiless(head.status):
            head.length = len(body)
        self._write_head(head)
        self.write(body)
        self.finish()

    def begin(self, head: Any) -> None:
        if self._is_over or self._has_begun:
            return
        if self.amend is not None:
            head = self.amend(head, head.length)
        self._write_head(head)
        self._request.registerProducer(_Room(self), True)
        self._request.write(b"")  # the head goes out now

    def write(self, data: bytes) -> None:
        if self._is_over or self._is_bodiless(self.record.status):
            return
        if self._left is not None:
            if len(data) > self._left:
                self.abort(OurFault(500, "long-answer", "The answer is longer than it said."))
                return
            self._left -= len(data)
        if data:
            self.record.sent += len(data)
            self._request.write(data)

    def finish(self, trailers: Any = ()) -> None:
        """The answer is complete; trailers are dropped, a stock site cannot send them."""
        if self._is_over:
            return
        if self._left and not self._is_bodiless(self.record.status):
            self.abort(OurFault(500, "short-answer", f"The answer ended {self._left} bytes early."))
            return
        self._is_over = True
        if self._request.producer is not None:
            self._request.unregisterProducer()
        self._request.finish()

    def switch(self, head: Any, receiver: Any) -> None:
        """There are no tunnels here: heads made of ``twisted.web`` requests never ask for one."""
        self.fail(OurFault(501, "no-upgrade", "There are no tunnels here."))

    def fail(self, fault: Any) -> None:
        self.record.reason = fault.reason
        if self._has_begun:
            self.abort(fault)
        else:
            self.answer(*problem_answer(fault, self.head, self.request_id, self.record.attempts))

    def abort(self, fault: Exception) -> None:
        if self._is_over:
            return
        self._is_over = True
        request = self._request
        # HTTP/1.1: the transport is cut, so that the client notices; an HTTP/2 stream or our own channel resets itself.
        for way in (request.transport, request.channel):
            cut = getattr(way, "abortConnection", None)
            if cut is not None:
                cut()
                return
        request.loseConnection()

    # Inside.

    def _is_bodiless(self, status: int) -> bool:
        return self.head.method == b"HEAD" or status in (204, 304)

    def _write_head(self, head: Any) -> None:
        self._has_begun = True
        self._left = head.length
        self.record.status = head.status
        request = self._request
        request.setResponseCode(head.status, head.reason or None)
        request.defaultContentType = None  # what the responder did not say is not said
        headers = request.responseHeaders
        headers.removeHeader(b"server")
        if head.has_date:
            headers.removeHeader(b"date")
        for name, value in head.fields:
            headers.addRawHeader(name, value)
        if head.length is not None and head.status not in (204, 304):
            headers.setRawHeaders(b"content-length", [b"%d" % head.length])

    def _gone(self, reason: Failure) -> None:
        if not self._is_over:
            self._is_over = True
            if self._observer is not None:
                self._observer.aborted(ClientFault(499, "client-gone", "The client closed the connection."))


class _Room:
    """The push producer that a request sees: passes on whether there is room to the exchange's observer."""

    def __init__(self, exchange: RequestExchange) -> None:
        self._exchange = exchange

    def pauseProducing(self) -> None:
        if self._exchange._observer is not None:
            self._exchange._observer.pause()

    def resumeProducing(self) -> None:
        if self._exchange._observer is not None:
            self._exchange._observer.resume()

    def stopProducing(self) -> None:
        """The connection is gone; `RequestExchange` hears it from ``notifyFinish``."""


def _client(request: Any) -> Client:
    own = getattr(request, "exchange", None)
    if own is not None:
        return own.client  # type: ignore[no-any-return]
    peer, local = request.getClientAddress(), request.getHost()
    address = getattr(peer, "host", "unix")
    return Client(
        address.removeprefix("::ffff:") if "." in address else address,
        getattr(peer, "port", 0),
        request.isSecure(),
        getattr(local, "port", 0),
        None,
        getattr(local, "host", ""),
    )
