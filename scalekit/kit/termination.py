"""
Leaving the balancer before a server hears of SIGTERM: it stops accepting at once, and what is on its way is lost.

The server's own function for SIGTERM is replaced by ours, which leaves the balancer and only then calls the server's.
That is possible where the server lets Python call a function, and the process that gets the signal is the one that
serves: gunicorn's workers, and uvicorn.  hypercorn and granian have their event loop or another process wait for it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

#: Whose functions for SIGTERM may be called later than the signal came; tests/scenarios has tried them.  The functions
#: of gunicorn's first process are not among them.
GUNICORN, UVICORN = "gunicorn.workers", "uvicorn"

_LISTEN = "0A"  # proc_net_tcp(5), TCP_LISTEN of include/net/tcp_states.h


class Termination:
    """
    :param leave: leaves the balancer, and calls its argument when that is done, in whatever thread.
    :param is_staying: whether others go on serving the port after this process: then there is nothing to leave.
    """

    def __init__(self, leave: Callable[[Callable[[], object]], object], is_staying: Callable[[], bool]) -> None:
        self._leave = leave
        self._is_staying = is_staying
        self._theirs: Callable[[int, FrameType | None], Any] = lambda number, frame: None
        self._has_begun = False
        self._is_passed = False

    def install(self) -> bool:
        """
        Stand before the server's function for SIGTERM; returns whether that can be, see the module.

        Does nothing in a thread that is not the main one: Python lets only that one.
        """
        theirs = signal.getsignal(signal.SIGTERM)
        if not callable(theirs) or server_of(theirs) is None:
            return False
        if threading.current_thread() is not threading.main_thread():
            return False
        self._theirs = theirs
        signal.signal(signal.SIGTERM, self)
        # As gunicorn wants it: no system call of a request is interrupted.
        signal.siginterrupt(signal.SIGTERM, False)
        return True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal itself, in the middle of anything.  A second one does not wait."""
        if not self._has_begun and not self._is_staying():
            self._has_begun = True
            self._leave(self._again)
        else:
            self._is_passed = True
            self._theirs(number, frame)

    def _again(self) -> None:
        """Only the main thread may call the server's function: the signal once more brings it there."""
        if not self._is_passed:
            os.kill(os.getpid(), signal.SIGTERM)


def server_of(function: Any) -> str | None:
    """Which of the known servers is called for a signal; None: none of them."""
    module = f"{getattr(function, '__module__', None)}."
    return next((name for name in (GUNICORN, UVICORN) if module.startswith(f"{name}.")), None)


def keep_alive_of(function: Any) -> float | None:
    """
    After how many seconds the server whose function this is closes an idle connection; None: it does not tell.

    Both have it among their settings, which the function's owner holds.
    """
    owner = getattr(function, "__self__", None)
    server = server_of(function)
    seconds: object = None
    if server == UVICORN:
        seconds = getattr(getattr(owner, "config", None), "timeout_keep_alive", None)
    elif server == GUNICORN:
        seconds = getattr(getattr(owner, "cfg", None), "keepalive", None)
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def is_reloading(function: Any) -> bool:
    """
    Whether the server whose function this is starts this process anew at each change of the application's files.

    Its only process leaves then as if for good, and the next one is of the same server.
    """
    settings = getattr(getattr(function, "__self__", None), "config", None)
    return server_of(function) == UVICORN and bool(getattr(settings, "reload", False))


def is_listening(pid: int, port: int, proc: Path = Path("/proc")) -> bool:
    """
    Whether another process holds a socket that listens on a port; False too where the system does not tell.

    gunicorn's first process closes its sockets before it sends its workers SIGTERM for good; when it only replaces them
    (SIGHUP), it keeps them.
    """
    held = set()
    try:
        for file in (proc / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                held.add(os.readlink(file))
        for table in ("tcp", "tcp6"):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                # sl, local address, remote address, state, queues, timer, retransmissions, uid, timeout, inode
                fields = line.split()
                is_ours = fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port
                if is_ours and f"socket:[{fields[9]}]" in held:
                    return True
    except (OSError, ValueError, IndexError):
        pass
    return False
