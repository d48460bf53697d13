"""Where log entries go without a log service."""

from __future__ import annotations

from zope.interface import implementer

from scalekit.interfaces import ILogSink


@implementer(ILogSink)
class Nowhere:
    """
    Keeps nothing: for an application without a log service.  What it says by `twisted.logger` stands in its own log.
    """

    def log(self, level: str, message: str, timestamp: float | None = None) -> None:
        """See `ILogSink`."""
