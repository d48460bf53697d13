"""
How a daemon ends, and how it reads its configuration again.

The states, and what moves them (a signal here is SIGTERM or SIGINT)::

    running  --signal-->                             draining
    draining --all drained, deadline, or a signal--> stopping
    stopping --services stopped-->                   gone, status 0
    stopping --a signal and 1 s, or the deadline-->  gone, status 1

SIGTERM may take ``drain_seconds``; SIGINT, which a person sends, 3 s.  twistd by itself would drain nothing and end
with the signal's status (143, or -2).  SIGHUP reads the configuration again, unless the terminal is gone: then it says
that.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.config import Config
from scalekit.config.changes import changed_keys, is_within
from scalekit.errors import ConfigurationFault
from scalekit.ops.leash import Leash, descriptor_of
from scalekit.ops.options import DaemonOptions
from scalekit.ops.starting import explained_faults, release_terminal

_log = Logger()

# A person who types Ctrl-C waits so long and types it again.
INTERRUPTED_DRAIN_SECONDS = 3.0
# A balancer announces for so long that it will go, to a load balancer above it, before it drains.
ANNOUNCE_SECONDS = 5.0
# After the drain: writing out logs and snapshots. Kubernetes and systemd send SIGKILL later than that.
STOP_SECONDS = 10.0
# "At once" still lets what is in memory reach the disk.
HURRIED_STOP_SECONDS = 1.0

Drain = Callable[[bool], Any]
Reload = Callable[[Config], object]


class DrainingService(MultiService):
    """
    What a daemon's ``makeService`` returns: the parent of all its services.

    :ivar is_draining: whether it is about to end; ``/readyz`` says so.
    :ivar reloads: how often the configuration was read again, by what came of it: ``done``, ``refused`` or ``partly``.
    """

    def __init__(
        self,
        options: DaemonOptions,
        reactor: Any,
        drain_seconds: float | None = None,
        install_signal: Callable[[int, Callable[[int, FrameType | None], None]], object] = signal.signal,
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        """
        :param drain_seconds: how long all drains together may take after SIGTERM; None: as configured.
        """
        super().__init__()
        self.is_draining = False
        self.reloads: Counter[str] = Counter()
        self._options = options
        self._reactor = reactor
        self._drain_seconds = drain_seconds
        self._install_signal = install_signal
        self._exit_process = exit_process
        self._drains: list[Drain] = []
        self._first_drains: list[Drain] = []
        self._reloads: list[Reload] = []
        self._checks: list[Reload] = []
        self._live_keys: list[str] = []
        self._started_with = options.settings
        self._deadline: IDelayedCall | None = None
        self._is_stopping = False
        self._has_failed = False
        self._had_terminal = False
        self._leash: Leash | None = None

    def on_drain(self, drain: Drain, is_first: bool = False) -> None:
        """
        Have this called when the daemon is to end; all drains run side by side, before any service is stopped.

        :param drain: takes whether there is hurry (SIGINT: no time for load balancers above us); what it returns, a
            Deferred or a coroutine perhaps, is waited for until the deadline.
        :param is_first: whether the others begin only after it: it still needs what they close.
        """
        (self._first_drains if is_first else self._drains).append(drain)

    def on_reload(self, reload: Reload, *keys: str, check: Reload | None = None) -> None:
        """
        Have this called with the new `Config` at each SIGHUP; certificates and log files are to be opened anew.

        :param keys: what it brings into force, such as ``balancer.health``; what else has changed needs a restart.
        :param check: called before anything is changed; raises `ConfigurationFault` if ``reload`` could not do it.
        """
        self._reloads.append(reload)
        self._live_keys += keys
        if check is not None:
            self._checks.append(check)

    def privilegedStartService(self) -> None:
        with self._explained():
            super().privilegedStartService()

    def startService(self) -> None:
        with self._explained():
            super().startService()
        self._reactor.callWhenRunning(self._started)

    def _explained(self) -> Any:
        return explained_faults(self._start_failed)

    def _start_failed(self) -> None:
        self._remove_pidfile()
        self._options.tell_starter()

    def _remove_pidfile(self) -> None:
        """twistd forgets it when a start ends in SystemExit; the next start might find another process behind it."""
        if self._options.pidfile():
            os.unlink(self._options.pidfile())

    def _started(self) -> None:
        release_terminal()
        held = descriptor_of(self._options.environ)
        if held is not None:
            self._leash = Leash(held, lambda: self.end(signal.SIGINT), self._reactor)
        self._had_terminal = has_terminal()
        # Only now: the reactor has installed its own before.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self._install_signal(number, self._signalled)

    def _signalled(self, number: int, frame: FrameType | None = None) -> None:
        """The signal itself, in the middle of anything: only wakes the reactor."""
        self._reactor.callFromThread(self._hung_up if number == signal.SIGHUP else self.end, number)

    def _hung_up(self, number: int) -> None:
        if self._had_terminal and not has_terminal():
            self.end(signal.SIGINT)
        else:
            self.reload()

    def reload(self) -> None:
        """Read the configuration again and hand it on; of a wrong one the fault is told, and nothing changes."""
        try:
            wanted = config = self._options.read()
            place = self._started_with.state_directory
            if wanted.state_directory != place:
                # All that is made there, such as the local CA, stays where it is until the next start.
                config = self._options.read(place)
            for check in self._checks:
                check(config)
        except ConfigurationFault as fault:
            self.reloads["refused"] += 1
            _log.error("the old configuration stays: {fault}", fault=fault)
            return
        self._options.settings = config
        is_whole = True
        for reload in self._reloads:
            try:
                reload(config)
            except ConfigurationFault as fault:
                # What could be used when it was checked, a moment ago.
                is_whole = False
                _log.error("the old state stays: {fault}", fault=fault)
            except Exception:
                is_whole = False
                _log.failure("reloading with {reload}", reload=reload)
        self.reloads["done" if is_whole else "partly"] += 1
        if is_whole:
            _log.info("configuration read again")
        waiting = self._waiting_keys(wanted)
        if waiting:
            _log.warn("needs a restart: {keys}", keys=", ".join(waiting))

    def _waiting_keys(self, config: Config) -> list[str]:
        """What of it concerns this daemon, is not what it was started with, and does not change while it runs."""
        ours = (*self._options.sections, *self._options.shared)
        return [
            key
            for key in changed_keys(self._started_with, config)
            if is_within(key, ours) and not is_within(key, self._live_keys)
        ]

    def end(self, number: int = signal.SIGTERM) -> None:
        """Take the next step towards the end, as this signal asks for."""
        name = signal.Signals(number).name
        if self._is_stopping:
            _log.warn("{name} again: ending at once", name=name)
            self._set_deadline(HURRIED_STOP_SECONDS, self._give_up)
        elif self.is_draining:
            _log.warn("{name} again: not waiting any longer", name=name)
            self._stop()
            self._set_deadline(HURRIED_STOP_SECONDS, self._give_up)
        else:
            self._drain(name, number == signal.SIGINT)

    def fail(self) -> None:
        """End as after SIGINT, with status 1: what the daemon is for cannot be done.  Said twice, it is done once."""
        if self._has_failed:
            return
        self._has_failed = True
        self._reactor.addSystemEventTrigger("after", "shutdown", self._exit_failed)
        self.end(signal.SIGINT)

    def _exit_failed(self) -> None:
        self._remove_pidfile()
        self._exit_process(1)

    def _drain(self, name: str, is_hurried: bool) -> None:
        self.is_draining = True
        seconds = self._drain_seconds
        if is_hurried:
            seconds = INTERRUPTED_DRAIN_SECONDS
        elif seconds is None:
            seconds = ANNOUNCE_SECONDS + self._options.settings.balancer.drain.deadline
        _log.info("{name}: draining for at most {seconds:.0f} s", name=name, seconds=seconds)
        self._set_deadline(seconds, self._drain_overdue)
        drained = self._drain_all(self._first_drains, is_hurried)
        drained.addCallback(lambda _results: self._drain_all(self._drains, is_hurried))
        drained.addCallback(lambda _results: self._stop())

    def _drain_all(self, drains: list[Drain], is_hurried: bool) -> Deferred[Any]:
        return DeferredList(
            [maybeDeferred(drain, is_hurried).addErrback(self._drain_failed, drain) for drain in drains]
        )

    def _drain_failed(self, failure: Failure, drain: Drain) -> None:
        _log.failure("draining with {drain}", failure, drain=drain)

    def _drain_overdue(self) -> None:
        _log.warn("the time for draining is over, what is still in flight is cut")
        self._stop()

    def _stop(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._set_deadline(STOP_SECONDS, self._give_up)
            self._reactor.stop()

    def stopService(self) -> Deferred[Any]:
        stopped: Deferred[Any] = super().stopService()
        return stopped.addBoth(self._stopped)

    def _stopped(self, results: Any) -> Any:
        self._set_deadline(None)
        # In a turn of its own: this may be in the middle of reading the answer that the last service waited for, and a
        # reactor that hears now that all has stopped tears down that connection too.
        return deferLater(self._reactor, 0, lambda: results)

    def _give_up(self) -> None:
        _log.error("services did not stop in time, ending without them")
        self._exit_process(1)

    def _set_deadline(self, seconds: float | None, overdue: Callable[[], None] | None = None) -> None:
        """The one deadline of the present state."""
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None if seconds is None else self._reactor.callLater(seconds, overdue)

    def __repr__(self) -> str:
        state = "stopping" if self._is_stopping else "draining" if self.is_draining else "running"
        return f"<DrainingService {self._options.daemon} {state}>"


def has_terminal() -> bool:
    """Whether this process has a controlling terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
