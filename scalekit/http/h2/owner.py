"""
What a session of HTTP/2 tells, and whom: its owner, in the words of RFC 9113.

Whatever is the session behind it, these are the calls, in the order of the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

#: What a client sends first (RFC 9113 section 3.4), up to where it looks like a request head of HTTP/1.
PREFACE_HEAD = b"PRI * HTTP/2.0\r\n\r\n"

FieldList = Sequence[tuple[bytes, bytes]]


class ErrorCode(IntEnum):
    """RFC 9113 section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Noise(IntEnum):
    """Frames that carry neither a head nor a body."""

    SETTINGS = 0
    PING = 1
    WINDOW_UPDATE = 2


class Owner(Protocol):
    """Who is told what a session receives."""

    def requested(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        """A request's head; to servers only.  Not of one that the client has taken back in the same read."""

    def answered(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        """A final answer's head; to clients only."""

    def informed(self, stream: int, fields: FieldList) -> None:
        """An interim answer's head; to clients only."""

    def data(self, stream: int, piece: bytes, has_ended: bool) -> None:
        """A piece of a body, which may be empty; every byte of it has to be `Session.acknowledge`\\ d once."""

    def trailers(self, stream: int, fields: FieldList) -> None:
        """The end of a body, with trailers."""

    def reset(self, stream: int, code: int) -> None:
        """The peer has reset the stream, whose head need not have been told; `closed` follows."""

    def closed(self, stream: int, code: int) -> None:
        """
        The stream is over: both sides have ended, or it was reset by either (``code`` is not 0 then, as a rule).

        Also for streams whose head was never told, because it broke a rule.
        """

    def heard(self, noise: Noise) -> None:
        """A frame without content."""

    def going_away(self, last_stream: int, code: int) -> None:
        """The peer takes no streams after ``last_stream``."""
