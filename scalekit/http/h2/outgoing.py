"""
The head of a request that goes on to an app server over HTTP/2, as a field list (RFC 9113 sections 8.2 and 8.3.1).

Which fields go on is said in one place, `scalekit.http.forwarding`, which makes HTTP/1.1 lines: here they are taken
apart again.  They are lines of our own making, so this cannot fail.
"""

from __future__ import annotations

from functools import lru_cache

from scalekit.http.h2.session import Unindexed
from scalekit.http.heads import Fields
from scalekit.http.upgrade import WEBSOCKET

#: They speak of one connection (RFC 9113 section 8.2.2).
_DROPPED = frozenset((b"connection", b"transfer-encoding", b"upgrade"))
#: Different in every request: in the compression's table they would push out what comes again.
_UNIQUE = frozenset((b"x-request-id", b"traceparent"))

#: What a named tuple's own constructor calls, in a third of its time.
_made = tuple.__new__

#: What stands before it comes again and again from one client, what follows is different in every request.
_ID = b"\r\nX-Request-ID: "


def request_fields(head: bytes, scheme: bytes) -> Fields:
    """
    The field list of this request.

    :param head: a whole head that `Forwarder.head` or `request_head` has made, its empty line included.
    :param scheme: ``http`` or ``https``, as the connection is.
    """
    end = head.find(_ID)
    if end < 0:
        return _beginning(head[:-4], scheme)
    size = end + len(_ID)
    next_line = head.index(b"\r\n", size)
    fields = [*_known_beginning(head[:end], scheme), _made(Unindexed, (b"x-request-id", head[size:next_line]))]
    if next_line < len(head) - 4:
        _add(fields, head[next_line + 2 : -4].split(b"\r\n"))
    return fields


def _beginning(head: bytes, scheme: bytes) -> Fields:
    start, *lines = head.split(b"\r\n")
    method, target, _ = start.split(b" ")
    fields = [(b":method", method), (b":scheme", scheme), (b":authority", b""), (b":path", target)]
    _add(fields, lines)
    return fields


#: As many as there are app servers and clients that ask them for one thing all the time; of 32 KiB each at most.
_known_beginning = lru_cache(32)(_beginning)


def _add(fields: Fields, lines: list[bytes]) -> None:
    for line in lines:
        name, _, value = line.partition(b": ")
        name = name.lower()
        if name in _UNIQUE:
            fields.append(_made(Unindexed, (name, value)))
        elif name == b"host":
            fields[2] = b":authority", value
        elif name not in _DROPPED:
            fields.append((name, value))


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
