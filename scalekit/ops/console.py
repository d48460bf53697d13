"""
The log of a daemon in the foreground: ``2026-11-23 09:53:01.250 warn  balancer.prober: …`` on the standard output.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from twisted.logger import FileLogObserver, eventAsText


def formatted(event: dict[str, Any]) -> str | None:
    """One event as a line (and its traceback below it), UTC; None if it says nothing."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    when = datetime.fromtimestamp(event["log_time"], UTC)
    level = event["log_level"].name if event.get("log_level") else "info"
    where = event.get("log_namespace", "-").removeprefix("scalekit.")
    body = text.replace("\n", "\n    ")  # a line that does not begin with a time belongs to the one above
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} {level:<8} {where}: {body}\n"


def stdout_observer() -> FileLogObserver:
    """What ``twistd --logger`` takes: an observer that writes to the standard output and flushes every line."""
    return FileLogObserver(sys.stdout, formatted)
