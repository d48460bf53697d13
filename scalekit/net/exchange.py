"""
`WireExchange`: one request on an HTTP/1.1 connection and its answer.

It writes the answer and keeps its state; the body's side and what comes next are its connection's (`server`).
Once it is over it has no connection any more, and every call is without effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from scalekit.errors import ClientFault, OurFault
from scalekit.http.heads import Amend, Client, Fields, Outcome, RequestHead, ResponseHead
from scalekit.http.serializer import (
    CHUNKED,
    CLOSE,
    KEEP_ALIVE,
    chunk,
    content_length,
    interim_head,
    last_chunk,
    response_head,
    upgrade_lines,
    whole_answer,
)
from scalekit.interfaces import IExchange
from scalekit.net.answering import Answering

if TYPE_CHECKING:
    from scalekit.net.server import ServerConnection

CLIENT_GONE = ClientFault(499, "client-gone", "The client closed the connection before its answer was complete.")


@implementer(IExchange)
class WireExchange(Answering):
    """
    See `IExchange`.

    :ivar started: the clock's seconds when the head was complete.
    :ivar has_begun: whether the answer's head is out.
    """

    __slots__ = (
        "_chunked",
        "_is_tunnel",
        "_suppressed",
        "amend",
        "client",
        "connection",
        "has_begun",
        "head",
        "observer",
        "receiver",
        "record",
        "request_id",
        "started",
    )

    def __init__(
        self, connection: ServerConnection, head: RequestHead, client: Client, request_id: bytes, started: float
    ) -> None:
        #: A `ServerConnection`, then perhaps a `ServerTunnel`; None when it is over.
        self.connection: Any = connection
        self.head = head
        self.client = client
        self.request_id = request_id
        self.started = started
        self.record = Outcome()
        self.observer: Any = None
        self.receiver: Any = None
        self.amend: Amend | None = None
        self.has_begun = False
        self._chunked = False
        self._suppressed = False
        self._is_tunnel = False
        self._left = None

    def receive(self, receiver: object) -> None:
        if self.connection is not None:
            self.connection.receive(self, receiver)

    def discard(self) -> None:
        if self.connection is not None:
            self.connection.discard(self)

    def pause(self) -> None:
        if self.connection is not None:
            self.connection.pause_body(self)

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume_body(self)

    def inform(self, status: int, fields: Fields) -> None:
        if self.connection is not None and not self.has_begun and self.head.version >= 11:
            self.connection.transport.write(interim_head(status, fields))

    def answer(self, head: Any, body: bytes = b"") -> None:
        connection = self.connection
        if connection is None or self.has_begun:
            return
        if self.amend is not None:
            head = self.amend(head, len(body) if head.length is None else head.length)
        status = head.status
        length = head.length
        try:
            if status == 204 or status == 304 or self.head.method == b"HEAD":
                if length is None and status != 304 and body:
                    length = len(body)
                framing = b"" if length is None or status == 204 else content_length(length)
                data, body = self._head_bytes(connection, head, framing), b""
            elif length is None or length == len(body):
                line = self._connection_line(connection)
                data = whole_answer(head, line, connection.factory.date_line, self.request_id, body)
            else:
                raise OurFault(500, "bad-length", "The answer's body is not as long as it says.")
        except OurFault as fault:
            self.fail(fault)
            return
        self.has_begun = True
        record = self.record
        record.status = status
        record.sent = len(body)
        connection.transport.write(data)
        connection.answered(self)

    def begin(self, head: Any) -> None:
        connection = self.connection
        if connection is None or self.has_begun:
            return
        if self.amend is not None:
            head = self.amend(head, head.length)
        status = head.status
        length = head.length
        if status == 204 or status == 304 or self.head.method == b"HEAD":
            self._suppressed = True
            framing = b"" if length is None or status == 204 else content_length(length)
        elif length is not None:
            framing = content_length(length)
            self._left = length
        elif self.head.version >= 11:
            framing = CHUNKED
            self._chunked = True
        else:
            # HTTP/1.0 knows no chunks: the close is the end.
            framing = b""
            connection.keeps_alive = False
        try:
            data = self._head_bytes(connection, head, framing)
        except OurFault as fault:
            self.fail(fault)
            return
        self.has_begun = True
        self.record.status = status
        connection.transport.write(data)

    def write(self, data: bytes) -> None:
        connection = self.connection
        if connection is None or self._suppressed or not data or not self.has_begun:
            return
        size = len(data)
        if not self._owes(size):
            return
        if self._chunked:
            data = chunk(data)
        elif self._is_tunnel:
            connection.moved()
        self.record.sent += size
        connection.transport.write(data)

    def finish(self, trailers: Any = ()) -> None:
        connection = self.connection
        if connection is None or not self._may_finish():
            return
        if self._chunked:
            try:
                end = last_chunk(list(trailers))
            except OurFault as fault:
                self.abort(fault)
                return
            connection.transport.write(end)
        self._suppressed = True
        connection.answered(self)

    def switch(self, head: Any, receiver: Any) -> None:
        connection = self.connection
        if not self._may_switch():
            return
        try:
            answer = ResponseHead(101, head.fields, None, b"", head.has_date)
            lines = upgrade_lines(self.head.upgrade)
            data = response_head(answer, b"", lines, connection.factory.date_line, self.request_id)
        except OurFault as fault:
            self.fail(fault)
            return
        self.has_begun = self._is_tunnel = True
        self.record.status = 101
        connection.transport.write(data)
        tunnel = self.connection = connection.switch(self, receiver)
        tunnel.begin()

    def abort(self, fault: Exception) -> None:
        connection = self.connection
        if connection is None:
            return
        self._note(fault)
        connection.cut(self)

    def _head_bytes(self, connection: ServerConnection, head: ResponseHead, framing: bytes) -> bytes:
        line = self._connection_line(connection)
        return response_head(head, framing, line, connection.factory.date_line, self.request_id)

    def _connection_line(self, connection: ServerConnection) -> bytes:
        if not connection.will_keep_alive(self):
            return CLOSE
        return b"" if self.head.version == 11 else KEEP_ALIVE
