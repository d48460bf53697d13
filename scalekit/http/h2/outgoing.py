"""
The head of a request that goes on to an app server over HTTP/2, as a field list (RFC 9113 sections 8.2 and 8.3.1).

Which fields go on is said in one place, `scalekit.http.forwarding`, which makes HTTP/1.1 lines: here they are taken
apart again.  They are lines of our own making, so this cannot fail.
"""

from __future__ import annotations

from scalekit.http.h2.session import Unindexed
from scalekit.http.heads import Fields
from scalekit.http.upgrade import WEBSOCKET

#: They speak of one connection (RFC 9113 section 8.2.2).
_DROPPED = frozenset((b"connection", b"transfer-encoding", b"upgrade"))
#: Different in every request: in the compression's table they would push out what comes again.
_UNIQUE = frozenset((b"x-request-id", b"traceparent"))


def request_fields(head: bytes, scheme: bytes) -> Fields:
    """
    The field list of this request.

    :param head: a whole head that `Forwarder.head` or `request_head` has made, its empty line included.
    :param scheme: ``http`` or ``https``, as the connection is.
    """
    start, *lines = head[:-4].split(b"\r\n")
    method, target, _ = start.split(b" ")
    host = b""
    fields: Fields = []
    for line in lines:
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name in _UNIQUE:
            fields.append(Unindexed(name, value))
        elif name == b"host":
            host = value
        elif name not in _DROPPED:
            fields.append((name, value))
    return [(b":method", method), (b":scheme", scheme), (b":authority", host), (b":path", target), *fields]


def connect_fields(fields: Fields) -> Fields:
    """
    The extended CONNECT that asks for what these fields of an HTTP/1.1 handshake ask for (RFC 8441 section 5).

    :param fields: as `request_fields` gives them.
    """
    kept = [field for field in fields[1:] if field[0] not in (b"sec-websocket-key", b"content-length")]
    return [(b":method", b"CONNECT"), (b":protocol", WEBSOCKET), *kept]


def trailer_list(trailers: Fields) -> Fields:
    """Trailers with the lower-case names that HTTP/2 wants."""
    return [(name.lower(), value) for name, value in trailers]
