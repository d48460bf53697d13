"""
A `scalekit.logs.directory.Directory` in memory that can lose its power at any step.

``fail_after(n)`` lets the n-th call from now fail, before, in the middle of, or after doing its work.  `survive` then
gives the directory that a machine would find when it comes back: what was synced is there; of what was not, each sector
is there or is not, whatever the order it was written in, and the last one may be torn.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NamedTuple

# Begins like a frame of the journal.
_TORN = b"\xf5\xffL2\0torn"
# What a disk writes wholly or, at the moment the power goes, not.
SECTOR = 512


class PowerLoss(BaseException):
    """The machine is gone: no ``except Exception`` may see it."""


class _Undo(NamedTuple):
    """What was in a file from ``offset`` to ``end`` before a change that is not synced, and how long the file was."""

    offset: int
    end: int
    old: bytes
    length: int


class _File:
    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)
        self.undone: list[_Undo] = []  # that is, if the power is lost

    def put(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        self.undone.append(_Undo(offset, end, bytes(self.content[offset:end]), len(self.content)))
        self.content[offset:end] = data

    def cut(self, length: int) -> None:
        end = len(self.content)
        self.undone.append(_Undo(length, end, bytes(self.content[length:]), end))
        del self.content[length:]

    def make_safe(self) -> None:
        self.undone = []

    def safe(self) -> bytes:
        """What is certainly there after a loss of power."""
        content = bytearray(self.content)
        for offset, end, old, length in reversed(self.undone):
            content[offset:end] = old
            del content[length:]
        return bytes(content)

    def survivor(self, choose: Callable[[], float]) -> bytes:
        """What is there after one: of each sector that differs, the old state or the new one."""
        if not self.undone:
            return bytes(self.content)
        old, new = self.safe(), bytes(self.content)
        if len(old) != len(new):  # the length is in doubt as well; what it takes in unwritten is zeros
            shorter, longer = sorted((len(old), len(new)))
            length = shorter + round(choose() * (longer - shorter))
            old, new = (state[:length].ljust(length, b"\0") for state in (old, new))
        result = bytearray(old)
        changed = [at for at in range(0, len(new), SECTOR) if old[at : at + SECTOR] != new[at : at + SECTOR]]
        for at in changed:
            chance = choose()
            if chance > 0.5:
                result[at : at + SECTOR] = new[at : at + SECTOR]
            if at == changed[-1] and 0.3 < chance < 0.7:
                # What the sector holds of before is written with the same bits, whatever becomes of it.
                end = min(at + SECTOR, len(result))
                begin = next(place for place in range(at, end) if old[place] != new[place])
                torn = (begin + end) // 2
                result[torn:end] = _TORN[: end - torn].ljust(end - torn, b"\xaa")
        return bytes(result)


class MemoryAppendFile:
    """An `AppendFile` of a `MemoryDirectory`."""

    def __init__(self, directory: MemoryDirectory, file: _File) -> None:
        self._directory = directory
        self._file = file
        self._position = 0
        self._is_poisoned = False

    def write(self, data: bytes) -> None:
        self._directory.step(lambda part: self._file.put(self._position, data[: int(len(data) * part)]))
        self._position += len(data)

    def sync(self) -> None:
        # As Linux does: after a failed sync the next one on this descriptor claims success, and the data are gone.
        try:
            self._directory.step(lambda part: self._file.make_safe() if part == 1 and not self._is_poisoned else None)
        except OSError:
            self._is_poisoned = True
            raise

    def close(self) -> None:
        pass


class MemoryDirectory:
    """
    See the module.

    :ivar steps: how many calls there have been that write.
    :ivar room: how many bytes `free` says there are.
    """

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}  # since the directory was synced
        self.steps = 0
        self.room = 1 << 40
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
        file = self._files.get(name)
        return 0 if file is None else len(file.content)

    def free(self) -> int:
        return self.room

    def read(self, name: str, offset: int = 0, length: int = -1) -> bytes:
        file = self._files.get(name)
        if file is None:
            return b""
        return bytes(file.content[offset:] if length < 0 else file.content[offset : offset + length])

    def path_of(self, name: str) -> None:
        return None

    def create(self, name: str, size: int = 0) -> MemoryAppendFile:
        if name in self._files:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        file = _File(bytes(size))

        def do(part: float) -> None:
            if part:
                self._files[name] = file
                self._removed = {}

        try:
            self.step(do)
        except OSError:
            self._files.pop(name, None)
            raise
        return MemoryAppendFile(self, file)

    def write_from(self, name: str, offset: int, *pieces: bytes) -> None:
        data = b"".join(pieces)

        def do(part: float) -> None:
            file = self._files.setdefault(name, _File())
            if offset > len(file.content):
                raise AssertionError(f"{name} would get a hole from {len(file.content)} to {offset}")
            if offset < len(file.content):
                file.cut(offset)
            file.put(offset, data[: int(len(data) * part)])
            if part == 1:
                file.make_safe()

        self.step(do)

    def replace(self, name: str, data: bytes) -> None:
        def do(part: float) -> None:
            if part == 1:
                self._files[name] = _File(data)
                self._removed = {}

        self.step(do)

    def rename(self, name: str, new_name: str) -> None:
        def do(part: float) -> None:
            if part == 1:
                self._files[new_name] = self._take(name)
                self._removed = {}

        self.step(do)

    def remove(self, name: str) -> None:
        def do(part: float) -> None:
            if part == 1:
                self._removed[name] = self._take(name)

        self.step(do)

    def _take(self, name: str) -> _File:
        if name not in self._files:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        return self._files.pop(name)

    def close(self) -> None:
        pass

    def survive(self, choose: Callable[[], float] = lambda: 0.0) -> MemoryDirectory:
        """
        The directory after the power came back.

        :param choose: gives numbers from 0 to 1, one for each thing in doubt: above a half, what was not synced is
            there, or a removed file is gone.
        """
        after = MemoryDirectory()
        after.room = self.room
        removed = {name: file for name, file in self._removed.items() if choose() <= 0.5}
        for name, file in (removed | self._files).items():
            after._files[name] = _File(file.survivor(choose))
        return after
