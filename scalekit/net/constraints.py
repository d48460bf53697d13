"""
What an authority may sign: its name constraints (RFC 5280 section 4.2.1.10); pure.

Not every verifier knows all of them; for what BoringSSL makes of those of addresses see `scalekit.net.certificates`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from cryptography import x509

from scalekit.net.addresses import canonical_name

# A node of a large cluster has thousands of addresses, and each of them would travel in every handshake.
MOST_NAMES = 64


def signable_names(authority: x509.Certificate, names: list[str]) -> list[x509.GeneralName]:
    """What of the names the authority may sign, at most `MOST_NAMES`; what is neither a name nor an address is not."""
    permitted, excluded = _constraints(authority)
    found: dict[x509.GeneralName, None] = {}
    for text in names:
        name = _general_name(text)
        if name is None or _is_excluded(name, excluded):
            continue
        # Only constraints of a name's own kind concern it (RFC 5280 section 4.2.1.10).
        concerned = [one for one in permitted if type(one) is type(name)]
        if not concerned or any(_is_below(name, one) for one in concerned):
            found[name] = None
    return list(found)[:MOST_NAMES]


def refusal(authority: x509.Certificate, text: str) -> str:
    """Why the authority may not sign this, as ``found …, expected …``; empty if it may."""
    if signable_names(authority, [text]):
        return ""
    name = _general_name(text)
    if name is None:
        return f"found {text!r}, expected a name such as app.internal or *.internal, or an address"
    permitted, excluded = _constraints(authority)
    if _is_excluded(name, excluded):
        return f"its name constraints do not permit {text}, expected none below {_listed(name, excluded)}"
    kind = "a name below" if isinstance(name, x509.DNSName) else "an address in"
    return f"its name constraints do not permit {text}, expected {kind} one of {_listed(name, permitted)}"


def _listed(name: x509.GeneralName, trees: Sequence[x509.GeneralName]) -> str:
    return ", ".join(str(one.value) for one in trees if type(one) is type(name))


def _general_name(text: str) -> x509.DNSName | x509.IPAddress | None:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        # A wildcard is the whole of the first label (RFC 9525 section 6.3).
        wildcard = "*." if text.startswith("*.") else ""
        name = canonical_name(text.removeprefix("*."))
        return x509.DNSName(wildcard + name) if name else None


def _is_excluded(name: x509.GeneralName, excluded: Sequence[x509.GeneralName]) -> bool:
    if any(_is_below(name, one) for one in excluded):
        return True
    # A wildcard stands for excluded names too, and who verifies it looks at the asterisk only.
    parent = x509.DNSName(name.value[2:]) if isinstance(name, x509.DNSName) and name.value.startswith("*.") else None
    return parent is not None and any(_is_below(one, parent) for one in excluded if isinstance(one, x509.DNSName))


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
