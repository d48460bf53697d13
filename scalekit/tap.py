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

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import LoopingCall

from scalekit.balancer.instance import State
from scalekit.balancer.tap import Balancer, add_balancer
from scalekit.cache.tap import add_cache
from scalekit.config import Config
from scalekit.config.urls import ListenURL
from scalekit.logs.tap import add_logs
from scalekit.net.addresses import local_names
from scalekit.net.listening import ListeningService
from scalekit.ops.certificates import add_certificate, tls_directory
from scalekit.ops.children import ChildService
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults

reactor = cast(Any, _reactor)

#: A laptop runs that many blogs at once, and nobody needs more to see how it works.
MOST_BLOGS = 50


def _blogs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_BLOGS:
        raise ValueError(f"expected a number from 1 to {MOST_BLOGS}")
    return int(text)


class Options(DaemonOptions):
    """``twistd scalekit-all --help``."""

    daemon = "scalekit-all"
    sections = ("balancer", "registration", "cache", "logs")
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
    names = local_names(socket.gethostname())
    certificate = add_certificate(daemon, options, names, reactor, time.time)
    collector, logs = add_logs(daemon, settings, names, certificate)
    cache = add_cache(daemon, settings, names, certificate)
    balancer = add_balancer(daemon, settings, names, certificate, collector.sink("balancer"))
    if options["demo"]:
        demo = _Demo(daemon, options, settings, options["demo"])
        reactor.callWhenRunning(demo.start, balancer, cache, logs)
    return daemon


class _Demo:
    """The example's processes, started when all that they need listens."""

    def __init__(self, daemon: DrainingService, options: Options, settings: Config, count: int) -> None:
        self._daemon = daemon
        self._options = options
        self._settings = settings
        self._count = count
        self._children: list[ChildService] = []

    def start(self, balancer: Balancer, cache: ListeningService, logs: ListeningService) -> None:
        """Start them, and say where everything is once they serve."""
        settings = self._settings
        data = settings.data.listen[0]
        peers = {"--logs": logs, "--cache": cache, "--balancer": balancer.private}
        urls = {flag: listening.bound_urls()[0] for flag, listening in peers.items()}
        common = ["--state-directory", settings.state_directory]
        if self._options["config"]:
            common += ["--config", self._options["config"]]
        self._add("data service", "scalekit-data", [*common, "--listen", str(data), "--logs", urls["--logs"]])
        first = settings.blog.listen[0]
        for number in range(self._count):
            listen = ListenURL(first.scheme, first.host, first.port + number if first.port else 0)
            flags = [word for pair in urls.items() for word in pair]
            self._add(
                f"blog {number + 1}",
                "scalekit-blog",
                [
                    *common,
                    "--listen",
                    str(listen),
                    "--data",
                    f"{data.scheme}://{_dialled(data.host)}:{data.port}",
                    *flags,
                ],
            )
        self._daemon.on_drain(self._end, is_first=True)
        greeting = LoopingCall(self._greet, balancer, cache, logs)
        greeting.clock = reactor
        self._greeting = greeting
        greeting.start(0.2)

    def _add(self, name: str, daemon: str, arguments: list[str]) -> None:
        child = ChildService(name, [daemon, *arguments], os.environ, reactor, self._failed)
        self._children.append(child)
        child.setServiceParent(self._daemon)

    def _failed(self, why: str) -> None:
        sys.stderr.write(f"{why}: see above\n")
        self._daemon.fail()

    def _end(self, is_hurried: bool) -> Deferred[Any]:
        # Blogs first: while they drain they still need the data service.
        blogs = DeferredList([child.end() for child in self._children[1:]])
        return blogs.addCallback(lambda _: self._children[0].end())

    def _greet(self, balancer: Balancer, cache: ListeningService, logs: ListeningService) -> None:
        up = [each for each in balancer.roster.available(self._settings.blog.service) if each.state is State.UP]
        if len(up) < self._count:
            return
        self._greeting.stop()
        public = [
            url.replace("[::]", "localhost").replace("0.0.0.0", "localhost") for url in balancer.public.bound_urls()
        ]
        rows = [
            ("the blog, balanced", f"{public[0]}/"),
            ("who is registered", f"{balancer.private.bound_urls()[0]}/"),
            *((f"app server {each.id}", f"{each.scheme}://{each.id}/") for each in up),
            ("cache", f"{cache.bound_urls()[0]}/v1"),
            ("log", f"{self._settings.logs.directory}/log.txt"),
            ("trust this CA", str(tls_directory(self._settings) / "ca.pem")),
        ]
        width = max(len(name) for name, _ in rows)
        # Past the log, which twistd has put in the place of sys.stdout.
        terminal = sys.__stdout__
        if terminal is None:
            return
        terminal.write("\nscalekit is running; Ctrl-C ends it\n")
        for name, place in rows:
            terminal.write(f"  {name:<{width}}  {place}\n")
        terminal.write("\n")
        terminal.flush()


def _dialled(host: str) -> str:
    """How to reach a listener on this host from this machine."""
    if host in ("::", "0.0.0.0"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
