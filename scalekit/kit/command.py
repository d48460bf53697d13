"""
A command of any kind behind the balancer: what ``scalekit run -- gunicorn …`` keeps.

Its states, and what moves them (a signal here is SIGTERM or SIGINT)::

    starting  --its port answers-->                          serving
    starting  --a signal, or the deadline-->                 ending
    serving   --a signal-->                                  draining
    draining  --nothing in flight, the deadline, a signal--> ending     it gets SIGTERM
    ending    --a signal and 1 s, or the deadline-->         ending     its process group gets SIGKILL
    any       --it has ended, by itself or not-->            gone       unregistered at once if it still was registered

Only what is serving is registered.  Servers close their listener when they get SIGTERM; so they get it when the
balancer has said that nothing is in flight, and will send nothing more.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from scalekit.kit.membership import Membership
from scalekit.ops.exits import described

# How often the port is tried while the command starts: nobody waits for a twentieth of a second.
POLL_SECONDS = 0.05
# gunicorn gives its workers 30 s (graceful_timeout), so that a request that did not come through us is finished too.
STOP_SECONDS = 35.0
# A person who types Ctrl-C waits so long; as `scalekit.kit.server` does.
HURRIED_DRAIN_SECONDS = 2.0
# "At once" still lets a server write what it holds.
HURRIED_STOP_SECONDS = 1.0

_log = Logger()


class Process(Protocol):
    """A running command; signals to one that has just ended are lost."""

    def signal(self, number: int) -> None:
        """Send it a signal."""

    def signal_group(self, number: int) -> None:
        """Send a signal to it, and to all that it has started."""


class WrappedCommand:
    """
    :param spawn: starts it; its argument is to be called with the status once it has ended, negative for a signal.
    :param is_answering: tries to connect to the command's port; fires with whether somebody accepted.
    :param membership: not yet started.
    :param start_seconds: how long it may take until its port answers; one that takes longer is ended.
    :param drain_seconds: how long what is in flight may take.

    :ivar state: see the module; ``new`` before it is started.
    :ivar on_serving: called once the port has answered.
    """

    def __init__(
        self,
        spawn: Callable[[Callable[[int], None]], Process],
        is_answering: Callable[[], Deferred[bool]],
        membership: Membership,
        clock: IReactorTime,
        start_seconds: float,
        drain_seconds: float,
    ) -> None:
        self._spawn = spawn
        self._is_answering = is_answering
        self._membership = membership
        self._clock = clock
        self._start_seconds = start_seconds
        self._drain_seconds = drain_seconds
        self._process: Process | None = None
        self._deadline: IDelayedCall | None = None
        self._poll: IDelayedCall | None = None
        self._is_overdue = False
        self._ended: Deferred[int] = Deferred()
        self.state = "new"
        self.on_serving: Callable[[], object] = lambda: None

    def start(self) -> Deferred[int]:
        """
        Start it; fires when it has ended and is registered no longer.

        :return: its exit status, negative for the signal that it died of; 1 if its port has not answered in time.
        """
        self.state = "starting"
        self._process = self._spawn(self._process_ended)
        self._set_deadline(self._start_seconds, self._start_overdue)
        self._try()
        return self._ended

    def end(self, number: int = signal.SIGTERM) -> None:
        """Take the next step towards the end, as this signal asks for."""
        name = signal.Signals(number).name
        if self.state == "serving":
            seconds = self._drain_seconds
            if number == signal.SIGINT:
                seconds = min(seconds, HURRIED_DRAIN_SECONDS)
            self.state = "draining"
            _log.info("{name}: draining for at most {seconds:g} s", name=name, seconds=seconds)
            self._membership.drain(seconds).addBoth(lambda _: self._end_if("draining", STOP_SECONDS))
        elif self.state == "starting":
            self._end_if("starting", STOP_SECONDS)
        elif self.state == "draining":
            _log.warn("{name} again: not waiting any longer", name=name)
            self._end_if("draining", HURRIED_STOP_SECONDS)
        elif self.state == "ending":
            _log.warn("{name} again: ending at once", name=name)
            self._set_deadline(HURRIED_STOP_SECONDS, self._kill)

    def pass_on(self, number: int) -> None:
        """Send the command a signal that means something to it and nothing to us, such as SIGHUP."""
        if self._process is not None:
            self._process.signal(number)

    def _try(self) -> None:
        def tried(is_answering: bool) -> None:
            if self.state != "starting":
                return
            if is_answering:
                self.state = "serving"
                self._set_deadline()
                self._membership.start()
                self.on_serving()
            else:
                self._poll = self._clock.callLater(POLL_SECONDS, self._try)

        self._poll = None
        self._is_answering().addCallback(tried)

    def _start_overdue(self) -> None:
        _log.error("nobody listens on the port after {seconds:g} s, ending it", seconds=self._start_seconds)
        self._is_overdue = True
        self._end_if("starting", STOP_SECONDS)

    def _end_if(self, state: str, seconds: float) -> None:
        if self.state != state or self._process is None:
            return
        self.state = "ending"
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        self._set_deadline(seconds, self._kill)
        self._process.signal(signal.SIGTERM)

    def _kill(self) -> None:
        _log.error("the command has not ended, killing it")
        if self._process is not None:
            self._process.signal_group(signal.SIGKILL)

    def _process_ended(self, status: int) -> None:
        was, self.state = self.state, "gone"
        process, self._process = self._process, None
        self._set_deadline()
        if self._poll is not None:
            self._poll.cancel()
        if process is not None:  # None: it was quicker than spawn, and cannot have started anybody
            process.signal_group(signal.SIGTERM)  # those that it left behind: the port must be free for the next
        if was in ("starting", "serving"):
            _log.error("the command has ended by itself, {how}", how=described(status))
        if self._is_overdue:
            status = 1
        if was == "serving":
            self._membership.drain(0.0).addBoth(lambda _: self._ended.callback(status))
        else:
            self._ended.callback(status)

    def _set_deadline(self, seconds: float = 0.0, overdue: Callable[[], None] | None = None) -> None:
        """The one deadline of the present state."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None if overdue is None else self._clock.callLater(seconds, overdue)

    def __repr__(self) -> str:
        return f"<WrappedCommand {self.state} {self._membership!r}>"
