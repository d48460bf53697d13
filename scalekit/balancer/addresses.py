"""
Which addresses may be registered: the ones that cannot turn the balancer against somebody else, or against itself.

Whoever may register an address makes the balancer send requests there, with whatever the balancer can reach.  So an app
registers only where it is itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Verdict(NamedTuple):
    """
    Whether an address may be registered.

    :ivar reason: a short token; empty when it is allowed.
    :ivar detail: one sentence for people; empty when it is allowed.
    :ivar host: the address in its canonical form, v4-mapped ones as IPv4; empty when it is refused.
    """

    reason: str
    detail: str
    host: str

    @property
    def is_allowed(self) -> bool:
        return not self.reason


def literal(text: str) -> Address | None:
    """The address that this is, v4-mapped ones as IPv4; None for anything else."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def judge(
    claimed: str,
    port: int,
    peer: str,
    local: str,
    listeners: Iterable[tuple[str, int]],
    is_operator: bool = False,
) -> Verdict:
    """
    Whether ``peer`` may register ``claimed``.

    :param claimed: the address to be registered, a literal.
    :param peer: the address that asks.
    :param local: the address that the peer has connected to; a peer that has the same one is on this machine.
    :param listeners: host and port of every listener of ours: a request sent there would come back for ever.
    :param is_operator: whether the peer has shown an operator's token and so may register others.
    """
    address, asking = literal(claimed), literal(peer)
    if address is None:
        return _refused("not-literal", f"{claimed!r} is not an IP address; names are not taken here")
    kind = _forbidden_kind(address)
    if kind:
        return _refused(kind, f"{address} is {kind}")
    if asking is None:
        return _refused("unknown-peer", f"{peer!r}, the address that asks, is not an IP address")
    is_both_here = address.is_loopback and asking.is_loopback
    if address.is_loopback and not asking.is_loopback:
        return _refused("loopback", f"{address} is a loopback address, and {asking} is not on this machine")
    if not is_operator and not is_both_here and address != asking:
        return _refused("foreign", f"{address} is not the address that asks, {asking}")
    here = literal(local)
    is_here = address.is_loopback or address == here
    for host, listening_port in listeners:
        listener = literal(host)
        if port == listening_port and (address == listener or (is_here and _is_any(listener))):
            return _refused("own-listener", f"{address} port {port} is a listener of this balancer")
    return Verdict("", "", str(address))


def _forbidden_kind(address: Address) -> str:
    if address.is_unspecified:
        return "unspecified"
    if address.is_multicast:
        return "multicast"
    if address.is_link_local:
        return "link-local"
    # 240.0.0.0/4 with the broadcast address (RFC 1112, RFC 919); in IPv6 "reserved" holds ::1 and says nothing.
    if address.version == 4 and address.is_reserved:
        return "reserved"
    return ""


def _is_any(listener: Address | None) -> bool:
    return listener is not None and listener.is_unspecified


def _refused(reason: str, detail: str) -> Verdict:
    return Verdict(reason, detail, "")
