"""What an authority may sign: its name constraints (RFC 5280 section 4.2.1.10); pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cryptography import x509

from scalekit.net.addresses import canonical_name

# A node of a large cluster has thousands of addresses, and each of them would travel in every handshake.
MOST_NAMES = 64


def permitted_names(authority: x509.Certificate) -> list[str]:
    """The DNS names below which it may sign; empty: below any."""
    return [str(name.value) for name in _constraints(authority)[0] if isinstance(name, x509.DNSName)]


def signable_names(authority: x509.Certificate, names: list[str]) -> list[x509.GeneralName]:
    """What of the names the authority may sign, at most `MOST_NAMES`; what is neither a name nor an address is not."""
    permitted, excluded = _constraints(authority)
    found: dict[x509.GeneralName, None] = {}
    for text in names:
        name = _general_name(text)
        if name is None or any(_is_below(name, one) for one in excluded):
            continue
        # Only constraints of a name's own kind concern it (RFC 5280 section 4.2.1.10).
        concerned = [one for one in permitted if type(one) is type(name)]
        if not concerned or any(_is_below(name, one) for one in concerned):
            found[name] = None
    return list(found)[:MOST_NAMES]


def _general_name(text: str) -> x509.DNSName | x509.IPAddress | None:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        name = canonical_name(text)
        return x509.DNSName(name) if name else None


def _is_below(name: x509.GeneralName, tree: x509.GeneralName) -> bool:
    if isinstance(name, x509.DNSName) and isinstance(tree, x509.DNSName):
        top = tree.value.lower().lstrip(".")
        return not top or name.value == top or name.value.endswith(f".{top}")
    address, network = name.value, tree.value
    if isinstance(address, ipaddress.IPv4Address) and isinstance(network, ipaddress.IPv4Network):
        return address in network
    if isinstance(address, ipaddress.IPv6Address) and isinstance(network, ipaddress.IPv6Network):
        return address in network
    return False


def _constraints(authority: x509.Certificate) -> tuple[Sequence[x509.GeneralName], Sequence[x509.GeneralName]]:
    """What is permitted, and what is excluded."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return [], []
    return constraints.permitted_subtrees or [], constraints.excluded_subtrees or []
