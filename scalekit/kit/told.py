"""
What the balancer tells of a request, and whether it was the balancer that told it.  Pure.

Anybody who reaches an app server directly can write the same fields; they are believed of the balancer only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

#: An address in X-Forwarded-For; a proxy before the balancer may have written its port too.
_NODE = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})", re.ASCII)

#: On one machine the balancer asks from the loopback.
LOOPBACK = ("127.0.0.0/8", "::1/128")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Told(NamedTuple):
    """
    :ivar client: the client's address; empty where it is none, as with a unix socket before the balancer.
    :ivar scheme: ``http`` or ``https``, what the client speaks; empty if it is not told.
    :ivar request_id: as in the access log of the balancer.
    :ivar traceparent: W3C Trace Context.
    """

    client: str
    scheme: str
    request_id: str
    traceparent: str


class Balancers:
    """
    Who is believed.

    :param networks: such as ``10.0.0.0/24``, and single addresses.
    :raises ValueError: one is none.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in networks)

    def __contains__(self, peer: object) -> bool:
        """Whether it is a balancer's address; empty stands for a unix socket, which only this machine can reach."""
        if peer == "":
            return True
        try:
            address = ipaddress.ip_address(str(peer))
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)

    def __repr__(self) -> str:
        return f"<Balancers {' '.join(map(str, self._networks))}>"


def read(field: Callable[[str], str]) -> Told:
    """
    Take what a balancer has written.

    :param field: a field's value by its name in lower case, several joined by commas; empty without one.
    """
    # The balancer has kept of the chain only what it believes: the client stands first.
    node = _NODE.fullmatch(field("x-forwarded-for").partition(",")[0].strip())
    client = (node[1] or node[2] or node[3]) if node else ""
    try:
        client = str(ipaddress.ip_address(client)) if client else ""
    except ValueError:
        client = ""
    scheme = field("x-forwarded-proto")
    return Told(client, scheme if scheme in ("http", "https") else "", field("x-request-id"), field("traceparent"))
