"""
A start on a disk that takes nothing: what it holds can be read, and is recovered when it takes something again.

To recover is to write: a checkpoint, files cut to their lengths, a volume that was being sealed.  If that fails, the
same is done once more with nothing written (`Untouched`): so all is known that a recovery finds, and what is on the
disk stays as it is.  From then on the recovery is tried again at times, until it goes well.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.logs.directory import AppendFile, Directory
from scalekit.logs.recovery import Recovered, recover
from scalekit.logs.threads import Lane

#: A recovery reads the journal and an hour of the log: a few seconds of a core.
AGAIN_SECONDS = 10.0

_log = Logger()


class _Nothing:
    """An `AppendFile` whose content goes nowhere."""

    def write(self, data: bytes) -> None:
        pass

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass


class Untouched:
    """A `Directory` that reads another one and writes nothing, as if it had; what is read is what was there before."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.names = directory.names
        self.size = directory.size
        self.free = directory.free
        self.read = directory.read
        self.path_of = directory.path_of

    def create(self, name: str, size: int = 0) -> AppendFile:
        return _Nothing()

    def write_from(self, name: str, offset: int, *pieces: bytes) -> None:
        pass

    def replace(self, name: str, data: bytes) -> None:
        pass

    def rename(self, name: str, new_name: str) -> None:
        pass

    def remove(self, name: str) -> None:
        pass

    def close(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"<Untouched {self._directory!r}>"


class Starting:
    """
    See the module.

    :param delay: of the buffer, in nanoseconds.
    :param is_compressed: whether a volume that has to be sealed now is compressed.
    :param lane: where it is recovered later; no other call that writes runs there meanwhile.
    :ivar trouble: why nothing can be written; None: it is recovered.
    """

    def __init__(self, directory: Directory, delay: int, is_compressed: bool, lane: Lane) -> None:
        self._directory = directory
        self._delay = delay
        self._is_compressed = is_compressed
        self._lane = lane
        self._tried_at = float("-inf")
        self._busy: Deferred[None] | None = None
        self.trouble: BaseException | None = None

    def _recover(self, directory: Directory, *, is_read_only: bool = False) -> Recovered:
        return recover(directory, self._delay, is_compressed=self._is_compressed, is_read_only=is_read_only)

    def begin(self, seconds: float) -> Recovered:
        """
        What the disk holds; raises OSError if it cannot be read.

        :param seconds: of a clock that is never set.
        """
        self._tried_at = seconds
        try:
            return self._recover(self._directory)
        except OSError as why:
            self.trouble = why
            _log.error("the log's disk takes nothing ({why}); what it holds can be read, entries are refused", why=why)
            return self._recover(Untouched(self._directory), is_read_only=True)._replace(damages=0, findings=[])

    def again(self, seconds: float, then: Callable[[Recovered], None]) -> None:
        """Recover it, if it was not tried a moment ago; ``then`` gets what is found once that has gone well."""
        if self._busy is not None or seconds - self._tried_at < AGAIN_SECONDS:
            return
        self._tried_at = seconds
        busy: Deferred[None] = Deferred()
        self._busy = busy

        def recovered(found: Recovered) -> None:
            self.trouble = None
            _log.info("the log's disk takes something again; entries are taken")
            then(found)

        def failed(failure: Failure) -> None:
            if failure.check(OSError) is None:
                _log.failure("recovering the log", failure)
            else:
                self.trouble = failure.value

        def end(_: object) -> None:
            self._busy = None
            busy.callback(None)

        self._lane.run(lambda: self._recover(self._directory)).addCallback(recovered).addErrback(failed).addBoth(end)

    def idle(self) -> Deferred[None]:
        """Fires when nothing is under way."""
        if self._busy is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._busy.addCallback(lambda _: waiting.callback(None))
        return waiting

    def __repr__(self) -> str:
        return f"<Starting: {self.trouble or 'done'}>"
