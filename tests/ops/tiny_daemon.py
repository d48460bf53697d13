"""
The smallest daemon on the scaffolding: `tests.ops.test_daemon` runs it under a real twistd.

It listens nowhere; it says ``ready`` on its log when it runs, and ``drained``, ``stopped`` on its way out.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scalekit.config import Config
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults, fail_start

_log = Logger(namespace="scalekit.tiny")


class Options(DaemonOptions):
    daemon = "tiny"
    sections = ("cache",)
    environ = os.environ
    optFlags = [["no-verify", None, "Do not verify."]]
    optParameters = [
        ["max-bytes", None, None, "Size of the store."],
        ["drain", None, "0", "How many seconds a drain takes."],
        ["trouble", None, "", "What goes wrong: start, file, make, drain or stop."],
    ]
    flag_keys = {"max-bytes": "cache.max_bytes"}


class Tiny(Service):
    def __init__(self, options: Options, daemon: DrainingService, reactor: Any) -> None:
        self._trouble = options["trouble"]
        self._seconds = float(options["drain"])
        self._reactor = reactor
        daemon.on_drain(self.drain)
        daemon.on_reload(self.reload)

    def privilegedStartService(self) -> None:
        if self._trouble == "start":
            fail_start("tiny: the port is in use")
        if self._trouble == "file":
            with open("/nowhere/key.pem"):
                pass

    def startService(self) -> None:
        super().startService()
        self._reactor.callWhenRunning(self._reactor.callLater, 0, _log.info, "ready")

    def drain(self, is_hurried: bool) -> Deferred[None]:
        _log.info("draining, in a hurry: {hurry}", hurry=is_hurried)
        if self._trouble == "drain":
            raise RuntimeError("a drain that fails")
        drained: Deferred[None] = deferLater(self._reactor, self._seconds)
        drained.addCallback(lambda _ignored: _log.info("drained"))
        return drained

    def reload(self, config: Config) -> None:
        _log.info("reloaded, max_bytes {size}", size=config.cache.max_bytes)

    def stopService(self) -> Deferred[None] | None:
        super().stopService()
        if self._trouble == "stop":
            return Deferred()
        _log.info("stopped")
        return None


@explained_faults()
def makeService(options: Options) -> DrainingService:
    from twisted.internet import reactor

    if options["trouble"] == "make":
        raise PermissionError(13, "Permission denied", "key.pem")
    daemon = DrainingService(options, reactor)
    Tiny(options, daemon, reactor).setServiceParent(daemon)
    return daemon
