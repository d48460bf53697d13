"""
``twistd scalekit-all``: balancer, registration, cache and log in one reactor; with ``--demo N`` the example beside it.
"""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import os
import socket
import sys
import time
from typing import Any, cast
from urllib.parse import urlsplit

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scalekit.balancer.instance import State
from scalekit.balancer.tap import Balancer, add_balancer, offered
from scalekit.cache.tap import add_cache
from scalekit.config import Config
from scalekit.config.urls import ListenURL
from scalekit.errors import ConfigurationFault
from scalekit.logs.tap import add_logs
from scalekit.net.addresses import local_names
from scalekit.net.listening import ListeningService
from scalekit.ops.certificates import add_certificate, tls_directory
from scalekit.ops.children import ChildService
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults

reactor = cast(Any, _reactor)
_log = Logger(namespace="scalekit.all")

#: A laptop runs that many blogs at once, and nobody needs more to see how it works.
MOST_BLOGS = 50

# Ports of other protocols that browsers load nothing from, of those that need no root (Fetch, 2.9 "Port blocking").
_REFUSED = frozenset(
    (1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080)
)


def _blogs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_BLOGS:
        raise ValueError(f"expected a number from 1 to {MOST_BLOGS}")
    return int(text)


class Options(DaemonOptions):
    """``twistd scalekit-all --help``."""

    daemon = "scalekit-all"
    sections = ("balancer", "registration", "cache", "logs")
    shared = ("state_directory", "tls", "redis")
    environ = os.environ
    optParameters = [
        ["demo", None, 0, "Also run the data service and so many blog app servers, as processes of their own.", _blogs],
        ["access-log", None, None, "A file, or - for stdout."],
    ]
    flag_keys = {"access-log": "balancer.access_log"}


@explained_faults()
def makeService(options: Options) -> DrainingService:
    """The daemon."""
    settings = options.settings
    daemon = DrainingService(options, reactor)
    demo = _Demo(daemon, options, settings, options["demo"]) if options["demo"] else None
    names = local_names(socket.gethostname())
    certificate = add_certificate(daemon, options, names, reactor, time.time, offered(settings))
    logs = add_logs(daemon, settings, names, certificate)
    cache = add_cache(daemon, settings, names, certificate)
    balancer = add_balancer(
        daemon, settings, names, certificate, logs.collector.sink("balancer"), [cache.panel, logs.panel]
    )
    if demo is not None:
        # In the turn after the one in which the daemon takes the signals over: starting processes takes its time.
        reactor.callWhenRunning(reactor.callLater, 0, demo.start, balancer, cache.listening, logs.listening)
    return daemon


class _Demo:
    """
    The example's processes, started when all that they need listens.

    :raises ConfigurationFault: a part has no port that the others could be told.
    """

    def __init__(self, daemon: DrainingService, options: Options, settings: Config, count: int) -> None:
        self._daemon = daemon
        self._settings = settings
        self._data = _dialled(_first_port("data", settings.data.listen))
        if not self._data.port:
            raise ConfigurationFault(f"data.listen: found {self._data}, expected a port that --demo can tell the blogs")
        self._blogs = [_numbered(_first_port("blog", settings.blog.listen), number) for number in range(count)]
        for section in ("registration", "cache", "logs"):
            _first_port(section, getattr(settings, section).listen)
        self._common = ["--state-directory", settings.state_directory]
        if options["config"]:
            self._common += ["--config", options["config"]]
        self._children: list[ChildService] = []

    def start(self, balancer: Balancer, cache: ListeningService, logs: ListeningService) -> None:
        """Start them, and say where everything is once they serve."""
        log = ["--logs", _bound(logs)]
        data = _first_port("data", self._settings.data.listen)
        self._add("the data service", "scalekit-data", [*log, "--listen", str(data)])
        peers = [*log, "--cache", _bound(cache), "--balancer", _bound(balancer.private), "--data", str(self._data)]
        for listen in self._blogs:
            self._add(f"the blog on {listen}", "scalekit-blog", [*peers, "--listen", str(listen)])
        self._daemon.on_drain(self._end, is_first=True)
        self._greeting = LoopingCall(self._greet, balancer, cache, logs)
        self._greeting.clock = reactor
        self._greeting.start(0.2)

    def _add(self, name: str, daemon: str, arguments: list[str]) -> None:
        child = ChildService(name, [daemon, *self._common, *arguments], os.environ, reactor, self._failed)
        self._children.append(child)
        child.setServiceParent(self._daemon)

    def _failed(self, why: str) -> None:
        # Its own line, just above, has told the terminal the reason.
        _log.critical("{why}, so the demo ends", why=why)
        self._daemon.fail()

    def _end(self, is_hurried: bool) -> Deferred[Any]:
        if self._greeting.running:
            self._greeting.stop()
        # Blogs first: while they drain they still need the data service.
        blogs = DeferredList([child.end(is_hurried) for child in self._children[1:]])
        return blogs.addCallback(lambda _: self._children[0].end(is_hurried))

    def _greet(self, balancer: Balancer, cache: ListeningService, logs: ListeningService) -> None:
        try:
            up = [each for each in balancer.roster.available(self._settings.blog.service) if each.state is State.UP]
            if len(up) < len(self._blogs) or not _listens(self._data):
                return
            self._greeting.stop()
            self._tell(balancer, cache, logs, sorted(f"{each.scheme}://{each.id}/" for each in up))
        except Exception:
            _log.failure("greeting")

    def _tell(self, balancer: Balancer, cache: ListeningService, logs: ListeningService, blogs: list[str]) -> None:
        settings = self._settings
        public = balancer.public.bound_urls()[0].replace("[::]", "localhost").replace("0.0.0.0", "localhost")
        rows = [
            ("the blog, balanced", f"{public}/"),
            *((f"app server {number}", url) for number, url in enumerate(blogs, 1)),
            ("who is registered", f"{_bound(balancer.private)}/"),
            ("a page in the cache", f"{_bound(cache)}/?key=/"),
            ("the log of all", f"{settings.logs.directory}/log.txt"),
            *(("its page", f"{url}/") for url in _for_browsers(logs)),
        ]
        if not settings.tls.certificate:
            rows.append(("the CA to trust", str(tls_directory(settings) / "ca.pem")))
        width = max(len(name) for name, _ in rows)
        lines = "".join(f"  {name:<{width}}  {place}\n" for name, place in rows)
        # Past the log, which twistd has put in the place of sys.stdout.
        terminal = sys.__stdout__
        if terminal is not None:
            terminal.write(f"\nscalekit is running; Ctrl-C ends it\n{lines}\n")
            terminal.flush()


def _listens(url: ListenURL) -> bool:
    """Whether somebody does there; on this machine that is told at once."""
    try:
        socket.create_connection((url.host, url.port), timeout=0.2).close()
    except OSError:
        return False
    return True


def _first_port(section: str, listen: tuple[ListenURL, ...]) -> ListenURL:
    """The first listener that is a port; raises `ConfigurationFault`."""
    for url in listen:
        if url.scheme != "unix":
            return url
    raise ConfigurationFault(f"{section}.listen: found {listen[0]}, expected a port that --demo can tell the others")


def _numbered(first: ListenURL, number: int) -> ListenURL:
    """The listener of a further blog: on the next port; on any, if the first is; raises `ConfigurationFault`."""
    port = first.port + number if first.port else 0
    if port > 65535:
        raise ConfigurationFault(f"blog.listen: found {first}, expected {number} more ports above it for --demo")
    return ListenURL(first.scheme, first.host, port)


def _dialled(url: ListenURL) -> ListenURL:
    """How to reach a listener from this machine."""
    return ListenURL(url.scheme, "127.0.0.1", url.port) if url.host in ("::", "0.0.0.0") else url


def _for_browsers(listening: ListeningService) -> list[str]:
    """The same of the first that a browser would load; none, if it refuses all."""
    return [url for url in listening.bound_urls() if url.startswith("http") and urlsplit(url).port not in _REFUSED][:1]


def _bound(listening: ListeningService) -> str:
    """The same of the first port that is really bound."""
    url = next(url for url in listening.bound_urls() if not url.startswith("unix:"))
    return url.replace("//[::]:", "//127.0.0.1:").replace("//0.0.0.0:", "//127.0.0.1:")
