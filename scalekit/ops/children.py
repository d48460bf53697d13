"""
Child processes of a daemon, each in a process group of its own: those of ``scalekit-all --demo N``.

They end with their parent (`scalekit.ops.leash`).  One that dies is started again; of one that cannot start at all the
parent is told, so that a port in use is seen at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.ops.exits import described, status_of
from scalekit.ops.leash import VARIABLE

#: A process that ends with status 1 before it has lived so long could not start: its own line has said why.  Starting
#: takes half a second, and ten times as long where much else is going on.
START_SECONDS = 15.0
#: A process that died is started again after this, so that one that always dies does not burn a core.
RESTART_SECONDS = 1.0

#: ``twistd`` by this interpreter, in a process group of its own: Ctrl-C in the terminal is for the parent alone.
RUN_TWISTD = "import os, sys; os.setpgid(0, 0); sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"

_log = Logger()


class _Child(ProcessProtocol):
    """One process; what it prints goes where ours goes."""

    def __init__(self, ended: Callable[[int], object]) -> None:
        self._ended = ended

    def processEnded(self, reason: Failure) -> None:
        self._ended(status_of(reason.value))


class ChildService(Service):
    """
    Keeps one child process running.

    :param arguments: for ``twistd -n``.
    :param failed: told with a sentence when it cannot start.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        reactor: Any,
        failed: Callable[[str], object],
    ) -> None:
        self.setName(name)
        self._arguments = [sys.executable, "-c", RUN_TWISTD, "-n", *arguments]
        self._environ = dict(environ)
        self._reactor = reactor
        self._failed = failed
        self._process: Any = None
        self._leash = -1
        self._started_at = 0.0
        self._restart: Any = None
        self._is_ending = False
        self._gone: list[Deferred[None]] = []

    def startService(self) -> None:
        super().startService()
        self._spawn()

    def _spawn(self) -> None:
        self._restart = None
        self._started_at = self._reactor.seconds()
        reading = -1
        try:
            reading, self._leash = os.pipe()
            # Descriptors keep their numbers in the child: 0, 1 and 2 are ours, the leash is its fourth.
            self._process = self._reactor.spawnProcess(
                _Child(self._process_ended),
                self._arguments[0],
                self._arguments,
                env={**self._environ, VARIABLE: "3"},
                childFDs={0: 0, 1: 1, 2: 2, 3: reading},
            )
        except OSError as why:  # no memory, process or descriptor to be had just now
            _log.error("{name} cannot be started: {why}", name=self.name, why=why.strerror)
            self._loosen()
            self._restart = self._reactor.callLater(RESTART_SECONDS, self._spawn)
        finally:
            if reading >= 0:
                os.close(reading)

    def _loosen(self) -> None:
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1

    def _process_ended(self, status: int) -> None:
        self._process = None
        self._loosen()
        waiting, self._gone = self._gone, []
        for deferred in waiting:
            deferred.callback(None)
        if self._is_ending:
            return
        if status == 1 and self._reactor.seconds() - self._started_at < START_SECONDS:
            self._failed(f"{self.name} could not start")
            return
        _log.warn("{name} ended {how}, starting it again", name=self.name, how=described(status))
        self._restart = self._reactor.callLater(RESTART_SECONDS, self._spawn)

    def end(self, is_hurried: bool = False) -> Deferred[None]:
        """
        Let it drain and end; fires when it is gone.

        :param is_hurried: as after Ctrl-C.
        """
        if is_hurried:
            # Not by SIGINT: Python makes a traceback of one that comes before the daemon is ready for it.
            return self._end(self._loosen)
        return self._end(lambda: self._signal("TERM"))

    def stopService(self) -> Deferred[None]:
        """What has not ended by now is killed; fires when it is gone."""
        super().stopService()
        return self._end(lambda: self._signal("KILL"))

    def _end(self, ask: Callable[[], object]) -> Deferred[None]:
        self._is_ending = True
        if self._restart is not None and self._restart.active():
            self._restart.cancel()
        if self._process is None:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        ask()
        return gone

    def _signal(self, name: str) -> None:
        try:
            self._process.signalProcess(name)
        except ProcessExitedAlready:  # we are about to hear of it
            pass

    def __repr__(self) -> str:
        return f"<ChildService {self.name} {'running' if self._process else 'not running'}>"
