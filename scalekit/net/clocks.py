"""Clocks beside the reactor's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IReactorTime)
class OtherSeconds:
    """
    A reactor's timed calls with another clock's seconds.

    :param seconds: such as `time.time`, for what is compared with times that others tell.
    """

    def __init__(self, reactor: Any, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        # On the instance: a request asks for it several times, and a call of ours takes as long as the clock.
        self.seconds: Callable[[], float] = seconds

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> IDelayedCall:
        call: IDelayedCall = self._reactor.callLater(delay, callable, *args, **kw)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        calls: Sequence[IDelayedCall] = self._reactor.getDelayedCalls()
        return calls

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kw: object) -> None:
        self._reactor.callFromThread(callable, *args, **kw)

    def __repr__(self) -> str:
        return f"<OtherSeconds {self.seconds!r}>"
