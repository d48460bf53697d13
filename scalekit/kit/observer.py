"""From `twisted.logger` to an `ILogSink`: the observer, and a service that has it observe while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from zope.interface import provider

from scalekit.interfaces import ILogSink
from scalekit.kit.logs import LogClient

_LEVELS = {
    LogLevel.debug: "DEBUG",
    LogLevel.info: "INFO",
    LogLevel.warn: "WARN",
    LogLevel.error: "ERROR",
    LogLevel.critical: "PANIC",
}
# What these say about the way to the log service would be sent that way itself, and so on for ever.
_OWN_NAMESPACES = ("scalekit.kit.logs", "scalekit.kit.client", "twisted.web.client")


def observer(
    sink: ILogSink, in_reactor: Callable[[], bool] = lambda: True, from_thread: Callable[..., Any] | None = None
) -> ILogObserver:
    """
    A `twisted.logger` observer that feeds an `ILogSink` with events of level info and above.

    :param in_reactor: whether this is the reactor's thread, as `twisted.python.threadable.isInIOThread`.
    :param from_thread: as ``reactor.callFromThread``, for events of other threads.
    """

    @provider(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        level = _LEVELS.get(event.get("log_level", LogLevel.info), "INFO")
        if level == "DEBUG" or str(event.get("log_namespace", "")).startswith(_OWN_NAMESPACES):
            return
        text = formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text = f"{text}\n{failure.getTraceback()}" if text else failure.getTraceback()
        arguments = (level, text, event.get("log_time"))
        if in_reactor() or from_thread is None:
            sink.log(*arguments)
        else:
            from_thread(sink.log, *arguments)

    result: ILogObserver = observe
    return result


class LogService(Service):
    """
    Sends what is logged by `twisted.logger` to the log service while it runs, and what is left when it stops.

    :param observe: the `observer` of ``client``, or another.
    """

    def __init__(self, client: LogClient, observe: ILogObserver) -> None:
        self._client = client
        self._observe = observe

    def startService(self) -> None:
        super().startService()
        globalLogPublisher.addObserver(self._observe)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        globalLogPublisher.removeObserver(self._observe)
        return self._client.stop()
