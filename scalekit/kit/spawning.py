"""Starting a command in a process group of its own, and trying whether its port answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol, Protocol
from twisted.python.failure import Failure

from scalekit.ops.exits import status_of

#: A server that accepts does so at once; one whose queue is full does not answer.
CONNECT_SECONDS = 2.0

#: Becomes the command, in a process group of its own: Ctrl-C in the terminal is for us alone.  The kernel sends it
#: SIGTERM when we are gone without a word (prctl(2), PR_SET_PDEATHSIG is 1): it would serve on, known to nobody.
#: Python ignores SIGPIPE and SIGXFSZ, and what is ignored stays so in the command.  127 and 126 are a shell's.
_BECOME = """\
import ctypes, os, signal, sys
os.setpgid(0, 0)
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as why:
    os.write(2, f"scalekit: {sys.argv[2]}: {why.strerror}\\n".encode())
    os._exit(127 if isinstance(why, FileNotFoundError) else 126)
"""


class SpawnedCommand(ProcessProtocol):
    """
    A running command; what it prints goes where ours goes, and it reads nothing.

    :param ended: called with its status, negative for a signal, once it has ended.
    """

    def __init__(self, ended: Callable[[int], None]) -> None:
        self._ended = ended

    def connectionMade(self) -> None:
        self._process = cast(Any, self.transport)
        self._group = int(self._process.pid)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        try:
            self._process.signalProcess(number)
        except ProcessExitedAlready:  # we are about to hear of it
            pass

    def signal_group(self, number: int) -> None:
        """Send a signal to it, and to all that it has started."""
        try:
            os.killpg(self._group, number)
        except ProcessLookupError:  # nobody is left
            pass

    def processEnded(self, reason: Failure) -> None:
        self._ended(status_of(reason.value))


def spawn(arguments: Sequence[str], environ: Mapping[str, str], reactor: Any, ended: Callable[[int], None]) -> Any:
    """
    Start a command.

    :raises OSError: there is no process to be had just now; that it cannot be found is its status 127.
    """
    process = SpawnedCommand(ended)
    argv = [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), *arguments]
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        reactor.spawnProcess(process, argv[0], argv, env=dict(environ), childFDs={0: nothing, 1: 1, 2: 2})
    finally:
        os.close(nothing)
    return process


def is_answering(host: str, port: int, reactor: Any) -> Deferred[bool]:
    """Connect, and say whether somebody accepted; never fails."""
    kind: Any = HostnameEndpoint
    if isIPAddress(host):
        kind = TCP4ClientEndpoint
    elif isIPv6Address(host):
        kind = TCP6ClientEndpoint
    connected: Deferred[Any] = kind(reactor, host, port, CONNECT_SECONDS).connect(Factory.forProtocol(Protocol))

    def hang_up(protocol: Any) -> bool:
        protocol.transport.loseConnection()
        return True

    return connected.addCallbacks(hang_up, lambda _: False)
