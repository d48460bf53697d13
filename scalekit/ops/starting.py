"""
Failing to start: one line on the terminal, exit status 1.

By the time that a service starts, twistd has sent ``sys.stderr`` to the log and, as a daemon, the descriptors 0 to 2 to
``/dev/null``; whoever typed the command would see nothing, or a traceback.  So the terminal is kept until the reactor
runs (`keep_terminal`, `release_terminal`), as ``sys.__stderr__``, which is where twistd itself writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TextIO

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from scalekit.errors import ConfigurationFault

_log = Logger()
_replaced: list[TextIO | None] = []  # what sys.__stderr__ was before keep_terminal


def keep_terminal() -> None:
    """Let ``sys.__stderr__`` go on reaching the terminal when twistd daemonises; before the fork."""
    if _replaced:
        return
    try:
        descriptor = os.dup(2)
    except OSError:  # started without a standard error: nobody looks
        return
    _replaced.append(sys.__stderr__)
    sys.__stderr__ = os.fdopen(descriptor, "w", 1, errors="backslashreplace")  # type: ignore[misc]


def release_terminal() -> None:
    """Let the terminal go, once the daemon has started."""
    if _replaced:
        kept, sys.__stderr__ = sys.__stderr__, _replaced.pop()  # type: ignore[misc, assignment]
        if kept is not None:
            kept.close()


def fail_start(message: str) -> NoReturn:
    """
    End a daemon that cannot start: this one line on the standard error it was started with, exit status 1.

    Only until the reactor runs: in ``makeService``, ``privilegedStartService`` and ``startService``.
    """
    if _replaced:
        _log.critical("{message}", message=message)  # twistd tells the terminal to look there
    terminal = sys.__stderr__
    if terminal is not None:
        terminal.write(message.replace("\n", " ") + "\n")
        terminal.flush()
    raise SystemExit(1)


@contextmanager
def explained_faults(clean_up: Callable[[], object] = lambda: None) -> Iterator[None]:
    """
    A ``with`` or a decorator: what goes wrong in it for reasons outside the program is told by `fail_start`.

    That is a `ConfigurationFault`, a port in use, and the system refusing a file (OSError).

    :param clean_up: called when the start has failed.
    """
    try:
        try:
            yield
        except (ConfigurationFault, CannotListenError, OSError) as why:
            fail_start(str(why))
    except SystemExit:
        clean_up()
        raise
