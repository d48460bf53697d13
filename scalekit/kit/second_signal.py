"""
A second SIGTERM, or Ctrl-C, while a service stops: it does not wait any longer.

twistd's own answer to a second one is a traceback, and to wait on.  Daemons of ours see to their signals themselves
(`scalekit.ops.draining`), and so do applications whose functions for them are not the reactor's: those stay.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SecondSignal:
    """
    :param reactor: whose functions for signals are replaced, and in whose thread ``come`` is called.
    :param come: called at each signal from `watch` on.
    """

    def __init__(self, reactor: Any, come: Callable[[], object]) -> None:
        self._reactor = reactor
        self._come = come
        self._theirs: dict[signal.Signals, Any] = {}

    def watch(self) -> None:
        """Begin; does nothing in a thread that is not the main one: Python lets only that one."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            theirs = signal.getsignal(number)
            if getattr(theirs, "__self__", None) is self._reactor:
                self._theirs[number] = theirs
                signal.signal(number, self._signalled)

    def release(self) -> None:
        """End: the reactor's functions are back."""
        for number, theirs in self._theirs.items():
            signal.signal(number, theirs)
        self._theirs = {}

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """The signal itself, in the middle of anything: only wakes the reactor."""
        self._reactor.callFromThread(self._come)

    def __repr__(self) -> str:
        return f"<SecondSignal {'watching' if self._theirs else 'at rest'}>"
