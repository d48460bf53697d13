"""
Carries out the probes that are due, side by side, and lets go of what has drained: the roster's clock.

The loop of the tutorial asks one server after the other, so that one that hangs delays all; here each probe has its own
deadline and nobody waits for anybody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.balancer.health import LEAVING_STATUS, HealthRules
from scalekit.balancer.instance import Instance
from scalekit.balancer.roster import Roster
from scalekit.errors import Fault, UpstreamFault
from scalekit.http.heads import RequestHead
from scalekit.interfaces import IAnswerReceiver

# Half of the shortest interval between two probes of an instance, so a probe is late by that at most.
TICK_SECONDS = 0.25

# Of a probe's answer: what an app has to say about its health fits; a /ping that streams for ever does not.
BODY_LIMIT = 64 * 1024
# Where its state can be read, the rest of such an answer is a few numbers.
STATE_LIMIT = 4 * 1024

Probe = Callable[[Instance], Deferred[int]]


def ping_head(instance: Instance, *fields: tuple[bytes, bytes]) -> RequestHead:
    """The request that asks an instance whether it is well."""
    return RequestHead(
        b"GET",
        instance.health.rules.path.encode("ascii"),
        [(b"User-Agent", b"scalekit-prober"), (b"Accept", b"*/*"), *fields],
        host=instance.authority.encode("ascii"),
        keep_alive=False,
    )


@implementer(IAnswerReceiver)
class PingAnswer:
    """
    What comes back for a `ping_head`: the status counts, a redirection is not followed.

    A body ``{"state":"draining"}`` is as good as 410; one without the text that it must hold is a failure.

    :ivar status: a Deferred that fires with the status once the answer is complete, or fails with an `UpstreamFault`.
    """

    def __init__(self, cut: Callable[[], None], rules: HealthRules) -> None:
        """:param cut: ends the connection; called when the caller has lost interest, or the answer is too long."""
        self._cut = cut
        self._rules = rules
        self._kept = BODY_LIMIT if rules.text else STATE_LIMIT
        self._status = 0
        self._length = 0
        self._start = b""
        self._is_over = False
        self.status: Deferred[int] = Deferred(self._cancelled)

    def informed(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Nothing in an interim answer counts."""

    def continued(self) -> None:
        """Not asked for, and harmless."""

    def answered(self, head: Any, body: bytes) -> None:
        self.began(head)
        if body:
            self.data(body)
        self.ended([])

    def began(self, head: Any) -> None:
        self._status = head.status

    def switched(self, head: Any) -> None:
        """Never asked for."""

    def data(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length <= self._kept:
            self._start += piece
        if self._length > BODY_LIMIT and not self._is_over:
            self._is_over = True
            self._cut()
            self.status.errback(UpstreamFault(502, "ping-too-long", f"the answer is longer than {BODY_LIMIT} bytes"))

    def ended(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if not self._is_over:
            self._is_over = True
            is_well = self._rules.is_well(self._status)
            if is_well and self._length <= STATE_LIMIT and _says_draining(self._start):
                self.status.callback(LEAVING_STATUS)
            elif is_well and self._rules.text not in self._start:
                detail = f"answered {self._status} without {self._rules.text.decode('utf-8')!r}"
                self.status.errback(UpstreamFault(502, "ping-text", detail))
            else:
                self.status.callback(self._status)

    def failed(self, fault: Exception) -> None:
        if not self._is_over:
            self._is_over = True
            self.status.errback(fault)

    def hold(self) -> None:
        """There is no body to hold back."""

    def release(self) -> None:
        """There is no body to go on with."""

    def _cancelled(self, status: Deferred[int]) -> None:
        self._is_over = True
        self._cut()


class Prober(Service):
    """
    Ticks four times a second.

    :param probe: asks an instance once and fires with the status of its answer, or fails; cancelling it ends it.
    :param clock: of the roster's time, too.
    """

    name = "prober"

    def __init__(self, roster: Roster, probe: Probe, clock: IReactorTime) -> None:
        self._roster = roster
        self._probe = probe
        self._clock = clock
        self._log = Logger()
        self._running: set[Any] = set()
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def startService(self) -> None:
        super().startService()
        self._loop.start(TICK_SECONDS, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        for running in list(self._running):
            running.cancel()

    def _tick(self) -> None:
        # A LoopingCall ends for ever at the first exception, and with it all health checking.
        try:
            now = self._clock.seconds()
            self._roster.expire(now)
            for instance in self._roster.due(now):
                self._start(instance)
        except Exception:
            self._log.failure("a tick of the prober failed")

    def _start(self, instance: Instance) -> None:
        asked = maybeDeferred(self._probe, instance)
        asked.addTimeout(instance.health.rules.timeout, self._clock, _timed_out)
        answered: Deferred[tuple[int | None, str, bool]] = asked.addCallbacks(
            lambda status: (status, f"answered {status}", False), lambda failure: (None, *_told(failure))
        )
        self._running.add(answered)
        answered.addCallback(self._report, instance, answered)
        answered.addErrback(
            lambda failure: self._log.failure("telling of {instance} failed", failure, instance=instance)
        )

    def _report(self, result: tuple[int | None, str, bool], instance: Instance, answered: object) -> None:
        self._running.discard(answered)
        if self.running:  # what ends because we end says nothing about the instance
            status, detail, is_refused = result
            instance.health.told, instance.health.told_at = detail, self._clock.seconds()
            self._roster.probed(instance, status, detail, self._clock.seconds(), is_refused)


def _timed_out(result: object, seconds: float) -> Failure:
    return Failure(UpstreamFault(504, "ping-timeout", f"no answer within {seconds:g} s"))


def _told(failure: Failure) -> tuple[str, bool]:
    """What went wrong, for the reason of a transition, and whether nobody listens there."""
    fault = failure.value
    if isinstance(fault, Fault):
        return fault.detail, fault.reason == "connect-refused"
    return failure.getErrorMessage(), False


class _State(msgspec.Struct):
    """What of a ping's JSON is of interest."""

    state: str = ""


def _says_draining(body: bytes) -> bool:
    if not body.lstrip().startswith(b"{"):
        return False
    try:
        return msgspec.json.decode(body, type=_State).state == "draining"
    except msgspec.DecodeError:
        return False
