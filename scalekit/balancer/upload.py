"""
The body of a request on its way to an app server, and what is kept of it so that it can be sent to another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import implementer

from scalekit.errors import ClientFault
from scalekit.http.forwarding import safe_trailers
from scalekit.http.heads import Fields
from scalekit.interfaces import IBodyReceiver
from scalekit.net.h2_stream import H2Stream
from scalekit.net.upstream import UpstreamConnection

if TYPE_CHECKING:
    from scalekit.balancer.attempts import Attempts

#: What is kept of a body so that it can be sent again; a form or a JSON call fits, an upload does not.
REPLAYED_BODY_BYTES = 64 * 1024


def too_large(limit: int) -> ClientFault:
    """A request's body is over so many bytes."""
    return ClientFault(413, "body-too-large", f"The body of the request is over {limit} bytes.")


@implementer(IBodyReceiver)
class Upload:
    """
    A request's body on its way: handed on piece by piece, and its beginning kept, so that it can be sent again.

    :ivar kept: what has come so far; None once that is too much.
    :ivar trailers: those that may go on.
    """

    __slots__ = ("_forward", "_limit", "_size", "has_ended", "kept", "trailers")

    def __init__(self, forward: Attempts, limit: int | None) -> None:
        self._forward = forward
        self._limit = limit
        self._size = 0
        self.kept: list[bytes] | None = []
        self.trailers: Fields = []
        self.has_ended = False

    def data(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._limit is not None and self._size > self._limit:
            self._forward.refuse(too_large(self._limit))
            return
        if self.kept is not None:
            if self._size <= REPLAYED_BODY_BYTES:
                self.kept.append(piece)
            else:
                self.kept = None
        connection = self._forward.connection
        if connection is not None:
            connection.write(piece)

    def end(self, trailers: Fields) -> None:
        self.has_ended = True
        if trailers:
            self.trailers = safe_trailers(trailers)
        connection = self._forward.connection
        if connection is not None:
            self.finish(connection)

    def finish(self, connection: UpstreamConnection | H2Stream) -> None:
        """It has been handed on whole."""
        # An app server of HTTP/1.1 has no way to say beforehand that it takes trailers.
        connection.finish(self.trailers if connection.takes_trailers else [])
