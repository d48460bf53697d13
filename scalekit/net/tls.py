"""
TLS, as a server and as a client: what is served under which name, and how servers are checked.

The contexts are made by `scalekit.net.contexts`, the transports that use them are in `scalekit.net.tls_transports`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from copy import copy
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.logger import Logger

from scalekit.errors import ConfigurationFault
from scalekit.net.contexts import (
    HTTP,
    ClientDemand,
    certified,
    client_context,
    session_context,
)
from scalekit.net.names import ByName, CertificateNames
from scalekit.net.pairs import ClientCA, Ending, Pair, Served, check_names, doubtful_names
from scalekit.net.quick_tls import QuickConnection
from scalekit.net.tickets import TicketContexts

#: From accept until the handshake is complete (HAProxy's and nginx's default is a minute).
HANDSHAKE_SECONDS = 10.0

_log = Logger()


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
        # An excerpt ends with what it is taken from.
        served = {one.pair.certificate: one for one in self.everything() if not one.pair.is_excerpt}
        yield from (Ending(one.covers.first, file, one.not_after) for file, one in served.items())
        demanded = {tls.client_ca.file: tls._demand for tls in (self, *self.listeners.values()) if tls.client_ca}
        for file, demand in demanded.items():
            yield from (Ending.of(authority, file) for authority in (demand.authorities if demand else ()))
        yield from self.signers

    def doubts(self) -> list[str]:
        """As `doubtful_names`, of what is served here and on `listeners`; none twice."""
        found = (
            doubtful_names((one.pair, one.credentials) for one in tls._served[1:] if not one.pair.is_excerpt)
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
        for one in sorted(served[1:], key=lambda one: one.pair.is_excerpt):
            configured = ByName(by_name) if one.pair.is_excerpt else None
            for name in one.pair.names or one.covers:
                if configured is None or configured.get(name) is None:  # a wildcard may be for it as well
                    by_name.setdefault(name, one)
        self._served = tuple(served)
        self._covered.update((one.context, (served[0] if one.pair.is_excerpt else one).covers) for one in served)
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
        return sum(not one.pair.is_excerpt for one in self._served) > 1 or self._demand is not None

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
