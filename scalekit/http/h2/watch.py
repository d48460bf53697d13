"""
What libnghttp2 lets pass in the order of a client's frames, and a strict server does not.

It forgets a stream when that is closed, and takes frames on it for late ones.  They are late only on a stream that we
have reset while the client was still sending (RFC 9113 section 5.1, "closed"); on all others they are errors.

====================================================================  ================  =============================
what                                                                  code              RFC
====================================================================  ================  =============================
DATA and HEADERS on a stream that both sides, or the client, ended    STREAM_CLOSED     9113 section 5.1
HEADERS on a stream lower than the newest that never was              PROTOCOL_ERROR    9113 section 5.1.1
PRIORITY on stream 0                                                  PROTOCOL_ERROR    9113 section 6.3
a stream that depends on itself                                       PROTOCOL_ERROR    7540 section 5.3.1
====================================================================  ================  =============================

A stream's window that grows too large is an error of the connection to libnghttp2; the RFC wants the stream reset (9113
section 6.9.1).  Whether it does only libnghttp2 knows, so such frames are shown to the session: `LargeUpdate`.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

_PROTOCOL_ERROR, _STREAM_CLOSED = 1, 5
_PREFACE_BYTES = 24
_HEAD_BYTES = 9
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _WINDOW_UPDATE = 0, 1, 2, 3, 8
_END_STREAM, _PADDED, _HAS_PRIORITY = 0x1, 0x8, 0x20
#: Length and kind in one, flags, stream: one call for what four slices would take, as every frame is looked at.
_frame_head = Struct(">IBI").unpack_from
#: A WINDOW_UPDATE frame.
UPDATE_BYTES = _HEAD_BYTES + 4
_PRIORITY_BYTES = _HEAD_BYTES + 5
#: Clients open a stream's window by up to 16 MiB at once (httpx), and it takes over 30 of less than this to open it too
#: far.
_LARGE_UPDATE = 1 << 26
#: Streams we have reset that frames may still be on their way for: what a client can send in 100 ms at 10,000/s.
_LATE_STREAMS = 1000


class Breach(NamedTuple):
    """An error of the connection, by its code (RFC 9113 section 7)."""

    code: int


class LargeUpdate(NamedTuple):
    """A WINDOW_UPDATE frame of a stream that may open its window too far; it is 13 bytes."""

    stream: int
    increment: int


class FrameWatch:
    """
    Reads along what one client sends, from its preface on.

    :param streams: the most that it may have open.

    :ivar taken_back: the streams that it has reset; whoever looks at them empties it.
    """

    __slots__ = ("_gap", "_late", "_late_from", "_newest", "_open", "_skipped", "_streams", "taken_back")

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self.taken_back: set[int] = set()
        self._newest = -1
        #: The streams that may be open, and whether the client may still send on them.
        self._open: dict[int, bool] = {}
        #: Streams that we have ended while the client was sending; of those up to ``_late_from`` that is not known.
        self._late: dict[int, None] = {}
        self._late_from = 0
        #: The latest streams that the client has left out.
        self._gap = range(0)
        #: Of the present frame, or the preface, what is still to come.
        self._skipped = _PREFACE_BYTES

    def look(self, data: bytes, start: int) -> tuple[int, Breach | LargeUpdate | None]:
        """
        Look at what has arrived, from ``start`` on, where the last look has ended.

        :returns: up to where all is well, and what comes then; None: the rest, if there is any, is too little to judge,
            and is to be shown again with what follows it.
        """
        size = len(data)
        position = start + self._skipped
        open_streams, most, newest, last = self._open, self._streams, self._newest, size - _HEAD_BYTES
        while position <= last:
            word, flags, stream = _frame_head(data, position)
            kind = word & 0xFF
            if (
                kind == _HEADERS
                and stream == newest + 2
                and flags < _HAS_PRIORITY  # which is below what has no meaning
                and len(open_streams) < most
            ):
                # What nearly all frames are: the next stream's head.
                open_streams[stream] = not flags & _END_STREAM
                self._newest = newest = stream
                position += _HEAD_BYTES + (word >> 8)
                continue
            if kind <= _RST_STREAM or kind == _WINDOW_UPDATE:
                stream &= 0x7FFF_FFFF
                found: Breach | LargeUpdate | None = None
                if kind <= _HEADERS:
                    if kind and flags & _HAS_PRIORITY:
                        at = position + _HEAD_BYTES + (1 if flags & _PADDED else 0)
                        if at + 4 <= position + _length(data, position):
                            if at + 4 > size:
                                break
                            found = _depends_on_itself(data, at, stream)
                    if found is not None:
                        pass
                    elif stream in open_streams:
                        if flags & _END_STREAM:
                            # What follows is for libnghttp2 to refuse as long as our side is open.
                            open_streams[stream] = False
                    elif stream & 1:
                        if stream <= self._newest:
                            found = self._after_the_end(stream)
                        elif kind:
                            self._begin(stream, not flags & _END_STREAM)
                            newest = stream
                elif kind == _RST_STREAM:
                    if open_streams.pop(stream, None) is not None:
                        self.taken_back.add(stream)
                elif position + UPDATE_BYTES > size:
                    if _length(data, position) >= UPDATE_BYTES:
                        break
                elif kind == _PRIORITY:
                    if _length(data, position) == _PRIORITY_BYTES:
                        found = _depends_on_itself(data, position + _HEAD_BYTES, stream)
                elif stream:
                    increment = int.from_bytes(data[position + 9 : position + 13], "big") & 0x7FFF_FFFF
                    if increment >= _LARGE_UPDATE and _length(data, position) == UPDATE_BYTES:
                        found = LargeUpdate(stream, increment)
                if found is not None:
                    self._skipped = 0
                    return position, found
            position += _HEAD_BYTES + (word >> 8)
        if position >= size:
            self._skipped = position - size
            return size, None
        self._skipped = 0
        return position, None

    def _begin(self, stream: int, goes_on: bool) -> None:
        if stream != self._newest + 2:
            self._gap = range(self._newest + 2, stream, 2)
        self._newest = stream
        if len(self._open) < self._streams:
            self._open[stream] = goes_on
        else:
            self._end_late(stream)  # Too many: libnghttp2 refuses it.

    def _after_the_end(self, stream: int) -> Breach | None:
        if stream in self._late or stream <= self._late_from:
            return None
        return Breach(_PROTOCOL_ERROR if stream in self._gap else _STREAM_CLOSED)

    def closed(self, stream: int) -> None:
        """The session has told that a stream is closed."""
        if self._open.pop(stream, False):
            self._end_late(stream)

    def _end_late(self, stream: int) -> None:
        late = self._late
        late[stream] = None
        if len(late) > _LATE_STREAMS:
            oldest = next(iter(late))
            del late[oldest]
            self._late_from = max(self._late_from, oldest)

    def __repr__(self) -> str:
        return f"<FrameWatch {len(self._open)} open up to {self._newest}>"


def _length(data: bytes, position: int) -> int:
    """A frame's, its head included."""
    return _HEAD_BYTES + int.from_bytes(data[position : position + 3], "big")


def _depends_on_itself(data: bytes, at: int, stream: int) -> Breach | None:
    if not stream or int.from_bytes(data[at : at + 4], "big") & 0x7FFF_FFFF == stream:
        return Breach(_PROTOCOL_ERROR)
    return None
