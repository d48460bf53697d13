"""
Where messages end in a stream (RFC 6587): octet counting, ``7 <13>abc``, or a trailer, ``<13>abc`` and a newline.

A connection's first bytes decide, and hold for all of it: a number, a blank and ``<`` are a count, all else is none.
The trailer is a newline.  Python's SysLogHandler ends messages with NUL and has newlines within: once a message has
ended with NUL, a newline only ends one if what follows begins with a priority.

A browser can be made to send to any port of its machine (contract.md, "Access"), but always begins with a request line
of HTTP: what does is no syslog.

How the bytes are cut into reads makes no difference.  Time is linear in them, and no more of a message is held than
`FRAME_LIMIT`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from scalekit.logs.syslog.message import FRAME_LIMIT

# Nine digits are a gigabyte: more is no length of a message. Newlines between counted messages are forgiven.
_COUNT = re.compile(rb"\n*+([1-9][0-9]{0,8}) ")
_COUNT_BEGUN = re.compile(rb"\n*+((?:[1-9][0-9]{0,8})?)\Z")
_COUNTED = re.compile(rb"[1-9][0-9]{0,8} <")
_COUNTED_BEGUN = re.compile(rb"(?:[1-9][0-9]{0,8} ?)?\Z")
_NEWLINE = re.compile(rb"[\n\0]")
_NUL = re.compile(rb"\0|\n(?=<[0-9]{1,3}>)")
# At the end there may be so much of a newline and a priority.
_LOOK_BACK = len(b"\n<191")
# RFC 9112 section 3: no method begins with "<".
_REQUEST = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]++ [^ ]++ HTTP/[0-9]")


class Message(NamedTuple):
    """
    The bytes of one message.

    :ivar missing: how many more it had, which were left out.
    """

    data: bytes
    missing: int = 0


class Framing:
    """
    One connection.

    :ivar fault: why nothing more can be read from it: ``http``, or ``framing`` (what should be a count is none).
    """

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._is_counted: bool | None = None  # None: not known yet
        self._is_first = True
        self._left = 0  # counted: what is still to come of a message that is over the limit
        self._trailer = _NEWLINE
        self._looked = 0  # up to here there is none
        self._missing = 0  # what was left out, at the limit
        self.fault: str | None = None

    @property
    def held_bytes(self) -> int:
        """Of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete now; what comes after a `fault` is left out."""
        if self.fault is not None:
            return []
        self._buffer += data
        if self._is_counted is None:
            if _COUNTED.match(self._buffer):
                self._is_counted = True
            elif _COUNTED_BEGUN.match(self._buffer) is None:
                self._is_counted = False
            else:
                return []
        return self._counted() if self._is_counted else self._trailed()

    def end(self) -> list[Message]:
        """The connection has ended: what has begun and not ended, if there is any."""
        messages: list[Message] = []
        if self.fault is None and self._is_counted:
            header = _COUNT.match(self._buffer)
            if header is not None and header.end() < len(self._buffer):
                data = bytes(self._buffer[header.end() :])
                messages.append(Message(data, int(header[1]) - len(data)))
        elif self.fault is None:
            self._take(len(self._buffer), 0, messages)
        self._buffer.clear()
        return messages

    def _counted(self) -> list[Message]:
        buffer, limit = self._buffer, self._limit
        messages: list[Message] = []
        position = min(self._left, len(buffer))
        self._left -= position
        while not self._left:
            header = _COUNT.match(buffer, position)
            if header is None:
                begun = _COUNT_BEGUN.match(buffer, position)
                if begun is None:
                    self.fault = "framing"
                else:
                    position = begun.start(1)
                break
            count = int(header[1])
            kept = min(count, limit)
            start = header.end()
            if len(buffer) - start < kept:
                break
            messages.append(Message(bytes(buffer[start : start + kept]), count - kept))
            position = min(start + count, len(buffer))
            self._left = start + count - position
        del buffer[:position]
        return messages

    def _trailed(self) -> list[Message]:
        buffer = self._buffer
        messages: list[Message] = []
        position = 0
        looked = self._looked
        while self.fault is None and (trailer := self._trailer.search(buffer, looked)) is not None:
            self._take(trailer.start(), position, messages)
            self._trailer = _NUL if trailer[0] == b"\0" else self._trailer
            position = looked = trailer.end()
            self._missing = 0
        del buffer[:position]
        over = len(buffer) - self._limit - _LOOK_BACK
        if over > 0:
            del buffer[self._limit : self._limit + over]
            self._missing += over
        self._looked = max(0, len(buffer) - _LOOK_BACK)
        return messages

    def _take(self, end: int, start: int, messages: list[Message]) -> None:
        """The message that ends there, if there is anything in it."""
        kept = min(end, start + self._limit)
        data = bytes(self._buffer[start:kept])
        if not data.strip(b"\r"):
            return
        missing = self._missing + end - kept
        if self._is_first and not data.startswith(b"<") and (missing or _REQUEST.match(data)):
            self.fault = "http"
            return
        self._is_first = False
        messages.append(Message(data, missing))

    def __repr__(self) -> str:
        kind = {None: "not known yet", True: "counted", False: "with a trailer"}[self._is_counted]
        return f"<Framing {kind}, {self.held_bytes} bytes held{f', {self.fault}' if self.fault else ''}>"
