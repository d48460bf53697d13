"""
Whether other workers of the same server go on serving the port that this one leaves.

Each worker shares a lock on a file for as long as it stays; who has let go of it and can then have it alone is the
last.  The kernel lets go for those that die.  So one worker that is replaced (by SIGHUP, after so many requests) does
not take the others' port out of the balancer, and when the server ends, it is taken out before any of them hears of it.

The last one removes the file.  A server that was killed leaves it; the next one on its port removes that.
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
# To get hold of a lock that others remove meanwhile: they do so once, when they start or end.
_TRIES = 10


class Siblings:
    """
    :param path: of the lock, the same for all workers of a server; where it cannot be had, there are no others.
    :param sleep: as `time.sleep`.
    :param kin: what the locks of all servers of this port are called, a pattern; empty: nobody's are removed.
    """

    def __init__(self, path: Path, sleep: Callable[[float], object], kin: str = "") -> None:
        self._path = path
        self._sleep = sleep
        self._kin = kin
        self._descriptor = -1

    def stay(self) -> None:
        """Be one of them, from now on."""
        self._remove_left()
        for _ in range(_TRIES):
            descriptor = _opened(self._path, os.O_CREAT)
            if descriptor is None:
                return
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_at(self._path, descriptor):
                self._descriptor = descriptor
                return
            os.close(descriptor)  # removed between the two: those who come now have another one

    def _remove_left(self) -> None:
        """Remove the locks that nobody holds of the servers before."""
        for path in self._path.parent.glob(self._kin) if self._kin else ():
            descriptor = None if path == self._path else _opened(path)
            if descriptor is None:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
            except OSError:
                pass  # it runs
            finally:
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


def _opened(path: Path, flags: int = 0) -> int | None:
    """A descriptor of a lock; None: there is none, or somebody else made it, and may hold it for ever."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError:
        return None
    if os.fstat(descriptor).st_uid == os.getuid():
        return descriptor
    os.close(descriptor)
    return None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except OSError:
        return False
