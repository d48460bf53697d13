"""
One end of an HTTP/2 connection, without its socket: libnghttp2 through ``ngh2``, which only this and `client_session`
import.  Here are what both ends share, and the server's.

What is received is told to the session's owner by calls, in the order of the frames; what is submitted waits until
`Session.output` is asked for it.  The owner may call the session from inside those calls, except `Session.receive`.
A session that has ended (`Session.is_over`) may still have bytes to send: the GOAWAY that says why.

The seam is `ServerSession`, `ClientSession` and their `Owner`: what passes tests/http/h2/test_session*.py can take
libnghttp2's place.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Any

from ngh2 import (
    Configuration,
    Connection,
    ConnectionClosingError,
    ConnectionStateError,
    DataReceived,
    DenialOfServiceError,
    GoAwayReceived,
    InformationalResponseReceived,
    NeverIndexedHeader,
    NGH2Error,
    PingReceived,
    RequestReceived,
    ResponseReceived,
    Role,
    Setting,
    SettingsReceived,
    StreamClosed,
    StreamProtocolError,
    StreamReset,
    StreamUnavailableError,
    TrailersReceived,
    WindowUpdated,
)

from scalekit.http.h2.limits import (
    CONNECTION_WINDOW,
    CONTINUATIONS,
    HEADER_COUNT,
    HEADER_LIST_BYTES,
    OUTBOUND_ACKS,
    SETTINGS_ENTRIES,
    STREAM_WINDOW,
)
from scalekit.http.h2.owner import ErrorCode, Noise, Owner
from scalekit.http.h2.watch import UPDATE_BYTES, Breach, FrameWatch, LargeUpdate
from scalekit.http.limits import HEAD_BYTES

#: RFC 9113 section 6.9.1.
WINDOW_MAXIMUM = 2**31 - 1

#: For a field that differs from answer to answer: it must not push the others out of the compression's table.
Unindexed = NeverIndexedHeader

#: What is submitted for a stream, or a connection, that is over in the meantime.
GONE = (StreamUnavailableError, ConnectionStateError, ConnectionClosingError)


class Session:
    """
    What both ends share; see `ServerSession` and `client_session`.

    :ivar is_ending: whether its GOAWAY is said or waits to be, as far as is known: after an error of the peer's, at the
        next that it sends.
    """

    #: Of a server: what reads along, and the streams that it has seen reset in this read.
    _watch: FrameWatch | None = None
    _taken_back: AbstractSet[int] = frozenset()

    def __init__(self, role: Role, owner: Owner, settings: dict[Setting, int], streams: int) -> None:
        self._owner = owner
        self._newest = 0
        self.is_ending = False
        #: A GOAWAY that libnghttp2 leaves to us; None while it is alive.
        self._last_words: bytes | None = None
        connection = self._connection = Connection(
            role,
            Configuration(
                auto_window_update=False,
                peer_max_concurrent_streams=streams,
                max_outbound_ack=OUTBOUND_ACKS,
                max_settings=SETTINGS_ENTRIES,
                max_continuations=CONTINUATIONS,
                max_inbound_header_list_size=HEADER_LIST_BYTES,
                max_inbound_header_count=HEADER_COUNT,
                # Resets are counted by who owns the session, who knows which were premature.
                stream_reset_rate_limit=(1_000_000, 1_000_000),
            ),
        )
        connection.initiate_connection(
            {Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW, Setting.MAX_HEADER_LIST_SIZE: HEAD_BYTES, **settings}
        )
        connection.set_local_window_size(CONNECTION_WINDOW)

    # What arrives.

    def receive(self, data: bytes) -> None:
        """Take what arrived and tell the owner."""
        if self._last_words is not None:
            return
        try:
            self._connection.receive_data(data)
        except DenialOfServiceError:
            self._die(ErrorCode.ENHANCE_YOUR_CALM)
        except ConnectionStateError:
            self.is_ending = True  # What the peer still says is not heard.
            return
        except NGH2Error:
            self._die(ErrorCode.PROTOCOL_ERROR)
        self._tell()

    def _die(self, code: ErrorCode) -> None:
        self.is_ending = True
        if self._last_words is None:
            # 8 bytes of payload on stream 0 (RFC 9113 sections 4.1 and 6.8).
            self._last_words = struct.pack(">IBIII", 8 << 8 | 7, 0, 0, self._newest, code)

    def _tell(self) -> None:
        owner = self._owner
        event: Any
        for event in self._connection.events():
            kind = type(event)
            if kind is RequestReceived:
                stream = event.stream_id
                if stream > self._newest:
                    self._newest = stream
                if stream not in self._taken_back:
                    owner.requested(stream, event.headers, event.end_stream)
            elif kind is DataReceived:
                owner.data(event.stream_id, event.data, event.end_stream)
            elif kind is StreamClosed:
                stream = event.stream_id
                if self._watch is not None:
                    self._watch.closed(stream)
                owner.closed(stream, event.error_code)
            elif kind is ResponseReceived:
                owner.answered(event.stream_id, event.headers, event.end_stream)
            elif kind is WindowUpdated:
                owner.heard(Noise.WINDOW_UPDATE)
            elif kind is TrailersReceived:
                owner.trailers(event.stream_id, event.headers)
            elif kind is InformationalResponseReceived:
                owner.informed(event.stream_id, event.headers)
            elif kind is StreamReset:
                owner.reset(event.stream_id, event.error_code)
            elif kind is SettingsReceived:
                owner.heard(Noise.SETTINGS)
            elif kind is PingReceived:
                owner.heard(Noise.PING)
            elif kind is GoAwayReceived:
                owner.going_away(event.last_stream_id, event.error_code)
            # `is_over` tells of the last one, ConnectionClosed.

    def acknowledge(self, stream: int, size: int) -> None:
        """So many bytes of a stream's body have been used, or thrown away: the peer may send as many more."""
        if size and self._last_words is None:
            try:
                self._connection.acknowledge_received_data(size, stream)
            except ConnectionStateError:
                pass  # It is ending, and no more will come.

    # What is sent.

    def output(self, size: int, write: Callable[[bytes], object] | None = None) -> bytes:
        """
        Up to ``size`` bytes that are to be sent now; the owner may hear `Owner.closed` from inside.

        :param write: sends them before that: nobody who waits for them waits for what follows from it.
        """
        if self._last_words is not None:
            words, self._last_words = self._last_words, b""
            if write is not None and words:
                write(words)
            return words
        try:
            data = self._connection.data_to_send(size)
        except NGH2Error:
            self._die(ErrorCode.INTERNAL_ERROR)
            return self.output(size, write)
        if write is not None and data:
            write(data)
        # Also when there is nothing to send: of streams that a GOAWAY has kept from being opened it is told only here.
        self._tell()
        return data

    @property
    def is_quiet(self) -> bool:
        """Whether `output` would give nothing and the session goes on: so it is as a rule, once it has received."""
        if self._last_words is not None:
            return False
        connection = self._connection
        return not connection.want_write and connection.want_read

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be said once `output` is empty: the transport is to be closed."""
        if self._last_words is not None:
            return True
        return not self._connection.want_read and not self._connection.want_write

    def queued(self, stream: int) -> int:
        """How many bytes of this stream's body wait for the peer's window, or for `output`."""
        if self._last_words is not None:
            return 0
        return self._connection.queued_body_size(stream)

    @property
    def queued_total(self) -> int:
        """The same for all streams together."""
        if self._last_words is not None:
            return 0
        return self._connection.queued_body_size()

    def send_data(self, stream: int, data: bytes, has_ended: bool = False) -> None:
        """Submit a piece of a body; ignored if the stream is over."""
        try:
            self._connection.send_data(stream, data, end_stream=has_ended)
        except (*GONE, StreamProtocolError):
            pass

    def end(self, stream: int, trailers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """End our side of a stream; ignored if it is over."""
        trailers = list(trailers)
        try:
            if trailers:
                self._connection.send_trailers(stream, trailers)
            else:
                self._connection.end_stream(stream)
        except (*GONE, StreamProtocolError):
            pass

    def reset(self, stream: int, code: ErrorCode) -> None:
        """End a stream at once, both ways; ignored if it is over."""
        try:
            self._connection.reset_stream(stream, code)
        except GONE:
            pass

    def terminate(self, code: ErrorCode) -> None:
        """GOAWAY, and no more streams."""
        self.is_ending = True
        try:
            self._connection.terminate_connection(code)
        except NGH2Error:
            self._die(code)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' over' if self._last_words is not None else ''}>"


class ServerSession(Session):
    """
    A server's end.

    :param streams: the most that the client may have open.
    """

    def __init__(self, owner: Owner, streams: int) -> None:
        settings = {
            Setting.MAX_CONCURRENT_STREAMS: streams,
            Setting.ENABLE_CONNECT_PROTOCOL: 1,
            # Priorities of RFC 7540 are not looked at, by nobody any more (RFC 9218 section 2.1).
            Setting.NO_RFC7540_PRIORITIES: 1,
        }
        super().__init__(Role.SERVER, owner, settings, streams)
        self._watch: FrameWatch = FrameWatch(streams)
        self._taken_back = self._watch.taken_back
        #: The beginning of a frame, too little to judge it.
        self._held = b""

    def receive(self, data: bytes) -> None:
        if self.is_ending:
            return
        if self._held:
            data = self._held + data
            self._held = b""
        end, found = self._watch.look(data, 0)
        if end == len(data):
            super().receive(data)
        else:
            self._receive_parts(data, end, found)
        if self._taken_back:
            self._watch.taken_back.clear()

    def _receive_parts(self, data: bytes, end: int, found: Breach | LargeUpdate | None) -> None:
        start = 0
        while True:
            if end > start:
                super().receive(data[start:end])
            if found is None:
                self._held = data[end:]
                return
            if isinstance(found, Breach):
                self.terminate(ErrorCode(found.code))
                return
            start = end + UPDATE_BYTES
            if self._opens_too_far(found):
                self.reset(found.stream, ErrorCode.FLOW_CONTROL_ERROR)
            else:
                super().receive(data[end:start])
            end, found = self._watch.look(data, start)

    def _opens_too_far(self, update: LargeUpdate) -> bool:
        """Whether a stream's window would grow over what there may be (RFC 9113 section 6.9.1)."""
        try:
            window = self._connection.stream_remote_window_size(update.stream)
        except NGH2Error:
            return False  # It is closed.
        return window + update.increment > WINDOW_MAXIMUM

    def respond(self, stream: int, fields: Iterable[tuple[bytes, bytes]], has_ended: bool) -> None:
        """Submit a final answer's head, ``:status`` first; ignored if the stream is over."""
        try:
            self._connection.send_response(stream, fields, end_stream=has_ended)
        except GONE:
            pass

    def answer(self, stream: int, fields: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Submit a whole final answer, ``:status`` first; ignored if the stream is over."""
        try:
            self._connection.send_response(stream, fields, end_stream=not body)
            if body:
                self._connection.send_data(stream, body, end_stream=True)
        except GONE:
            pass

    def inform(self, stream: int, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Submit an interim answer's head."""
        try:
            self._connection.send_informational_response(stream, fields)
        except GONE:
            pass

    def announce_end(self) -> None:
        """GOAWAY with the highest stream number: the client shall open no more, those on their way are still taken."""
        try:
            self._connection.send_shutdown_notice()
        except GONE:
            pass

    def refuse_more(self) -> None:
        """GOAWAY with the last stream that was taken; the open ones go on."""
        try:
            self._connection.send_goaway(ErrorCode.NO_ERROR, last_stream_id=self._newest)
        except GONE:
            pass
