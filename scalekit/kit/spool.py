"""
What could not be sent yet, on disk: batches of entries with their names, in files of a megabyte.

In a directory for each source, each process has a lock, ``ID.lock``, that it holds while it lives, and its files,
``ID-NUMBER.spool``.  A file is removed when all its batches are acknowledged; what of it is sent twice because a
process died before that has the same name again, by which the collector knows it.  Whoever gets the lock of a dead
process sends what that has left.

A frame is: magic 4, crc32 4, length of the lines 4, length of the client's name 1, the batch's number 8, the name, the
lines; big-endian; the CRC covers all that follows it.  Nothing is synced: the files outlive the process, and of a power
failure what the system has written by then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from scalekit.framing import scan
from scalekit.kit.entries import is_low, level_of

SPOOL_BYTES = 64 * 1024 * 1024  # a day of an application that writes three entries a second
# What is read at once, and what is given up at once when there is too much.
FILE_BYTES = 1024 * 1024

# More than once is rare; a file system that knows no locks refuses for ever.
_TRIES = 5

_HEAD = struct.Struct(">4sIIBQ")
_COVERED = struct.Struct(">IBQ")
_CRC_END = 8
# None of the first two bytes occurs in UTF-8.
_MAGIC = b"\xf5\xffS1"


class Batch(NamedTuple):
    """
    Entries that are sent together.

    :ivar client: who has numbered it; together with ``number`` its name, by which a repeat is known.
    :ivar lines: of `entries.entry_line`, each with its newline.
    """

    client: str
    number: int
    lines: bytes


class _File:
    def __init__(self, path: str, size: int) -> None:
        self.path, self.size = path, size
        self.is_thinned = False


def encode_batch(batch: Batch) -> bytes:
    """Its frame."""
    client = batch.client.encode()
    covered = _COVERED.pack(len(batch.lines), len(client), batch.number) + client
    crc = zlib.crc32(batch.lines, zlib.crc32(covered))
    return b"".join((_MAGIC, crc.to_bytes(4), covered, batch.lines))


def decode_batch(data: memoryview, start: int) -> tuple[Batch, int] | None:
    """The batch whose frame begins here, and where that ends; None if none does."""
    if len(data) - start < _HEAD.size:
        return None
    magic, crc, length, name_length, number = _HEAD.unpack_from(data, start)
    lines_start = start + _HEAD.size + name_length
    end = lines_start + length
    if magic != _MAGIC or end > len(data) or zlib.crc32(data[start + _CRC_END : end]) != crc:
        return None
    client = bytes(data[start + _HEAD.size : lines_start]).decode()
    return Batch(client, number, bytes(data[lines_start:end])), end


class Spool:
    """
    First in, first out; over the bound the oldest DEBUG and INFO entries are given up, then the oldest of all.

    :param directory: of the source; made when it is needed.
    :param make_name: a name that no other process has.
    :param dropped: told how many entries of which levels were given up.

    :ivar size: bytes of all files that are ours.
    """

    def __init__(
        self,
        directory: str,
        make_name: Callable[[], str],
        dropped: Callable[[Counter[str]], None],
        limit_bytes: int = SPOOL_BYTES,
    ) -> None:
        self._directory = directory
        self._make_name = make_name
        self._dropped = dropped
        self._limit = limit_bytes
        self._name = ""
        self._number = 0
        self._locks: dict[str, int] = {}  # descriptors, by the name of a process: ours and dead ones
        self._files: deque[_File] = deque()
        self._first: deque[Batch] = deque()  # of the first file
        self._is_first_read = False
        self.size = 0

    def append(self, batch: Batch) -> None:
        """Keep a batch; raises OSError."""
        if not self._name:
            self._begin()
        frame = encode_batch(batch)
        while self.size + len(frame) > self._limit and self._give_up():
            pass
        last = self._files[-1] if self._files else None
        is_ours = last is not None and os.path.basename(last.path).startswith(f"{self._name}-")
        is_being_sent = self._is_first_read and len(self._files) == 1
        if last is None or not is_ours or is_being_sent or last.size + len(frame) > FILE_BYTES:
            self._number += 1
            last = _File(os.path.join(self._directory, f"{self._name}-{self._number:08}.spool"), 0)
            self._files.append(last)
        with open(last.path, "ab", opener=_private) as file:
            file.write(frame)
        last.size += len(frame)
        self.size += len(frame)
        last.is_thinned = False

    def first(self) -> Batch | None:
        """The oldest batch; what is damaged is left out."""
        while self._files:
            if not self._is_first_read:
                self._first = deque(_read(self._files[0].path))
                self._is_first_read = True
            if self._first:
                return self._first[0]
            self._remove(self._files[0])
        return None

    def done(self, batch: Batch) -> None:
        """It is acknowledged: nothing if it is not the first."""
        first = self.first()
        if first is not None and first[:2] == batch[:2]:
            self._first.popleft()
            if not self._first:
                self._remove(self._files[0])
                self._release()

    def adopt(self) -> None:
        """Take over what dead processes of the same source have left."""
        try:
            names = sorted(os.listdir(self._directory))
        except OSError:  # there is none yet
            return
        for name in [name.removesuffix(".lock") for name in names if name.endswith(".lock")]:
            if name in self._locks or (descriptor := self._lock(name)) is None:
                continue
            self._locks[name] = descriptor
            for each in names:
                if each.startswith(f"{name}-") and each.endswith(".spool"):
                    path = os.path.join(self._directory, each)
                    file = _File(path, _size(path))
                    self._files.append(file)
                    self.size += file.size
        self._release()

    def forget(self) -> None:
        """After a fork: all of it is our parent's."""
        for descriptor in self._locks.values():
            os.close(descriptor)
        self.__init__(self._directory, self._make_name, self._dropped, self._limit)  # type: ignore[misc]

    def close(self) -> None:
        """Whoever comes next may send what is left."""
        self._release(is_over=True)
        for descriptor in self._locks.values():
            os.close(descriptor)
        self._locks, self._name = {}, ""

    def _begin(self) -> None:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        for _ in range(_TRIES):
            name = self._make_name()
            descriptor = self._lock(name, os.O_CREAT)
            if descriptor is not None:  # else somebody took it for a dead one's before we had it
                self._name, self._number = name, 0
                self._locks[name] = descriptor
                return
        raise OSError(f"{self._directory}: no file there can be locked")

    def _lock(self, name: str, flags: int = 0) -> int | None:
        """A descriptor that holds the lock of this process; None if another one has it."""
        path = os.path.join(self._directory, f"{name}.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        except OSError:
            if flags:
                raise
            return None  # somebody has just removed it, or it is another user's
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except OSError:  # somebody holds it, or has just removed it
            pass
        os.close(descriptor)
        return None

    def _release(self, is_over: bool = False) -> None:
        """Remove the locks of those that have left nothing any more."""
        busy = {os.path.basename(file.path).rpartition("-")[0] for file in self._files}
        for name in [name for name in self._locks if name not in busy and (is_over or name != self._name)]:
            _unlink(os.path.join(self._directory, f"{name}.lock"))
            os.close(self._locks.pop(name))

    def _remove(self, file: _File) -> None:
        if file is self._files[0]:
            self._first, self._is_first_read = deque(), False
        self._files.remove(file)
        self.size -= file.size
        _unlink(file.path)

    def _give_up(self) -> bool:
        """Make some room; False if there is nothing to give up."""
        # What is being sent stays: it may be acknowledged at this very moment.
        old = list(self._files)[self._is_first_read :]
        if not old:
            return False
        # Not the last: it is still written to, and would be gone over again and again.
        thick = next((file for file in old[:-1] if not file.is_thinned), None)
        if thick is not None:
            self._thin(thick)
        else:
            lines = [line for batch in _read(old[0].path) for line in batch.lines.splitlines()]
            self._remove(old[0])
            self._dropped(Counter(map(level_of, lines)))
        return True

    def _thin(self, file: _File) -> None:
        """Take DEBUG and INFO out of a file."""
        lost: Counter[str] = Counter()
        kept = []
        for batch in _read(file.path):
            lines = batch.lines.splitlines(keepends=True)
            high = [line for line in lines if not is_low(line)]
            lost.update(level_of(line) for line in lines if is_low(line))
            if high:
                kept.append(encode_batch(batch._replace(lines=b"".join(high))))
        if kept:
            with open(f"{file.path}.new", "wb", opener=_private) as thinned:
                thinned.write(b"".join(kept))
            os.replace(f"{file.path}.new", file.path)
            size = sum(map(len, kept))
            self.size -= file.size - size
            file.size, file.is_thinned = size, True
        else:
            self._remove(file)
        self._dropped(lost)

    def __repr__(self) -> str:
        return f"<Spool {self._directory} {len(self._files)} files, {self.size} bytes>"


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # somebody has cleared the directory
        os.unlink(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _read(path: str) -> list[Batch]:
    try:
        with open(path, "rb") as file:
            return scan(file.read(), _MAGIC, decode_batch)[0]
    except OSError:  # somebody has cleared the directory
        return []


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
