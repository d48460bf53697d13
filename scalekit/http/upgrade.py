"""
WebSocket's opening handshake (RFC 6455 section 4), as far as somebody in the middle has a part in it.

No other protocol is asked for on a client's behalf: after ``Upgrade: h2c`` an app server would answer requests that
nobody here has seen.  An app server's 101 counts only if it proves that the app has read the key: one that merely
passes on a status that somebody made up would open a tunnel past us (the key's purpose, RFC 6455 section 1.3).
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1, sha256

from scalekit.http.heads import Fields, RequestHead, ResponseHead, values_of
from scalekit.http.responses import malformed
from scalekit.http.serializer import upgrade_lines

WEBSOCKET = b"websocket"

#: 16 bytes in base64.
_KEY = re.compile(rb"[0-9A-Za-z+/]{22}==")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handshake:
    """
    :param key: what the app server has to have read.
    :param is_key_ours: whether we say it, and not the client.

    :ivar lines: what the request says of it, whole lines.
    :ivar accept: what the answer says of it.
    """

    __slots__ = ("accept", "lines")

    def __init__(self, key: bytes, is_key_ours: bool = False) -> None:
        self.accept = accept_of(key)
        self.lines = upgrade_lines(WEBSOCKET)
        if is_key_ours:
            self.lines += b"Sec-WebSocket-Key: %b\r\n" % key

    def check(self, head: ResponseHead) -> None:
        """
        Whether this 101 is an answer to it.

        :raises UpstreamFault: 502, it is not.
        """
        if head.upgrade != WEBSOCKET:
            raise malformed("it switches to another protocol than it was asked for.")
        if head.get(b"sec-websocket-accept") != self.accept:
            raise malformed("it switches protocols without having read the key.")


def handshake_of(head: RequestHead, request_id: bytes) -> Handshake | None:
    """The handshake that this request begins; None if it is none, and goes on as any other request does."""
    if head.upgrade != WEBSOCKET or head.method != b"GET" or b"sec-websocket-key" in head.hop:
        return None
    keys = values_of(head.fields, b"sec-websocket-key")
    if len(keys) == 1 and _KEY.fullmatch(keys[0]):
        return Handshake(keys[0])
    if not keys and head.version == 20:
        return Handshake(made_key(request_id), True)
    return None


def handshake_fields(head: RequestHead, request_id: bytes) -> Fields:
    """What an extended CONNECT (RFC 8441) lacks for those who know the handshake of HTTP/1.1 only."""
    if head.upgrade != WEBSOCKET or head.version != 20:
        return []
    fields = [(b"Connection", b"Upgrade"), (b"Upgrade", WEBSOCKET)]
    if head.get(b"sec-websocket-key") is None:
        fields.append((b"Sec-WebSocket-Key", made_key(request_id)))
    return fields


def accept_of(key: bytes) -> bytes:
    """What a server answers to this key, in Sec-WebSocket-Accept (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def made_key(request_id: bytes) -> bytes:
    """A key for a handshake of HTTP/2, which has none (RFC 8441 section 5.1); it need only differ, not be a secret."""
    return b64encode(sha256(request_id).digest()[:16])
