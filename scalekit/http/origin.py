"""
Where a request came from, as the app server is told: Forwarded (RFC 7239) and the X-Forwarded fields.

From a peer that is not trusted nothing is believed.  From a trusted one the chain is walked from the right, the end
that we know, to the first hop that is not trusted: what stands left of that one anybody may have written.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

from scalekit.errors import ClientFault
from scalekit.http.heads import Client, Fields, values_of
from scalekit.http.targets import check_authority

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: One element of Forwarded: a comma inside quotes does not end it.
_ELEMENT = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*+")++')
_FOR = re.compile(
    rb'(?:^|;)[ \t]*+for="?(?:\[([0-9a-f:.]++)\]|([0-9a-z._]++))(?::[0-9a-z._]++)?+"?[ \t]*+(?:;|$)', re.IGNORECASE
)
#: What an element of Forwarded says of host and scheme.
_HOST_OR_PROTO = re.compile(rb'(?:^|;)[ \t]*+(host|proto)="?([^";]*+)', re.IGNORECASE)
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
#: An address in X-Forwarded-For; some write its port too.
_NODE = re.compile(rb"(?:\[([0-9A-Fa-f:.]++)\]|([0-9.]++))(?::[0-9]++)?+|([0-9A-Fa-f:.]++)")
#: Hops that are looked at: a chain of trusted proxies has three or four, and each costs parsing an address.
_MOST_HOPS = 32


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether the address lies in one of the networks."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def origin_lines(host: bytes, client: Client, told: Fields, trusted: tuple[Network, ...]) -> bytes:
    """
    The lines that tell where the request came from, ours at the end of each chain.

    :param host: the authority that counts; empty for HTTP/1.0 without Host.
    :param told: what a trusted peer says of the hops before it, names in lower case; empty for any other peer.
    """
    proto = b"https" if client.is_secure else b"http"
    port = b"%d" % client.local_port
    address = client.address.encode()
    # RFC 7239 section 6: IPv6 in brackets and quotes, what is no address with an underscore in front.
    node = b'"[%b]"' % address if b":" in address else address if address[:1].isdigit() else b"_" + address
    elements = [b"for=%b;proto=%b" % (node, proto) if not host else b'for=%b;host="%b";proto=%b' % (node, host, proto)]
    addresses = [address]
    outer_host, outer_proto, outer_port = host, proto, port
    if told:
        elements[:0] = _believed(_elements(values_of(told, b"forwarded")), _forwarded_node, trusted)
        addresses[:0] = _believed(_items(values_of(told, b"x-forwarded-for")), _plain_node, trusted)
        outer_proto = _last(told, b"x-forwarded-proto", _is_proto) or proto
        outer_host = _last(told, b"x-forwarded-host", _is_authority) or host
        outer_port = _last(told, b"x-forwarded-port", _is_port) or port
    lines = [b"Forwarded: " + b", ".join(elements), b"X-Forwarded-For: " + b", ".join(addresses)]
    lines.append(b"X-Forwarded-Proto: " + outer_proto)
    if outer_host:
        lines.append(b"X-Forwarded-Host: " + outer_host)
    lines.append(b"X-Forwarded-Port: " + outer_port)
    return b"\r\n".join(lines) + b"\r\n"


def origin_is_secure(client: Client, told: Fields) -> bool:
    """Whether the request came over TLS, to us or, as far as ``told`` says, to the proxy before us."""
    return (_last(told, b"x-forwarded-proto", _is_proto) or (b"https" if client.is_secure else b"http")) == b"https"


def is_told_otherwise(host: bytes, client: Client, told: Fields, trusted: tuple[Network, ...]) -> bool:
    """
    Whether the app server is told another host, port or scheme than those by which the request is known: by ``host``
    and `origin_is_secure`.

    Many a proxy sends on what its client has written of some of these, so that whoever asks may choose them.

    :param told: see `origin_lines`.
    """
    host = host.lower()
    scheme = b"https" if origin_is_secure(client, told) else b"http"
    other_host = _last(told, b"x-forwarded-host", _is_authority)
    if other_host is not None and other_host.lower() != host:
        return True
    port = _last(told, b"x-forwarded-port", _is_port)
    usual = (_DEFAULT_PORTS[scheme], b"%d" % client.local_port)
    if port is not None and port not in usual and not host.endswith(b":" + port):
        return True
    for element in _believed(_elements(values_of(told, b"forwarded")), _forwarded_node, trusted):
        for name, value in _HOST_OR_PROTO.findall(element):
            if value.lower() != (host if name.lower() == b"host" else scheme):
                return True
    return False


def origin_address(client: Client, told: Fields, trusted: tuple[Network, ...]) -> str:
    """
    The address of whoever has asked in the first place, as far as that is believed.

    :param told: see `origin_lines`.
    """
    for name, split, node in (
        (b"forwarded", _elements, _forwarded_node),
        (b"x-forwarded-for", _items, _plain_node),
    ):
        chain = _believed(split(values_of(told, name)), node, trusted)
        if chain:
            return node(chain[0]) or client.address
    return client.address


def _believed(chain: list[bytes], node: Callable[[bytes], str | None], trusted: tuple[Network, ...]) -> list[bytes]:
    kept: list[bytes] = []
    for item in reversed(chain[-_MOST_HOPS:]):
        address = node(item)
        if address is None:
            break
        kept.append(item)
        if not is_within(address, trusted):
            break
    return kept[::-1]


def _items(values: Iterable[bytes]) -> list[bytes]:
    return [item for value in values for raw in value.split(b",") if (item := raw.strip(b" \t"))]


def _elements(values: Iterable[bytes]) -> list[bytes]:
    found: list[bytes] = []
    for value in values:
        if value.count(b'"') % 2:
            # A quote that stays open would swallow the elements that follow.
            return []
        found += [item for raw in _ELEMENT.findall(value) if (item := raw.strip(b" \t"))]
    return found


def _forwarded_node(element: bytes) -> str | None:
    match = _FOR.search(element)
    return None if match is None else (match[1] or match[2]).decode("ascii")


def _plain_node(item: bytes) -> str | None:
    match = _NODE.fullmatch(item)
    return None if match is None else (match[1] or match[2] or match[3]).decode("ascii")


def _last(told: Fields, name: bytes, is_good: Callable[[bytes], bool]) -> bytes | None:
    """The value that the peer itself wrote: the last of a list."""
    items = _items(values_of(told, name))
    return items[-1] if items and is_good(items[-1]) else None


def _is_proto(value: bytes) -> bool:
    return value in (b"http", b"https")


def _is_authority(value: bytes) -> bool:
    try:
        check_authority(value)
    except ClientFault:
        return False
    return True


def _is_port(value: bytes) -> bool:
    return value.isdigit() and len(value) <= 5 and int(value) <= 65535
