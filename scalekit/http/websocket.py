"""
WebSocket's frames (RFC 6455 section 5), as far as somebody in the middle has to do with them: where one ends.

`Frames` follows the headers of one direction and skips the payloads by their length; it copies nothing, and judges
nothing: what is not WebSocket just never comes to an end.  Compressed messages have the same headers.
"""

from __future__ import annotations

#: What `Frames.follow` looks for: the end of a frame, where another that is not data may stand, though a message may go
#: on behind it (section 5.4); or the end of a message.
FRAME, MESSAGE = 1, 2

#: Status codes of a close frame (section 7.4.1).
GOING_AWAY = 1001

_FIN = _MASK = 0x80
_CLOSE = 0x8
_KEY_BYTES = 4


class Frames:
    """
    The frames of one direction, as far as they have come.

    :ivar has_closed: whether a close frame has come, after which nothing counts (section 5.5.1).
    """

    __slots__ = ("_head", "_is_close", "_is_in_message", "_left", "has_closed")

    def __init__(self) -> None:
        #: Bytes of the present frame that have not come; 0 between two frames.
        self._left = 0
        #: The beginning of a header that has not come whole.
        self._head = b""
        self._is_close = self._is_in_message = False
        self.has_closed = False

    def is_at_end(self, of: int) -> bool:
        """Whether no `FRAME`, or no `MESSAGE`, has begun and not ended."""
        return not (self._left or self._head or (of == MESSAGE and self._is_in_message))

    def follow(self, data: bytes, until: int = 0) -> int:
        """
        Take what comes next.

        :param until: `FRAME` or `MESSAGE`: stop behind the first that ends here.
        :return: where it ends; what stands behind it has not been looked at, and a close frame never counts. -1: none
            does, or nothing was looked for.
        """
        at = self._left
        size = len(data)
        if at > size:
            self._left = at - size
            return -1
        if self.has_closed:
            return -1
        kept = len(self._head)
        if kept:
            data = self._head + data
            size += kept
            self._head = b""
        is_end = at > 0
        while True:
            if is_end:
                if self._is_close:
                    self._left = 0
                    self.has_closed = True
                    return -1
                if until and (until == FRAME or not self._is_in_message):
                    self._left = 0
                    return at - kept
            if at == size:
                self._left = 0
                return -1
            # What a header has at least, then with an extended length; a masking key goes for payload (section 5.2).
            body = at + 2
            if body > size:
                break
            length = data[at + 1]
            key = _KEY_BYTES if length & _MASK else 0
            length &= ~_MASK
            if length == 126:
                body += 2
                length = int.from_bytes(data[body - 2 : body], "big")
            elif length == 127:
                body += 8
                length = int.from_bytes(data[body - 8 : body], "big")
            if body > size:
                break
            first = data[at]
            if first & _CLOSE:
                self._is_close = first & 0xF == _CLOSE
            else:
                self._is_in_message = first < _FIN
            at = body + key + length
            if at > size:
                self._left = at - size
                return -1
            is_end = True
        self._left = 0
        self._head = data[at:]
        return -1

    def __repr__(self) -> str:
        state = "closed" if self.has_closed else "between messages" if self.is_at_end(MESSAGE) else "in a message"
        return f"<Frames {state}>"


def close_frame(code: int, reason: str = "", key: bytes = b"") -> bytes:
    """
    A whole close frame (section 5.5.1).

    :param reason: for people, 123 bytes of UTF-8 at most.
    :param key: 4 bytes that the payload is masked with, as a client's has to be (section 5.3); empty for a server's.
    """
    payload = code.to_bytes(2, "big") + reason.encode()
    assert len(payload) <= 125, "a control frame has no extended length"
    if not key:
        return bytes((_FIN | _CLOSE, len(payload))) + payload
    masked = bytes(byte ^ key[place % _KEY_BYTES] for place, byte in enumerate(payload))
    return bytes((_FIN | _CLOSE, _MASK | len(payload))) + key + masked
