"""
The PROXY protocol's header, versions 1 and 2: bytes -> who is connected through a load balancer; pure.

Its specification is HAProxy's ``doc/proxy-protocol.txt``.  The header comes first on a connection, before TLS::

    PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\\r\\n                       version 1, at most 107 bytes
    \\r\\n\\r\\n\\0\\r\\nQUIT\\n 21 11 000c  4 + 4 + 2 + 2 bytes, then TLVs      version 2

``UNKNOWN``, ``LOCAL`` (the load balancer's own health checks) and families that are not TCP's say nothing of a peer:
the connection's own counts.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

#: Who has not sent more may still be in the middle of a header of version 1; its specification says 107.
LINE_BYTES = 107
#: Version 2 with its TLVs: what fits into the smallest segment that everybody must take (RFC 1122 section 3.3.3), which
#: the specification keeps it to.
HEADER_BYTES = 536

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_ADDRESS = rb"[0-9A-Fa-f:.]{2,45}"
_PORT = rb"0|[1-9][0-9]{0,4}"
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rb"|TCP(?P<version>[46]) (?P<source>%b) (?P<destination>%b) (?P<sport>%b) (?P<dport>%b))"
    % (_ADDRESS, _ADDRESS, _PORT, _PORT)
)
_LOCAL, _PROXY = 0x20, 0x21
# Family and transport: the bytes of an address where it is TCP's, None where that is known but nothing for us.
_FAMILIES = {0x11: 4, 0x21: 16, 0x00: None, 0x12: None, 0x22: None, 0x31: None, 0x32: None}


class Endpoint(NamedTuple):
    """An IP literal in its shortest form, IPv4-mapped ones as IPv4, and a port."""

    host: str
    port: int


class ProxyHeader(NamedTuple):
    """
    :ivar size: how many bytes it is.
    :ivar source: who is connected; None: whoever the connection is from.
    :ivar destination: what that client has connected to; None with ``source``.
    """

    size: int
    source: Endpoint | None = None
    destination: Endpoint | None = None


class BadProxyHeader(ValueError):
    """There is no header at the beginning of these bytes, and no bytes after them make it one."""


def read_header(data: bytes) -> ProxyHeader | int:
    """
    The header at the beginning of what a connection has brought.

    :return: the header, or how many bytes there must be before it can be said more.
    :raises BadProxyHeader: there is none.
    """
    if _SIGNATURE.startswith(data[:12]):
        return _read_binary(data)
    if b"PROXY ".startswith(data[:6]):
        return _read_line(data)
    raise BadProxyHeader("it begins with something else")


def _read_line(data: bytes) -> ProxyHeader | int:
    end = data.find(b"\r\n", 0, LINE_BYTES)
    if end < 0:
        if len(data) >= LINE_BYTES:
            raise BadProxyHeader("the line is too long")
        return len(data) + 1
    line = _LINE.fullmatch(data, 0, end)
    if line is None:
        raise BadProxyHeader("the line is malformed")
    if line["version"] is None:
        return ProxyHeader(end + 2)
    source = _endpoint(line["source"].decode("ascii"), int(line["sport"]), int(line["version"]))
    return ProxyHeader(
        end + 2, source, _endpoint(line["destination"].decode("ascii"), int(line["dport"]), int(line["version"]))
    )


def _read_binary(data: bytes) -> ProxyHeader | int:
    if len(data) < 16:
        return 16
    size = 16 + int.from_bytes(data[14:16], "big")
    if size > HEADER_BYTES:
        raise BadProxyHeader("the header is too long")
    command, family = data[12], data[13]
    if command not in (_LOCAL, _PROXY) or family not in _FAMILIES:
        raise BadProxyHeader("the command or the family is not known")
    if len(data) < size:
        return size
    width = _FAMILIES[family]
    if command == _LOCAL or width is None:
        return ProxyHeader(size)
    if size < 16 + 2 * width + 4:
        raise BadProxyHeader("the addresses are cut off")
    version = 4 if width == 4 else 6
    at = 16 + 2 * width
    source, destination = data[16 : 16 + width], data[16 + width : at]
    return ProxyHeader(
        size,
        _endpoint(source, int.from_bytes(data[at : at + 2], "big"), version),
        _endpoint(destination, int.from_bytes(data[at + 2 : at + 4], "big"), version),
    )


def _endpoint(host: str | bytes, port: int, version: int) -> Endpoint:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise BadProxyHeader("an address is malformed") from None
    if address.version != version or port > 65535:
        raise BadProxyHeader("an address or a port is malformed")
    return Endpoint(str(getattr(address, "ipv4_mapped", None) or address), port)
