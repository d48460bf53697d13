"""
A log daemon of its own process, as small as it gets: ``python -m tests.logs.process DIRECTORY`` prints its port.

A stock ``twisted.web`` site in clear, so that the test is about the log alone.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.web.server import Site

from scalekit.logs import volumes
from scalekit.logs.collector import Collector
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.resource import LogResource
from scalekit.logs.settings import Settings
from scalekit.logs.threads import ThreadLane


def main(path: str) -> None:
    """Serve until SIGTERM."""
    reactor: Any = global_reactor
    lanes = (ThreadLane(reactor, "journal"), ThreadLane(reactor, "output"), ThreadLane(reactor, "upkeep"))
    # Many segments, and volumes that are sealed soon.
    settings = Settings(0.5, 0.05, segment_bytes=16 * 1024, journal_bytes=64 * 1024, grace_seconds=0.2)
    volumes.VOLUME_BYTES = 16 * 1024
    collector = Collector(lambda: LocalDirectory(path), reactor, lanes, settings, time.time)
    collector.startService()
    reactor.addSystemEventTrigger("before", "shutdown", collector.stopService)
    port = reactor.listenTCP(0, Site(LogResource(collector)), interface="127.0.0.1")
    # Only then, signals are the reactor's.
    reactor.callWhenRunning(print, port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
