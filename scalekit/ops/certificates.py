"""The certificates that a daemon listens with, from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scalekit.config import Config, ListenURL
from scalekit.config.model import Logs
from scalekit.errors import ConfigurationFault
from scalekit.net.certificates import (
    CA,
    CA_KEY,
    SERVER,
    SERVER_KEY,
    SERVER_NAMES,
    ensure_local_ca,
    ensure_server_certificate,
)
from scalekit.net.contexts import HTTP, SESSION_SECONDS, certified, read_chain
from scalekit.net.pairs import ClientCA, Ending, Pair, check_names, doubtful_names
from scalekit.net.tls import ServerTLS
from scalekit.ops.draining import DrainingService
from scalekit.ops.options import DaemonOptions
from scalekit.ops.watching import FileWatch

#: The local certificate is renewed at two thirds of its 90 days: looking twice a day is early enough, and cheap.
RENEWAL_SECONDS = 12 * 3600.0
#: A ticket is good for so long: only the former key has to be kept (nginx and Caddy rotate theirs every 12 h too).
ROTATION_SECONDS = float(SESSION_SECONDS)
#: How often files are looked at, some microseconds of stat(2): who has renewed a certificate and then opens the site
#: sees it.  Files are read when two looks have found the same, since a pair is two files.
WATCH_SECONDS = 2.0
#: How early the end of a certificate is warned of: automatic renewal has failed for weeks by then (certbot begins 30
#: days before), and somebody who is on holiday may still be back in time.
WARNING = timedelta(days=14)
WARNING_SECONDS = 24 * 3600.0

_LISTENING = ("balancer", "registration", "cache", "logs", "data", "blog")

_log = Logger()


def tls_directory(config: Config) -> Path:
    """Where the local CA and the certificate it signed are kept."""
    return Path(config.state_directory, "tls")


class _Terms(NamedTuple):
    """What a listener is served with, by its configuration."""

    pairs: Sequence[Pair]
    client_ca: ClientCA | None = None


class ServerCertificate(Service):
    """
    The certificates of a daemon's https listeners: the configured pairs, or one of the local CA, renewed by itself.

    Files that change are read again, also behind symbolic links.  A pair that cannot be used is told of in the log, and
    the old one stays.  Keys of session tickets are rotated.

    :ivar tls: for the listeners.
    :raises ConfigurationFault: a file cannot be used.
    """

    name = "certificate"

    def __init__(
        self,
        config: Config,
        names: Iterable[str],
        clock: IReactorTime,
        wall: Callable[[], float],
        listen: Callable[[Config], Sequence[ListenURL]] = lambda config: (),
        protocols: Sequence[str] = HTTP,
    ) -> None:
        """
        :param names: of this machine, for the local CA.
        :param wall: as `time.time`.
        :param listen: the listeners of a configuration that this is for; they may have certificates of their own.
        :param protocols: for ALPN, the most wanted first.
        """
        self._names = list(names)
        self._wall = wall
        self._listen = listen
        self._config = config
        self._watch = FileWatch()
        self._told: set[str] = set()
        common, own = self._terms(config)
        signers: list[Ending] = []
        if _is_local(config, common):
            signers = self._make_local(config)
            common, own = self._terms(config)  # with all that was made
        self._watch.have_read(_files(config, common, *own.values()))
        self.tls = _server_tls(common, protocols)
        self.tls.listeners = {url: _server_tls(terms, protocols) for url, terms in own.items()}
        self.tls.signers = signers
        self._warned: set[Ending] = set()
        self._loops = []
        for seconds, call in (
            (WATCH_SECONDS, self._look),
            (RENEWAL_SECONDS, self._renew),
            (ROTATION_SECONDS, self._rotate),
            (WARNING_SECONDS, self._warn),
        ):
            loop = LoopingCall(self._try, call)
            loop.clock = clock
            self._loops.append((loop, seconds))

    def _terms(self, config: Config) -> tuple[_Terms, dict[ListenURL, _Terms]]:
        """What all listeners are served with that have no terms of their own, and the terms of those that have."""
        listeners = [url for url in self._listen(config) if url.is_secure]
        tls = config.tls
        own = {url: [_own_pair(config, url)] for url in listeners if url.certificate}
        if tls.certificate:
            default = Pair(Path(tls.certificate), Path(tls.private_key), place="tls")
        elif own and len(own) == len(listeners):
            [default] = next(iter(own.values()))  # nobody needs a local one
        else:
            default = _local_pair(config)
        pairs = [default, *sni_pairs(config)]
        if default == _local_pair(config):
            by_name = Path(tls_directory(config), SERVER_NAMES)
            pairs += [Pair(by_name, default.private_key, is_excerpt=True)] if by_name.exists() else []
        return _Terms(pairs), {
            url: _Terms(own.get(url, pairs), client_ca(config, url))
            for url in listeners
            if url.certificate or url.client_ca
        }

    def _make_local(self, config: Config) -> list[Ending]:
        """The local CA and what it signs for this machine; when the former ends."""
        now = datetime.fromtimestamp(self._wall(), UTC)
        directory = tls_directory(config)
        ensure_local_ca(directory, now, self._names)
        ensure_server_certificate(directory, self._names, now)
        return [Ending.of(read_chain(directory / CA)[0], directory / CA)]

    def reload(self, config: Config) -> None:
        """
        Read the files of this configuration, for new connections; which listeners there are stays as it is.

        :raises ConfigurationFault: something cannot be used; there the old certificate stays, all else is served.
        """
        self._config = config
        common, own = self._terms(config)
        faults: list[str] = []
        if not _is_local(config, common):
            self.tls.signers = []
        else:
            try:
                self.tls.signers = self._make_local(config)
                common, own = self._terms(config)
            except ConfigurationFault as fault:
                faults.append(str(fault))
        # Whatever has failed: it is read again when it changes, and not before.
        self._watch.have_read(_files(config, common, *own.values()))
        by_place = {str(url): terms for url, terms in own.items()}
        for url, tls in ((None, self.tls), *self.tls.listeners.items()):
            terms = common if url is None else by_place.get(str(url))
            if terms is None:
                continue  # to be no longer different is for the next start
            try:
                tls.load(*terms)
            except ConfigurationFault as fault:
                faults.append(str(fault))
        self._tell_doubts()
        # What is new shall not have to wait for the next day; of the others that day tells.
        self._warn(of_all=False)
        if faults:
            raise ConfigurationFault("; ".join(dict.fromkeys(faults)))

    def _tell_doubts(self) -> None:
        """Each once, until it is gone."""
        doubts = self.tls.doubts()
        for doubt in doubts:
            if doubt not in self._told:
                _log.warn("{doubt}", doubt=doubt)
        self._told = set(doubts)

    def startService(self) -> None:
        super().startService()
        self._tell_doubts()
        for loop, seconds in self._loops:
            loop.start(seconds, now=seconds == WARNING_SECONDS)

    def stopService(self) -> None:
        for loop, _ in self._loops:
            loop.stop()
        super().stopService()

    def _try(self, call: Callable[[], object]) -> None:
        """A loop ends for ever at the first exception."""
        try:
            call()
        except ConfigurationFault as fault:
            _log.error("the old certificate stays: {fault}", fault=fault)
        except Exception:
            _log.failure("{call} failed, what is served stays", call=call.__name__)

    def _look(self) -> None:
        if self._watch.has_changed():
            self._renew()

    def _renew(self) -> None:
        self.reload(self._config)

    def _rotate(self) -> None:
        for tls in (self.tls, *self.tls.listeners.values()):
            tls.rotate()

    def _warn(self, of_all: bool = True) -> None:
        now = datetime.fromtimestamp(self._wall(), UTC)
        ends = set(self.tls.endings())
        for ending in sorted(ends if of_all else ends - self._warned):
            if ending.not_after < now:
                _log.error("{what} has expired on {end:%Y-%m-%d}", what=ending, end=ending.not_after)
            elif ending.not_after < now + WARNING:
                _log.warn("{what} expires on {end:%Y-%m-%d}", what=ending, end=ending.not_after)
        self._warned = ends

    def __repr__(self) -> str:
        return f"<ServerCertificate {self.tls!r}>"


def _local_pair(config: Config) -> Pair:
    directory = tls_directory(config)
    return Pair(directory / SERVER, directory / SERVER_KEY)


def _is_local(config: Config, common: _Terms) -> bool:
    """Whether the local CA makes the certificate for everybody else."""
    return not config.tls.certificate and common.pairs[0] == _local_pair(config)


def _files(config: Config, common: _Terms, *others: _Terms) -> Iterator[Path]:
    """All that is read."""
    if _is_local(config, common):
        yield from (tls_directory(config) / CA, tls_directory(config) / CA_KEY)
    for terms in (common, *others):
        for pair in terms.pairs:
            yield from (pair.certificate, pair.private_key)
        if terms.client_ca is not None:
            yield terms.client_ca.file


def _server_tls(terms: _Terms, protocols: Sequence[str]) -> ServerTLS:
    first, *further = terms.pairs
    return ServerTLS(
        first.certificate,
        first.private_key,
        protocols,
        further=further,
        client_ca=terms.client_ca,
        place=first.place,
    )


class CertificateMetrics(Collector):
    """When the certificates end that a daemon serves with, and those of authorities."""

    def __init__(self, tls: ServerTLS) -> None:
        self._tls = tls

    def collect(self) -> Iterator[Metric]:
        ends = GaugeMetricFamily(
            "scalekit_certificate_expiry_timestamp_seconds",
            "When a certificate expires that is served, or that of the local CA or of a client CA, in seconds since "
            "the epoch.",
            labels=["name", "file"],
        )
        first: dict[tuple[str, str], float] = {}
        for ending in self._tls.endings():
            # A file may hold an authority's old certificate beside its new one.
            labels, end = (ending.name, str(ending.file)), ending.not_after.timestamp()
            first[labels] = min(end, first.get(labels, end))
        for labels, end in first.items():
            ends.add_metric(labels, end)
        yield ends


def add_certificate(
    daemon: DrainingService,
    options: DaemonOptions,
    names: Iterable[str],
    reactor: IReactorTime,
    wall: Callable[[], float],
    protocols: Sequence[str] = HTTP,
) -> ServerTLS | None:
    """
    The certificates of the daemon's https listeners, kept fresh as long as it runs; None if it has no such listener.

    :param names: of this machine, as `scalekit.net.addresses.local_names` finds them.
    :param wall: as `time.time`.
    :param protocols: for ALPN, the most wanted first.
    :raises ConfigurationFault: a file cannot be used.
    """

    def listen(config: Config) -> list[ListenURL]:
        return [url for section in options.sections for _, urls in _listed(config, section) for url in urls]

    if not any(url.is_secure for url in listen(options.settings)):
        return None
    certificate = ServerCertificate(options.settings, names, reactor, wall, listen, protocols)
    certificate.setServiceParent(daemon)

    def check(config: Config) -> None:
        check_certificates(config, [url for url in listen(config) if url.is_secure])

    daemon.on_reload(certificate.reload, "tls", check=check)
    return certificate.tls


def listeners_of(config: Config) -> list[ListenURL]:
    """All https listeners, of all daemons."""
    listed = (url for section in _LISTENING for _, urls in _listed(config, section) for url in urls)
    return [url for url in listed if url.is_secure]


def configured_pairs(config: Config, listeners: Iterable[ListenURL]) -> list[Pair]:
    """The certificates that a configuration names for listeners, each once; none where the local CA makes one."""
    pairs = [Pair(Path(config.tls.certificate), Path(config.tls.private_key), place="tls")]
    pairs = [*(pairs if config.tls.certificate else ()), *sni_pairs(config)]
    pairs += [_own_pair(config, url) for url in listeners if url.certificate]
    return list({pair[:2]: pair for pair in reversed(pairs)}.values())[::-1]


def check_certificates(config: Config, listeners: Iterable[ListenURL]) -> list[str]:
    """
    Read all that a configuration names for these listeners.

    :return: what works, and is perhaps not meant.
    :raises ConfigurationFault: something of it cannot be used.
    """
    listeners = tuple(listeners)
    for pair in configured_pairs(config, listeners):
        certified(pair.read())
    chosen = [(pair, pair.read()) for pair in sni_pairs(config)]
    for entry in chosen:
        check_names(*entry)
    for url in listeners:
        demanded = client_ca(config, url)
        if demanded is not None:
            demanded.read()
    return list(doubtful_names(chosen))


def sni_pairs(config: Config) -> list[Pair]:
    """Those for certain server names."""
    return [
        Pair(Path(one.certificate), Path(one.private_key), one.names, f"tls.sni[{index}]")
        for index, one in enumerate(config.tls.sni)
    ]


def client_ca(config: Config, url: ListenURL) -> ClientCA | None:
    """What this listener demands of clients."""
    if not url.client_ca:
        return None
    return ClientCA(Path(url.client_ca), url.demands_certificates, f"{_place(config, url)}.client_ca")


def _own_pair(config: Config, url: ListenURL) -> Pair:
    return Pair(Path(url.certificate), Path(url.private_key), place=_place(config, url))


def _place(config: Config, url: ListenURL) -> str:
    """Where a listener stands in the configuration."""
    for section in _LISTENING:
        for key, urls in _listed(config, section):
            if url in urls:
                return f"{key}[{urls.index(url)}]"
    return str(url)


def _listed(config: Config, section: str) -> Iterator[tuple[str, tuple[ListenURL, ...]]]:
    """The keys of a table that hold listeners, and what they hold."""
    table = getattr(config, section)
    yield f"{section}.listen", table.listen
    if isinstance(table, Logs):
        yield f"{section}.syslog", table.syslog
