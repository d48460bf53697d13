"""
A `scalekit.logs.directory.Directory` in memory that can lose its power at any step.

``fail_after(n)`` lets the n-th call from now fail, before, in the middle of, or after doing its work.  `survive` then
gives the directory that a machine would find when it comes back: what was synced is there; of what was not, any
part may be, and its last sector may be garbage.
"""

from __future__ import annotations

import errno
from collections.abc import Callable


class PowerLoss(BaseException):
    """The machine is gone: no ``except Exception`` may see it."""


class _File:
    def __init__(self) -> None:
        self.content = b""
        self.safe = b""


class MemoryAppendFile:
    """An `AppendFile` of a `MemoryDirectory`."""

    def __init__(self, directory: MemoryDirectory, file: _File) -> None:
        self._directory = directory
        self._file = file
        self._is_poisoned = False

    def write(self, data: bytes) -> None:
        self._directory.step(lambda part: self._grow(data[: int(len(data) * part)]))

    def _grow(self, data: bytes) -> None:
        self._file.content += data

    def sync(self) -> None:
        # As Linux does: after a failed sync the next one on this descriptor claims success, and the data are gone.
        try:
            self._directory.step(lambda part: self._make_safe() if part == 1 and not self._is_poisoned else None)
        except OSError:
            self._is_poisoned = True
            raise

    def _make_safe(self) -> None:
        self._file.safe = self._file.content

    def close(self) -> None:
        pass


class MemoryDirectory:
    """
    See the module.

    :ivar steps: how many calls there have been that write.
    """

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}  # since the directory was synced
        self.steps = 0
        self._fail_at = -1
        self._fail_until = -1
        self._part = 0.0
        self._error: BaseException = PowerLoss()

    def fail_after(self, steps: int, part: float = 0, error: BaseException | None = None, times: int = 1) -> None:
        """
        Let a coming step fail.

        :param steps: how many steps go well before.
        :param part: how much of its work the failing step does, 0 to 1.
        :param error: what it raises: a `PowerLoss` unless given.
        :param times: how many steps fail from there; after a `PowerLoss`, all.
        """
        self._fail_at = self.steps + steps
        self._error = PowerLoss() if error is None else error
        self._fail_until = self._fail_at + times if isinstance(self._error, OSError) else 1 << 60
        self._part = part

    def step(self, do: Callable[[float], None]) -> None:
        """Do one step of work: ``do(part)`` does this part of it."""
        number = self.steps
        self.steps += 1
        if self._fail_at <= number < self._fail_until:
            if number == self._fail_at:
                do(self._part)
            raise self._error
        do(1)

    def names(self) -> list[str]:
        return sorted(self._files)

    def size(self, name: str) -> int:
        return len(self.read(name))

    def read(self, name: str) -> bytes:
        file = self._files.get(name)
        return b"" if file is None else file.content

    def create(self, name: str) -> MemoryAppendFile:
        if name in self._files:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        file = _File()

        def do(part: float) -> None:
            if part:
                self._files[name] = file
                self._removed = {}

        self.step(do)
        return MemoryAppendFile(self, file)

    def write_from(self, name: str, offset: int, data: bytes) -> None:
        def do(part: float) -> None:
            file = self._files.setdefault(name, _File())
            if offset > len(file.content):
                raise AssertionError(f"{name} would get a hole from {len(file.content)} to {offset}")
            file.content = file.content[:offset] + data[: int(len(data) * part)]
            if part == 1:
                file.safe = file.content

        self.step(do)

    def replace(self, name: str, data: bytes) -> None:
        def do(part: float) -> None:
            if part == 1:
                self._files[name] = file = _File()
                file.content = file.safe = data
                self._removed = {}

        self.step(do)

    def rename(self, name: str, new_name: str) -> None:
        def do(part: float) -> None:
            if part == 1:
                self._files[new_name] = self._files.pop(name)
                self._removed = {}

        self.step(do)

    def remove(self, name: str) -> None:
        def do(part: float) -> None:
            if part == 1:
                self._removed[name] = self._files.pop(name)

        self.step(do)

    def close(self) -> None:
        pass

    def survive(self, part: float, garbage: bytes = b"") -> MemoryDirectory:
        """
        The directory after the power came back.

        :param part: how much of what was not synced is there, 0 to 1; below a half, removed files are back.
        :param garbage: overwrites the end of what was not synced.
        """
        after = MemoryDirectory()
        for name, file in (self._files | (self._removed if part < 0.5 else {})).items():
            after._files[name] = survivor = _File()
            survivor.content = survivor.safe = _after_power_loss(file.safe, file.content, part, garbage)
        return after


def _after_power_loss(safe: bytes, content: bytes, part: float, garbage: bytes) -> bytes:
    shared = 0
    while shared < min(len(safe), len(content)) and safe[shared] == content[shared]:
        shared += 1
    if shared == len(content):  # cut, and the cut not synced: done or not
        return content if part > 0.5 else safe
    # All that differs from the synced state is in doubt.
    doubtful = content[shared : shared + int((len(content) - shared) * part)]
    if not doubtful:
        return safe
    if garbage:
        tail = garbage[: len(doubtful)]
        doubtful = doubtful[: len(doubtful) - len(tail)] + tail
    return content[:shared] + doubtful
