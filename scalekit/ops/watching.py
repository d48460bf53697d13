"""`FileWatch`: whether files have changed since they were read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# What tells one content from another; None: there is no such file.
_Stamp = tuple[int, int, int, int] | None


class FileWatch:
    """
    To be asked now and then.

    What is looked at is the file behind symbolic links: certbot and Kubernetes put a new link in the old one's place.
    """

    def __init__(self) -> None:
        self._read: dict[Path, _Stamp] = {}
        self._seen: dict[Path, _Stamp] = {}

    def have_read(self, files: Iterable[Path]) -> None:
        """Note how these files are now; to be called before they are read, so that no change is missed."""
        self._read = {file: _stamp(file) for file in files}

    def has_changed(self) -> bool:
        """
        Whether they differ from what was read, and are as they were when this was last asked.

        Files that belong together are replaced one after the other: who reads in between finds halves.
        """
        now = {file: _stamp(file) for file in self._read}
        is_settled, self._seen = now == self._seen, now
        return is_settled and now != self._read


def _stamp(file: Path) -> _Stamp:
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
