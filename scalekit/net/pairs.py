"""
Pairs: certificates with their keys, for which names they are chosen, when they end; and who signs those of clients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from OpenSSL import SSL

from scalekit.errors import ConfigurationFault
from scalekit.net.contexts import ClientDemand, Credentials, concerning, read_chain, read_credentials
from scalekit.net.names import CertificateNames, names_in


class Pair(NamedTuple):
    """
    A certificate and its key, both PEM files.

    :ivar certificate: the server's first, then those between it and the authority.
    :ivar names: the server names it is chosen for; empty: those in the certificate.
    :ivar place: the table of the configuration that names it, for faults, such as ``tls.sni[0]``; empty: none does.
    :ivar is_excerpt: whether it is for some names of the first pair, and says so in fewer words: who is shown it may
        ask for all that the first one is for, and what is configured for its names goes before it.
    """

    certificate: Path
    private_key: Path
    names: tuple[str, ...] = ()
    place: str = ""
    is_excerpt: bool = False

    def read(self) -> Credentials:
        """
        :raises ConfigurationFault: it cannot be used.
        """
        return read_credentials(self.certificate, self.private_key, self.place)


class ClientCA(NamedTuple):
    """
    Who signs the certificates of clients.

    :ivar file: a PEM file with the authorities.
    :ivar is_required: whether a client without a certificate is refused; one with a wrong one always is.
    :ivar key: of the configuration, for faults; empty: none.
    """

    file: Path
    is_required: bool = True
    key: str = ""

    def read(self) -> ClientDemand:
        """
        :raises ConfigurationFault: the file cannot be used.
        """
        with concerning(self.key):
            return ClientDemand(tuple(read_chain(self.file)), self.is_required)


class Ending(NamedTuple):
    """
    When a certificate ends.

    :ivar name: what it is for; an authority's own name.
    :ivar not_after: aware.
    """

    name: str
    file: Path
    not_after: datetime
    is_authority: bool = False

    def __str__(self) -> str:
        return f"{self.name} in {self.file}" if self.is_authority else str(self.file)

    @classmethod
    def of(cls, authority: x509.Certificate, file: Path) -> Ending:
        """Of an authority."""
        return cls(authority.subject.rfc4514_string(), file, authority.not_valid_after_utc, True)


class Served:
    """
    A pair that has been read.

    :ivar context: with its certificate.
    :ivar covers: the names and addresses it is for.
    :ivar not_after: when it ends, aware.
    """

    __slots__ = ("context", "covers", "credentials", "not_after", "pair", "serial")

    def __init__(self, pair: Pair, credentials: Credentials, context: SSL.Context) -> None:
        certificate = credentials.chain[0]
        self.pair = pair
        self.credentials = credentials
        self.context = context
        self.covers = CertificateNames([*pair.names, *names_in(certificate)])
        self.not_after: datetime = certificate.not_valid_after_utc
        self.serial = certificate.serial_number

    def __repr__(self) -> str:
        return f"<Served {self.pair.certificate} for {self.covers.first} until {self.not_after:%Y-%m-%d}>"


def check_names(pair: Pair, credentials: Credentials) -> None:
    """
    :raises ConfigurationFault: no server name would ever choose this pair.
    """
    if not pair.names and not names_in(credentials.chain[0]):
        with concerning(pair.place and f"{pair.place}.names"):
            raise ConfigurationFault(f"found none, and none in {pair.certificate}, expected the names it is for")


def doubtful_names(chosen: Iterable[tuple[Pair, Credentials]]) -> Iterator[str]:
    """
    What works, and perhaps otherwise than it is meant to; a sentence each.

    :param chosen: the pairs for certain server names, the earlier before the later.
    """
    first: dict[str, Path] = {}
    for pair, credentials in chosen:
        covered = CertificateNames(names_in(credentials.chain[0]))
        for name in pair.names:
            if name.encode("utf-8") not in covered:
                yield f"{pair.certificate} is served for {name}, and is not for that name: clients will not accept it"
        for name in sorted(CertificateNames(pair.names) if pair.names else covered):
            earlier = first.setdefault(name, pair.certificate)
            if earlier != pair.certificate:
                yield f"{pair.certificate} is not served for {name}, as {earlier} is: expected each name once, in names"
