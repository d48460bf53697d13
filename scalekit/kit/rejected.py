"""Batches that the collector does not want, kept for somebody to look at."""

from __future__ import annotations

import contextlib
import os

from scalekit.kit.spool import Batch

# Enough to see what is wrong, and no disk full of it.
REJECTED_BYTES = 16 * 1024 * 1024


class Rejected:
    """
    Files ``CLIENT-NUMBER.ndjson``, and the answer beside each as ``.txt``; the oldest go when there are too many.

    :param directory: made when it is needed.
    :ivar count: batches, of this process.
    """

    def __init__(self, directory: str, limit_bytes: int = REJECTED_BYTES) -> None:
        self.directory = directory
        self._limit = limit_bytes
        self.count = 0

    def keep(self, batch: Batch, cause: str) -> None:
        """Raises OSError."""
        self.count += 1
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        path = os.path.join(self.directory, f"{batch.client}-{batch.number}")
        for end, content in ((".txt", f"{cause}\n".encode("utf-8", "replace")), (".ndjson", batch.lines)):
            with open(path + end, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(content)
        self._make_room()

    def _make_room(self) -> None:
        found = []
        for entry in os.scandir(self.directory):
            with contextlib.suppress(FileNotFoundError):  # another process of the same source makes room too
                status = entry.stat()
                found.append((status.st_mtime_ns, entry.path, status.st_size))
        size = sum(each[2] for each in found)
        for _, path, freed in sorted(found)[:-2]:
            if size <= self._limit:
                break
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            size -= freed

    def __repr__(self) -> str:
        return f"<Rejected {self.count} batches>"
