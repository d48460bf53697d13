"""How a process has ended: a status as in `subprocess`, negative for a signal, and in words."""

from __future__ import annotations

import signal
from typing import Any


def described(status: int) -> str:
    """``with status 1``, or ``by SIGKILL``."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"by signal {-status}"


def status_of(reason: Any) -> int:
    """The status of a ``ProcessDone`` or ``ProcessTerminated``, negative for a signal."""
    if reason.signal is not None:
        return -int(reason.signal)
    return int(reason.exitCode or 0)
