"""
Whether other workers of the same server go on serving the port that this one leaves.

Each worker shares a lock on a file for as long as it stays; who has let go of it and can then have it alone is the
last.  The kernel lets go for those that die.  So one worker that is replaced (by SIGHUP, after so many requests) does
not take the others' port out of the balancer, and when the server ends, it is taken out before any of them hears of it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

#: How long the others may take to hear that they are to go too: they get their signals within milliseconds, and hear of
#: them when whatever they are doing lets them.  One that is replaced waits for so long, and serves on meanwhile.
HEAR_SECONDS = 3.0
POLL_SECONDS = 0.05


class Siblings:
    """
    :param path: of the lock, the same for all workers of a server; where it cannot be had, there are no others.
    :param sleep: as `time.sleep`.
    """

    def __init__(self, path: Path, sleep: Callable[[float], object]) -> None:
        self._path = path
        self._sleep = sleep
        self._descriptor = -1

    def stay(self) -> None:
        """Be one of them, from now on."""
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self._path, flags, 0o600)
        except OSError:
            return
        if os.fstat(descriptor).st_uid == os.getuid():
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._descriptor = descriptor
        else:  # somebody else made it, and may hold it for ever
            os.close(descriptor)

    def go(self) -> bool:
        """Be none of them any more; whether there are none, which those that go at the same time all may hear."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor < 0:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            for _ in range(round(HEAR_SECONDS / POLL_SECONDS)):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    self._sleep(POLL_SECONDS)
                else:
                    self._path.unlink(missing_ok=True)
                    return True
            return False
        finally:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"<Siblings {'staying' if self._descriptor >= 0 else 'gone'} by {self._path}>"
