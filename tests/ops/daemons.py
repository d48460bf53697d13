"""Daemons put together in memory: real options and services, no signal, no process."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from scalekit.ops.draining import DrainingService
from scalekit.ops.options import DaemonOptions


class CacheOptions(DaemonOptions):
    daemon = "scalekit-cache"
    sections = ("cache",)
    environ: ClassVar[Mapping[str, str]] = {}
    optParameters = [["max-bytes", None, None, "Size."], ["token-file", None, None, "Tokens."]]
    flag_keys = {"max-bytes": "cache.max_bytes", "token-file": "cache.token_file"}


class Signals:
    """Keeps what is installed for a signal; `send` is the system."""

    def __init__(self) -> None:
        self.installed: dict[int, Any] = {}

    def install(self, number: int, treatment: Any) -> None:
        self.installed[number] = treatment

    def send(self, number: signal.Signals) -> None:
        self.installed[number](number, None)


def options(state: str | Path, *arguments: str, kind: type[DaemonOptions] = CacheOptions) -> Any:
    """Parsed options of a daemon with this state directory."""
    parsed = kind()
    parsed.parseOptions(["--state-directory", str(state), *arguments])
    return parsed


def daemon(parsed: DaemonOptions, reactor: Any) -> DrainingService:
    """One that takes signals from nobody."""
    return DrainingService(parsed, reactor, install_signal=Signals().install)
