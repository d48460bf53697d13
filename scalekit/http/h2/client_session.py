"""The client's end of an HTTP/2 connection, without its socket; `session` has what it shares with the server's."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ngh2 import NGH2Error, Role, Setting

from scalekit.http.h2.limits import UPSTREAM_CONNECTION_WINDOW, UPSTREAM_STREAM_WINDOW
from scalekit.http.h2.owner import ErrorCode, Owner
from scalekit.http.h2.session import GONE, Session


class ClientSession(Session):
    """
    A client's end.

    :param streams: how many streams it opens before the server has said how many it takes.
    """

    def __init__(self, owner: Owner, streams: int) -> None:
        settings = {Setting.ENABLE_PUSH: 0, Setting.INITIAL_WINDOW_SIZE: UPSTREAM_STREAM_WINDOW}
        super().__init__(Role.CLIENT, owner, settings, streams)
        self._connection.set_local_window_size(UPSTREAM_CONNECTION_WINDOW)

    def request(self, fields: Iterable[tuple[bytes, bytes]], has_ended: bool) -> int:
        """
        Open a stream with a request's head, the pseudo fields first.

        :returns: the stream; 0 if no stream can be opened any more on this connection.
        """
        try:
            return self._connection.send_request(fields, end_stream=has_ended)
        except NGH2Error:
            return 0

    def hasten(self, size: int, write: Callable[[bytes], object]) -> None:
        """Send what `output` would give, for who cannot be told anything now; `output` has to follow."""
        if self._last_words is None:
            try:
                data = self._connection.data_to_send(size)
            except NGH2Error:
                self._die(ErrorCode.INTERNAL_ERROR)
                return
            if data:
                write(data)

    def ping(self) -> None:
        """Ask for a sign of life: the server has to answer with as many bytes (RFC 9113 section 6.7)."""
        try:
            self._connection.ping(b"scalekit")
        except GONE:
            pass

    @property
    def can_request(self) -> bool:
        """Whether `request` would open a stream."""
        return self._last_words is None and self._connection.can_send_request

    @property
    def server_streams(self) -> int:
        """How many streams the server takes at once, as far as is known."""
        return self._connection.remote_settings.get(Setting.MAX_CONCURRENT_STREAMS, 2**32 - 1)

    @property
    def has_connect_protocol(self) -> bool:
        """Whether the server takes extended CONNECT (RFC 8441)."""
        return bool(self._connection.remote_settings.get(Setting.ENABLE_CONNECT_PROTOCOL, 0))
