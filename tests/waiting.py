"""Waiting for what the reactor brings, in tests that run on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.task import deferLater

POLL_SECONDS = 0.01
POLLS = 3000  # half a minute


async def until(condition: Callable[[], Any], what: str) -> None:
    """Let the reactor run until it holds; AssertionError when it does not in time."""
    for _ in range(POLLS):
        if condition():
            return
        await deferLater(cast(Any, reactor), POLL_SECONDS)
    raise AssertionError(f"not in time: {what}")


async def settled() -> None:
    """After connections to Redis were ended: txredisapi takes what it has received in several turns."""
    calls = cast(Any, reactor).getDelayedCalls
    await deferLater(cast(Any, reactor), POLL_SECONDS)
    await until(lambda: not any("dataReceived" in str(call) for call in calls()), "all is taken")
