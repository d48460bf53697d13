"""
The few things that the log does with files, and how they are done on a disk.

`Directory` is the seam: `LocalDirectory` is the real one, `scalekit.logs.memory.MemoryDirectory` one that can crash.
`Files` is the part of it that only reads: `FoundDirectory` is that of a directory which a daemon may have.
Every call raises OSError when the disk does not do what it should.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable
from typing import Protocol

from scalekit.errors import ConfigurationFault

# A disk that is full, or that the kernel has made read-only as it failed.
_TAKES_NOTHING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class AppendFile(Protocol):
    """A file that is written from its beginning on, without gaps."""

    def write(self, data: bytes) -> None:
        """Put all of it behind what was written before; not yet safe."""

    def sync(self) -> None:
        """Return when all that was written would survive a loss of power."""

    def close(self) -> None:
        """Give the descriptor back; never raises."""


class Files(Protocol):
    """One flat directory, for those who only read."""

    def names(self) -> list[str]:
        """The names of all files."""

    def size(self, name: str) -> int:
        """Its bytes; 0 if it is not there."""

    def free(self) -> int:
        """Bytes that may still be written."""

    def read(self, name: str, offset: int = 0, length: int = -1) -> bytes:
        """The file from ``offset`` on, as many bytes as there are, at most ``length``; empty if it is not there."""

    def path_of(self, name: str) -> str | None:
        """Where it is, for a library that wants a path; None: it has none."""

    def close(self) -> None:
        """Let another daemon have it."""


class Directory(Files, Protocol):
    """One flat directory that nobody else writes to."""

    def create(self, name: str, size: int = 0) -> AppendFile:
        """A new file, whose name is safe when this returns: ``size`` zeros, which are its own on the disk."""

    def write_from(self, name: str, offset: int, *pieces: bytes) -> None:
        """Make these the file's content from ``offset``, at most its size, to its end; safe when this returns."""

    def replace(self, name: str, data: bytes) -> None:
        """Make this the file's content, the old or the new one at any moment; safe when this returns."""

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file, in place of one that has the new name; safe when this returns."""

    def remove(self, name: str) -> None:
        """Remove a file; after a loss of power it may be back."""


def remove_all(directory: Directory, names: Iterable[str]) -> OSError | None:
    """Remove files, up to the first that cannot be: what was wrong with that one."""
    try:
        for name in names:
            directory.remove(name)
    except OSError as error:
        return error
    return None


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class LocalAppendFile:
    """An `AppendFile` on a descriptor that stands at the file's beginning."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        _write_all(self._descriptor, data)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


class FoundDirectory:
    """
    The `Files` of a directory on disk, which it leaves as they are, whoever has it.

    Raises OSError if it is not there.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def is_taken(self) -> bool:
        """Whether a daemon has it just now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return False

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CLOEXEC, 0o600, dir_fd=self._descriptor)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._descriptor))

    def size(self, name: str) -> int:
        try:
            return os.stat(name, dir_fd=self._descriptor).st_size
        except FileNotFoundError:
            return 0

    def free(self) -> int:
        found = os.fstatvfs(self._descriptor)
        return found.f_bavail * found.f_frsize

    def read(self, name: str, offset: int = 0, length: int = -1) -> bytes:
        try:
            with open(self._open(name, os.O_RDONLY), "rb", buffering=0) as file:
                file.seek(offset)
                # One read gives at most 2 GiB and may give less; none of our files is that long.
                return file.readall() if length < 0 else file.read(length) or b""
        except FileNotFoundError:
            return b""

    def path_of(self, name: str) -> str:
        return os.path.join(self.path, name)

    def close(self) -> None:
        os.close(self._descriptor)


class LocalDirectory(FoundDirectory):
    """
    A `Directory` on disk, made if it is not there, and locked while it is open.

    Raises `ConfigurationFault` with one line if it cannot be used or another daemon has it.
    """

    def __init__(self, path: str) -> None:
        try:
            # Log entries are nobody else's business.
            os.makedirs(path, mode=0o700, exist_ok=True)
            super().__init__(path)
            self._try_to_write()
        except OSError as error:
            raise ConfigurationFault(f"{path}: cannot be used as the log directory: {error.strerror}") from None
        try:
            # On the directory itself: no lock file is left over, and the kernel lets go however the daemon ends.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise ConfigurationFault(f"{path}: another log daemon has this directory") from None

    def _try_to_write(self) -> None:
        """
        A directory that cannot be written to is noticed at the start, not at the first entry.

        One of a disk that takes nothing can still be read.
        """
        try:
            trial = os.path.join(self.path, f"writable.{os.getpid()}")
            os.close(os.open(trial, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            os.unlink(trial)
        except OSError as error:
            if error.errno not in _TAKES_NOTHING:
                os.close(self._descriptor)
                raise

    def create(self, name: str, size: int = 0) -> LocalAppendFile:
        descriptor = self._open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            if size:
                # A sync of what is written here later has no size to change and no blocks to find.
                os.posix_fallocate(descriptor, 0, size)
                os.fsync(descriptor)
            os.fsync(self._descriptor)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                self.remove(name)
            raise
        return LocalAppendFile(descriptor)

    def write_from(self, name: str, offset: int, *pieces: bytes) -> None:
        descriptor = self._open(name, os.O_CREAT | os.O_WRONLY)
        try:
            os.ftruncate(descriptor, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
            for piece in pieces:
                _write_all(descriptor, piece)
            os.fdatasync(descriptor)
            if offset == 0:  # perhaps new
                os.fsync(self._descriptor)
        finally:
            os.close(descriptor)

    def replace(self, name: str, data: bytes) -> None:
        aside = f"{name}.new"
        descriptor = self._open(aside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        try:
            _write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.rename(aside, name)

    def rename(self, name: str, new_name: str) -> None:
        os.rename(name, new_name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        os.fsync(self._descriptor)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self._descriptor)
