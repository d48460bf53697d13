"""Certificates of a daemon whose days go by as the test says."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet.task import Clock
from twisted.logger import formatEvent
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import Config, ListenURL
from scalekit.config.model import TLS
from scalekit.ops.certificates import (
    WATCH_SECONDS,
    ServerCertificate,
    tls_directory,
)

NAMES = ["localhost", "127.0.0.1"]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1).total_seconds()


def said(events: Any) -> str:
    """The lines of captured logs, each with its end."""
    return "".join(f"{formatEvent(event)}\n" for event in events)


class CertificatesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW.timestamp()
        self.clock = Clock()
        self.names = NAMES
        self.config = Config(state_directory=self.mktemp())
        self.directory = tls_directory(self.config)

    def make(self, config: Config | None = None, listen: Sequence[ListenURL] = ()) -> ServerCertificate:
        made = ServerCertificate(config or self.config, self.names, self.clock, lambda: self.now, lambda config: listen)
        made.startService()
        self.addCleanup(lambda: made.running and made.stopService())
        return made

    def pair(self) -> Config:
        """A configuration with a pair of its own."""
        ServerCertificate(self.config, NAMES, self.clock, lambda: self.now)
        place = Path(self.mktemp())
        place.mkdir()
        for name in ("server.pem", "server.key"):
            shutil.copy(self.directory / name, place / name)
        tls = TLS(certificate=str(place / "server.pem"), private_key=str(place / "server.key"))
        return Config(state_directory=self.config.state_directory, tls=tls)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.clock.advance(seconds)

    def look(self) -> None:
        """Often enough that a change of files is seen."""
        for _ in range(2):
            self.pass_time(WATCH_SECONDS)

    def serial(self) -> int:
        return x509.load_pem_x509_certificate((self.directory / "server.pem").read_bytes()).serial_number
