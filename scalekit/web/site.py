"""
`Site`: any ``twisted.web`` resource tree on our listeners.

Bodies are collected before a resource renders, in memory up to `MEMORY` bytes and in a temporary file beyond; more than
the site's limit is a 413, before ``100 Continue`` where the client says how much it will send.  A child that is made of
a responder (`scalekit.web.resource.ResponderResource`) is given the exchange itself, and with it the body as it
streams, if it is reached by ``putChild`` alone; behind a ``getChild`` of somebody's own it gets the collected body.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.task import cooperate as global_cooperate
from twisted.web import resource, server
from zope.interface import implementer

from scalekit.errors import ClientFault
from scalekit.interfaces import IAnswerObserver, IBodyReceiver, IResponder
from scalekit.web.channel import Channel
from scalekit.web.request import SiteRequest
from scalekit.web.resource import ResponderResource

# Bodies of forms and API calls; nginx keeps 16 KiB in memory, Caddy and Go all of it.
MEMORY = 1024 * 1024
# nginx refuses beyond 1 MiB, Django reads 2.5 MiB of form data: room for an uploaded photograph or two.
LIMIT = 16 * 1024 * 1024
# Fields and parts of one form: Django and PHP take 1,000.  Each costs some 20 us, while nobody else is served.
FORM_FIELDS = 10_000


@implementer(IResponder)
class Site:
    """
    :param resource: the root of the tree.
    :param limit: bytes of a request body.
    :param request_factory: `SiteRequest`, or a subclass.
    :param parse_forms: whether form bodies of POST are parsed into ``request.args``; an API that takes bytes of any
        type says no (curl calls everything a form unless told otherwise).
    :param reactor: an `IReactorTime` for session expiry; None: the global one.
    :param cooperate: what drives pull producers; for tests.
    :param ahead: (prefix of paths, responder) of `ResponderResource` in the tree whose places never change, and whose
        requests come by the ten thousand: looking through the tree costs each 4 us.

    :ivar stock: the ``twisted.web.server.Site`` that requests see as ``request.site``; it holds the sessions.
    """

    def __init__(
        self,
        resource: Any,
        limit: int = LIMIT,
        request_factory: Any = SiteRequest,
        parse_forms: bool = True,
        reactor: Any = None,
        cooperate: Any = global_cooperate,
        ahead: Iterable[tuple[bytes, IResponder]] = (),
    ) -> None:
        self.resource = resource
        self.limit = limit
        self.stock = server.Site(
            resource, requestFactory=request_factory, parsePOSTFormSubmission=parse_forms, reactor=reactor
        )
        self._check = _check_form if parse_forms else None
        self._cooperate = cooperate
        self._ahead = tuple((prefix, responder.respond) for prefix, responder in ahead)

    def respond(self, exchange: Any) -> None:
        head = exchange.head
        path = head.path
        for prefix, respond in self._ahead:
            if path.startswith(prefix) and path == head.normal_path:  # else it may be another place
                respond(exchange)
                return
        found, depth = _static_child(self.resource, head.path)
        if found is not None:
            found.stream(exchange, depth)
        elif head.length == 0:
            Channel(exchange, self.stock, self._cooperate).run(BytesIO())
        elif head.length is not None and head.length > self.limit:
            raise _too_big(self.limit)
        else:
            channel = Channel(exchange, self.stock, self._cooperate)
            collector = _Collector(exchange, self.limit, self._check, channel)
            exchange.observe(collector)
            exchange.receive(collector)


def _too_big(limit: int) -> ClientFault:
    return ClientFault(413, "body-too-big", f"The body is longer than {limit} bytes.")


def _static_child(root: Any, path: bytes) -> tuple[ResponderResource | None, int]:
    """
    The responder's resource at this path and how many segments led to it, if only ``putChild`` tables lead there.

    Nothing of the tree is called: a ``getChild`` may want a request, with its body.
    """
    found, depth = root, 0
    if not path.startswith(b"/"):
        return None, 0  # the asterisk form
    for segment in path[1:].split(b"/"):
        if isinstance(found, ResponderResource):
            return found, depth
        if getattr(found, "isLeaf", True):
            return None, 0
        if getattr(type(found), "getChildWithDefault", None) is not resource.Resource.getChildWithDefault:
            return None, 0
        found = found.children.get(unquote_to_bytes(segment))
        depth += 1
    return (found, depth) if isinstance(found, ResponderResource) else (None, 0)


@implementer(IBodyReceiver, IAnswerObserver)
class _Collector:
    """Gathers a body into a file, then runs the channel with it."""

    def __init__(self, exchange: Any, limit: int, check: Any, channel: Channel) -> None:
        self._exchange = exchange
        self._limit = limit
        self._check = check
        self._channel = channel
        self._size = 0
        self._file: Any = SpooledTemporaryFile(MEMORY)  # noqa: SIM115 (the request closes it)

    def data(self, piece: bytes) -> None:
        if self._file is None:
            return
        self._size += len(piece)
        if self._size > self._limit:
            self._drop()
            self._exchange.fail(_too_big(self._limit))
            return
        self._file.write(piece)

    def end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if self._check is not None:
                self._check(self._exchange.head, file, self._size)
        except ClientFault as fault:
            file.close()
            self._exchange.fail(fault)
            return
        self._channel.run(file)

    def aborted(self, fault: Exception) -> None:
        self._drop()

    def pause(self) -> None:
        """Nothing is being sent yet."""

    def resume(self) -> None:
        """Nothing is being sent yet."""

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _check_form(head: Any, file: Any, size: int) -> None:
    """Refuse a form with so many fields that parsing it (``twisted.web`` does, for POST) would stall everybody."""
    kind = (head.get(b"content-type") or b"").lower()
    if head.method != b"POST" or size < FORM_FIELDS:
        return
    if kind.startswith(b"application/x-www-form-urlencoded"):
        mark = b"&"
    elif kind.startswith(b"multipart/form-data"):
        mark = b"\n--"
    else:
        return
    file.seek(0)
    count = file.read().count(mark)
    if count > FORM_FIELDS:
        raise ClientFault(413, "form-too-big", f"The form has over {FORM_FIELDS} fields.")
