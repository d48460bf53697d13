"""
`QuickReactor`: Twisted's epoll reactor without a log context around every event.

Twisted copies and installs a dictionary per event, so that a log line says which connection it is about; at two events
a proxied request that is a tenth of the proxy's time.  Our log lines name what they are about themselves.
"""

from __future__ import annotations

import errno
import gc
import sys
import time
from collections.abc import Callable

from twisted.internet.epollreactor import EPOLLIN, EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger

from scalekit.net.gathering import GatheringTransport, gather, send_all

#: Connections that are read at once, before their protocols hear of it: 64 KiB each at most.
_GATHERED = 64

_log = Logger()


class QuickReactor(EPollReactor):
    """See the module.  Its time is monotonic: setting the clock neither fires a deadline nor puts it off."""

    seconds = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self._at_turn_end: list[Callable[[], None]] = []
        #: See `scalekit.net.gathering`.
        self.holding: list[GatheringTransport] = []
        #: Whether there has been any of those.
        self.gathers = False
        super().__init__()

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """Call this once, when every descriptor that is ready now has had its turn: what they caused leaves in one."""
        self._at_turn_end.append(callback)

    def doPoll(self, timeout: float) -> None:
        """Wait, and let every descriptor that is ready read or write."""
        holding = self.holding
        if self._at_turn_end or holding:
            timeout = 0  # Of timed calls, which come before the waiting.
        elif timeout is None:
            timeout = -1
        selectables = self._selectables
        try:
            # As many events at once as there are descriptors: none has to wait for a second turn.
            ready = self._poller.poll(timeout, len(selectables))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        for descriptor, event in self._gather(ready) if self.gathers and len(ready) > 1 else ready:
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # Closed by one that came before it.
            if event == EPOLLIN:
                try:
                    why = selectable.doRead()
                except Exception as error:
                    _log.failure("reading from {selectable!r} failed", selectable=selectable)
                    why = error
                if why:
                    self._disconnectSelectable(selectable, why, True)
            else:
                self._doReadOrWrite(selectable, descriptor, event)
        while holding or self._at_turn_end:
            if holding:
                send_all(holding)
            callbacks, self._at_turn_end = self._at_turn_end, []
            for callback in callbacks:
                try:
                    callback()
                except Exception:
                    _log.failure("{callback!r} failed at the end of a turn", callback=callback)

    doIteration = doPoll

    def _gather(self, ready: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Read from all connections that are to be read together (`scalekit.net.gathering`); returns the others."""
        others: list[tuple[int, int]] = []
        for start in range(0, len(ready), _GATHERED):
            for transport, found in gather(ready[start : start + _GATHERED], self._selectables, others):
                why: BaseException | None = None
                try:
                    if type(found) is bytes and transport._is_reading:
                        transport.protocol.dataReceived(found)
                    else:
                        why = transport.deliver(found)
                except Exception as error:
                    _log.failure("reading from {selectable!r} failed", selectable=transport)
                    why = error
                if why is not None:
                    self._disconnectSelectable(transport, why, True)
        return others


def install() -> None:
    """Make it this process' reactor, unless there is one already."""
    if "twisted.internet.reactor" not in sys.modules:
        reactor = QuickReactor()
        installReactor(reactor)
        reactor.callWhenRunning(_spare_collector)


def _spare_collector() -> None:
    """
    Let Python look for garbage less often, and never among what was made at the start.

    A request's objects die by their reference counts.  With a hundred requests in flight Python's own threshold, 700
    more objects than before, is passed all the time by nothing but them: 3 % of the balancer's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
