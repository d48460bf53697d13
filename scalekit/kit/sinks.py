"""Where log entries go without a log service: nowhere, or as lines of JSON to a stream such as stderr."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zope.interface import implementer

from scalekit.interfaces import ILogSink
from scalekit.kit.entries import entry_line


@implementer(ILogSink)
class Nowhere:
    """
    Keeps nothing: for an application without a log service.  What it says by `twisted.logger` stands in its own log.
    """

    def log(
        self, level: str, message: str, timestamp: float | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        """See `ILogSink`."""


@implementer(ILogSink)
class Lines:
    """
    Writes the lines that a log service would be sent.

    :param write: (text) -> None: writes it, with its newline.
    :param wall: as `time.time`.
    """

    def __init__(self, source: str, write: Callable[[str], Any], wall: Callable[[], float]) -> None:
        self._source = source
        self._write = write
        self._wall = wall

    def log(
        self, level: str, message: str, timestamp: float | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        """See `ILogSink`."""
        try:
            moment = self._wall() if timestamp is None else timestamp
            self._write(f"{entry_line(level, moment, self._source, message, fields).decode()}\n")
        except Exception:  # by contract; where lines cannot be written nothing can be said about it
            return

    def close(self) -> None:
        """Nothing waits here."""
