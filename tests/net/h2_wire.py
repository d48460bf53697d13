"""A client that speaks HTTP/2 in frames made by hand, over a plain socket; it blocks."""

from __future__ import annotations

from typing import Any

from tests.http.h2.conformance import Comes
from tests.http.h2.frames import ACK, PREFACE, SETTINGS, frame

#: What h2spec waits for a frame is a second or two; the rest is for a busy machine.
WAIT_SECONDS = 5.0


class FrameClient:
    """
    :ivar heard: what has come: frames, and the exception that ended it.
    """

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.sock.settimeout(WAIT_SECONDS)
        self._unread = b""
        self.heard: list[Any] = []

    def send(self, data: bytes) -> None:
        """Send all of it, if the server still takes it."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # What ended it is read next.

    def next(self) -> tuple[int, int, int, bytes] | None:
        """The next frame; None at the end, however it came."""
        try:
            head = self._take(9)
            one = head[3], head[4], int.from_bytes(head[5:9], "big"), self._take(int.from_bytes(head[:3], "big"))
        except EOFError as end:
            self.heard.append(end)
            return None
        except OSError as why:
            self.heard.append(why)
            return None
        self.heard.append(one)
        return one

    def _take(self, size: int) -> bytes:
        while len(self._unread) < size:
            more = self.sock.recv(65_536)
            if not more:
                raise EOFError(self._unread)
            self._unread += more
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def hears(self, expected: Comes) -> bool:
        """Whether such a frame comes."""
        while (one := self.next()) is not None:
            if one in expected:
                return True
        return False

    def greet(self) -> bool:
        """Exchange SETTINGS; whether that was possible."""
        self.send(PREFACE + frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff"))
        is_greeted = self.hears(Comes(SETTINGS, 0, 0))
        self.send(frame(SETTINGS, ACK))
        return is_greeted and self.hears(Comes(SETTINGS, ACK, 0))
