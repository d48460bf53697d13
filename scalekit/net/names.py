"""
Which certificate for which name; pure.

A wildcard stands for exactly one label (RFC 9525 section 6.3): ``*.example`` is for ``shop.example``, and neither for
``example`` nor for ``a.shop.example``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from cryptography import x509

T = TypeVar("T")


class CertificateNames:
    """What a certificate is for: ``b"shop.example:2000" in names`` asks about a Host or ``:authority``."""

    __slots__ = ("_names", "_wildcards", "first")

    def __init__(self, names: Iterable[str]) -> None:
        """
        :param names: DNS names, ``*.example`` too, and addresses without brackets.
        """
        listed = [_canonical(name) for name in names]
        self.first = listed[0] if listed else ""
        self._names = frozenset(name for name in listed if not name.startswith("*."))
        self._wildcards = frozenset(name[2:] for name in listed if name.startswith("*."))

    def __contains__(self, authority: object) -> bool:
        if not isinstance(authority, bytes):
            return False
        name = hostname(authority.decode("latin-1").lower())
        return name in self._names or name.partition(".")[2] in self._wildcards

    def __iter__(self) -> Iterator[str]:
        yield from self._names
        yield from (f"*.{name}" for name in self._wildcards)

    def __repr__(self) -> str:
        return f"<CertificateNames {' '.join(sorted(self))}>"


class ByName(Generic[T]):
    """
    What is configured for names: the exact name wins over the wildcard.

    Names that nobody has configured are not remembered: strangers make up as many as they like.
    """

    def __init__(self, entries: Mapping[str, T]) -> None:
        self._exact = {_canonical(name): value for name, value in entries.items()}

    def get(self, server_name: str) -> T | None:
        """What is for this name, as SNI gives it; None: nothing is."""
        name = _canonical(server_name)
        found = self._exact.get(name)
        if found is not None or name.startswith("*."):
            return found
        return self._exact.get(f"*.{name.partition('.')[2]}")

    def __bool__(self) -> bool:
        return bool(self._exact)


def names_in(certificate: x509.Certificate) -> list[str]:
    """The DNS names and addresses among its alternative names; a common name does not count (RFC 9525 section 2)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = names.get_values_for_type(x509.IPAddress)
    return [*names.get_values_for_type(x509.DNSName), *map(str, addresses)]


def hostname(authority: str) -> str:
    """``shop.example`` of ``shop.example.:2000``; an address in its shortest form, without brackets."""
    if authority.startswith("["):
        return _canonical(authority[1:].partition("]")[0])
    return _canonical(authority.partition(":")[0])


def _canonical(name: str) -> str:
    name = name.lower().removesuffix(".")
    if ":" in name or name.replace(".", "").isdigit():
        try:
            return str(ipaddress.ip_address(name))
        except ValueError:
            pass
    return name
