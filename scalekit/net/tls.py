"""
TLS, as a server and as a client: what is served under which name, and how servers are checked.

The contexts are made by `scalekit.net.contexts`, the transports that use them are in `scalekit.net.tls_transports`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from copy import copy
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from cryptography import x509
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.logger import Logger

from scalekit.errors import ConfigurationFault
from scalekit.net.contexts import (
    HTTP,
    ClientDemand,
    Credentials,
    certified,
    client_context,
    concerning,
    read_chain,
    read_credentials,
    session_context,
)
from scalekit.net.names import ByName, CertificateNames, names_in
from scalekit.net.quick_tls import QuickConnection
from scalekit.net.tickets import TicketContexts

#: From accept until the handshake is complete (HAProxy's and nginx's default is a minute).
HANDSHAKE_SECONDS = 10.0

_log = Logger()


class Pair(NamedTuple):
    """
    A certificate and its key, both PEM files.

    :ivar certificate: the server's first, then those between it and the authority.
    :ivar names: the server names it is chosen for; empty: those in the certificate.
    :ivar place: the table of the configuration that names it, for faults, such as ``tls.sni[0]``; empty: none does.
    """

    certificate: Path
    private_key: Path
    names: tuple[str, ...] = ()
    place: str = ""

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


class ServerTLS:
    """
    What https listeners are served with: certificates, chosen by server name, and keys of session tickets.

    A context may not change after its first connection: `load` puts new ones in their place for new connections, and
    `rotate` new keys.  Neither ends a connection or a session.

    :ivar listeners: those that are served with something else, by what `of` is asked with.
    :ivar client_ca: what is demanded of clients; None: nothing.
    :ivar signers: the authorities of what is served, where somebody knows them.
    """

    def __init__(
        self,
        certificate: Path,
        private_key: Path,
        protocols: Sequence[str] = HTTP,
        handshake_seconds: float = HANDSHAKE_SECONDS,
        further: Sequence[Pair] = (),
        client_ca: ClientCA | None = None,
        place: str = "",
    ) -> None:
        """
        :param certificate: a PEM file, the server's certificate first, then those between it and the authority; for
            clients that name no server, or one that nothing is known of.
        :param private_key: a PEM file.
        :param protocols: for ALPN, the most wanted first.
        :param further: certificates for certain server names.
        :param place: of the first pair, as `Pair.place`.
        :raises ConfigurationFault: one of the files cannot be used; the fault names it.
        """
        self.protocols = tuple(protocols)
        self.handshake_seconds = handshake_seconds
        self.listeners: dict[Hashable, ServerTLS] = {}
        self.signers: list[Ending] = []
        self.client_ca: ClientCA | None = None
        self._demand: ClientDemand | None = None
        self._tickets = TicketContexts(self._session_context)
        self._pairs: tuple[Pair, ...] = ()
        self._served: tuple[Served, ...] = ()
        self._by_name: ByName[Served] = ByName({})
        # Also those that connections of yesterday were shown.
        self._covered: WeakKeyDictionary[SSL.Context, CertificateNames] = WeakKeyDictionary()
        self.load((Pair(certificate, private_key, place=place), *further), client_ca)

    @property
    def certificate(self) -> Path:
        """Of the certificate for everybody else."""
        return self._served[0].pair.certificate

    @property
    def context(self) -> SSL.Context:
        """With the certificate for everybody else."""
        return self._served[0].context

    def of(self, listener: Hashable) -> ServerTLS:
        """What this listener is served with."""
        return self.listeners.get(listener, self)

    def everything(self) -> Iterator[Served]:
        """All that is served here and on `listeners`."""
        for tls in (self, *self.listeners.values()):
            yield from tls._served

    def endings(self) -> Iterator[Ending]:
        """Of each file here and on `listeners` once: what is served, who signs clients' certificates, `signers`."""
        served = {one.pair.certificate: one for one in self.everything()}
        yield from (Ending(one.covers.first, file, one.not_after) for file, one in served.items())
        demanded = {tls.client_ca.file: tls._demand for tls in (self, *self.listeners.values()) if tls.client_ca}
        for file, demand in demanded.items():
            yield from (Ending.of(authority, file) for authority in (demand.authorities if demand else ()))
        yield from self.signers

    def doubts(self) -> list[str]:
        """As `doubtful_names`, of what is served here and on `listeners`; none twice."""
        found = (
            doubtful_names((served.pair, served.credentials) for served in tls._served[1:])
            for tls in (self, *self.listeners.values())
        )
        return list(dict.fromkeys(chain.from_iterable(found)))

    def reload(self) -> None:
        """
        Read the files again.

        :raises ConfigurationFault: one of them cannot be used; of each such pair the old context stays.
        """
        self.load(self._pairs, self.client_ca)

    def load(self, pairs: Sequence[Pair], client_ca: ClientCA | None = None) -> None:
        """
        Serve with these from now on; one by one: where a new one cannot be used, the old one stays.

        :param pairs: the first is for clients that name no server, or one that nothing is known of.
        :raises ConfigurationFault: something cannot be used; all that can be used is served nevertheless.
        """
        faults = []
        try:
            demand = client_ca.read() if client_ca else None
        except ConfigurationFault as fault:
            if not self._served:
                raise
            faults.append(str(fault))
            client_ca, demand = self.client_ca, self._demand
        self._pairs = tuple(pairs)
        # By all but its place, which moves when another entry goes.
        former = {served.pair[:3]: served for served in self._served}
        served = []
        for number, pair in enumerate(pairs):
            try:
                credentials = pair.read()
                if number:
                    check_names(pair, credentials)
                served.append(Served(pair, credentials, certified(credentials, self.protocols, demand)))
            except ConfigurationFault as fault:
                faults.append(str(fault))
                old = former.get(pair[:3]) or (self._served[0] if number == 0 and self._served else None)
                if old is not None and demand == self._demand:
                    served.append(old)
                elif old is not None:
                    # The old certificate stays, but not who was trusted beside it.
                    renewed = certified(old.credentials, self.protocols, demand)
                    served.append(Served(old.pair, old.credentials, renewed))
                elif number == 0:
                    raise
        if demand != self._demand:
            # A session carries that its client was trusted: none outlives a change in who is.
            self._demand = demand
            self._tickets = TicketContexts(self._session_context)
        self.client_ca = client_ca
        self._serve(served)
        if faults:
            raise ConfigurationFault("; ".join(faults))

    def _session_context(self) -> SSL.Context:
        context = session_context(self.protocols, self._demand)
        context.set_tlsext_servername_callback(self._choose)
        return context

    def _serve(self, served: Sequence[Served]) -> None:
        for new in served:
            old = next((one for one in self._served if one.pair.certificate == new.pair.certificate), None)
            if old is not None and old.serial != new.serial:
                _log.info(
                    "{file} has changed: serving a certificate for {name} until {end:%Y-%m-%d}",
                    file=new.pair.certificate,
                    name=new.covers.first,
                    end=new.not_after,
                )
        by_name: dict[str, Served] = {}
        for one in served[1:]:
            for name in one.pair.names or one.covers:
                by_name.setdefault(name, one)
        self._served = tuple(served)
        self._covered.update((one.context, one.covers) for one in served)
        self._by_name = ByName(by_name)

    def rotate(self) -> None:
        """Begin with a new key of session tickets; tickets of the present one are good until the next rotation."""
        self._tickets.rotate(self.context)

    @property
    def wants_hello(self) -> bool:
        """Whether `connection` is to be given the ClientHello."""
        return self._tickets.former is not None

    def connection(self, sock: Any, hello: bytes = b"") -> SSL.Connection:
        """
        A server's end on this socket.

        :param hello: the client's first record, if that is there; whoever brings an older ticket may then resume.
        """
        connection = QuickConnection(self._tickets.context_for(hello), sock)
        connection.set_context(self.context)
        connection.set_accept_state()
        return connection

    def _choose(self, connection: SSL.Connection) -> None:
        """In the handshake: the certificate for the server name."""
        name = connection.get_servername() if self._by_name else None
        if name:
            served = self._by_name.get(name.decode("latin-1"))
            if served is not None:
                connection.set_context(served.context)

    @property
    def is_name_decisive(self) -> bool:
        """Whether what a connection may ask for depends on the certificate it was shown, or on its client's."""
        return len(self._served) > 1 or self._demand is not None

    def covered(self, connection: SSL.Connection) -> CertificateNames | None:
        """What the certificate is for that a client was shown: what may stand in Host where `is_name_decisive`."""
        return self._covered.get(connection.get_context())

    def __repr__(self) -> str:
        return f"<ServerTLS {self.certificate} {','.join(self.protocols)}>"


class ClientTLS:
    """
    How the certificates of servers are checked.

    :ivar verify: whether they are.
    """

    def __init__(self, ca: Path | None = None, verify: bool = True, protocols: Sequence[str] = ()) -> None:
        """
        :param ca: a PEM file with the authorities that are trusted; None: those of the system.
        :param protocols: for ALPN, the most wanted first.
        :raises ConfigurationFault: the file cannot be used.
        """
        self.ca = ca
        self.verify = verify
        self.protocols = tuple(protocols)
        self.context = client_context(ca, verify)

    def speaking(self, *protocols: str) -> ClientTLS:
        """The same for connections on which something else is spoken."""
        other = copy(self)
        other.protocols = protocols
        return other

    def connection(self, sock: Any, server_name: str) -> SSL.Connection:
        """A client's end on this socket; SNI is for names only (RFC 6066 section 3)."""
        connection = QuickConnection(self.context, sock)
        connection.set_connect_state()
        if self.protocols:
            connection.set_alpn_protos([protocol.encode("ascii") for protocol in self.protocols])
        if not _is_address(server_name):
            connection.set_tlsext_host_name(server_name.encode("idna"))
        return connection

    def check_identity(self, connection: SSL.Connection, server_name: str) -> str:
        """What is wrong with the name in the server's certificate (RFC 9525); empty if nothing is."""
        if not self.verify:
            return ""
        try:
            if _is_address(server_name):
                verify_ip_address(connection, server_name)
            else:
                verify_hostname(connection, server_name)
        except (VerificationError, CertificateError, ValueError):
            return f"certificate verify failed: the certificate is not for {server_name}"
        return ""

    def __repr__(self) -> str:
        return f"<ClientTLS {self.ca or 'the system authorities'}{'' if self.verify else ' unverified'}>"


def _is_address(name: str) -> bool:
    return isIPAddress(name) or isIPv6Address(name)
