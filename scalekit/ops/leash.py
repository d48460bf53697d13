"""
A child process that ends when its parent lets go of it, or is gone, however it went.

The parent keeps one end of a pipe open and gives the other to the child, whose environment says which descriptor it is.
The kernel closes the parent's end with the parent, also after SIGKILL; the child sees the end of file and drains.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure

#: The environment variable with the descriptor's number.
VARIABLE = "SCALEKIT_LEASH"

_log = Logger()


class Leash(FileDescriptor):
    """
    :param descriptor: the pipe's reading end.
    :param let_go: called once, when the parent has let go.
    """

    def __init__(self, descriptor: int, let_go: Callable[[], object], reactor: Any) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._let_go = let_go
        os.set_blocking(descriptor, False)
        self.startReading()

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        """What is written means nothing, only the end does."""
        try:
            if self.disconnected or os.read(self._descriptor, 1):
                return
        except BlockingIOError:
            return
        self.stopReading()
        self.disconnected = 1
        _log.info("the parent process has let go")
        self._let_go()

    def connectionLost(self, reason: Failure) -> None:
        """epoll tells the end of a pipe as a hang-up with nothing to read; a reactor that stops comes here too."""
        self.doRead()

    def logPrefix(self) -> str:
        return "leash"


def descriptor_of(environ: Mapping[str, str]) -> int | None:
    """The descriptor in this environment; None for a process that nobody holds, and for what is no pipe of ours."""
    number = environ.get(VARIABLE, "")
    if not number.isascii() or not number.isdigit():
        return None
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(int(number)).st_mode)
    except (OSError, OverflowError):  # inherited by somebody whose parent has closed it
        return None
    return int(number) if is_pipe else None
