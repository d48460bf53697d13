"""From `twisted.logger` to an `ILogSink`: the observer, and a service that has it observe while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import provider

from scalekit.interfaces import ILogSink
from scalekit.kit.context import current
from scalekit.kit.entries import TRACEBACK_LENGTH

_LEVELS = {
    LogLevel.debug: "DEBUG",
    LogLevel.info: "INFO",
    LogLevel.warn: "WARN",
    LogLevel.error: "ERROR",
    LogLevel.critical: "PANIC",
}
# What this says about the way to the log service would be sent that way itself, and so on for ever.
_OWN_NAMESPACE = "scalekit.kit.logs"
# Of what an event has besides; others are objects of the program that made it.
_PLAIN = (str, int, float, bool)


def observer(sink: ILogSink) -> ILogObserver:
    """
    A `twisted.logger` observer that feeds an `ILogSink` with events of level info and above, from any thread.

    Fields are those of the `context`, the namespace as ``logger``, the event's own that are text or numbers, and of a
    failure the ``traceback``.
    """

    @provider(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        level = _LEVELS.get(event.get("log_level", LogLevel.info), "INFO")
        namespace = str(event.get("log_namespace", ""))
        if level == "DEBUG" or namespace == _OWN_NAMESPACE:
            return
        own = {
            name: value
            for name, value in event.items()
            if type(value) in _PLAIN and not name.startswith("log_") and name not in _LEGACY
        }
        fields = {**current(), **own, "logger": namespace}
        text = formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text = text or failure.getErrorMessage()
            fields["traceback"] = failure.getTraceback()[-TRACEBACK_LENGTH:]
        sink.log(level, text, event.get("log_time"), fields)

    result: ILogObserver = observe
    return result


# What Twisted puts into each event for observers of its older logging.
_LEGACY = frozenset({"system", "time", "format", "isError", "why", "message"})


class LogService(Service):
    """
    Sends what is logged by `twisted.logger` to the log service while it runs, and what is left when it stops.

    :param observe: an `observer`.
    :param close: sends what is left, or keeps it; returns a Deferred.
    """

    def __init__(self, observe: ILogObserver, close: Callable[[], Deferred[None]]) -> None:
        self._observe = observe
        self._close = close

    def startService(self) -> None:
        super().startService()
        globalLogPublisher.addObserver(self._observe)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        globalLogPublisher.removeObserver(self._observe)
        return self._close()
