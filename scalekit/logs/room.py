"""
Whether there is room on the disk for what the log takes; whoever reads the daemon's own log is told when that changes.
"""

from __future__ import annotations

from twisted.logger import Logger

from scalekit.logs.directory import Directory
from scalekit.logs.settings import LINES_PER_BYTE, Settings

_log = Logger()


class Room:
    """
    On the disk of a directory.

    :ivar is_short: less is free than the reserve and what is needed for all that was taken.
    :ivar free_bytes: at the last look.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.is_short = False
        self.free_bytes = 0

    def look(self, directory: Directory, waiting_bytes: int) -> None:
        """
        Look again.  A disk that cannot be asked has no room: what was taken is written all the same, if it can be.

        :param waiting_bytes: what was taken, and is not yet in the volumes.
        """
        settings = self._settings
        needed = settings.reserve_bytes + settings.segment_bytes + LINES_PER_BYTE * waiting_bytes
        why: OSError | None = None
        try:
            free = directory.free()
        except OSError as found:
            free, why = 0, found
        self.free_bytes = free
        was_short, self.is_short = self.is_short, free < needed
        if why is not None:
            if not was_short:
                _log.error("the log's disk does not say what is free; entries are refused: {why}", why=why)
        elif self.is_short and not was_short:
            text = "the log's disk is nearly full: {free} bytes are free, {needed} are needed; entries are refused"
            _log.error(text, free=free, needed=needed)
        elif was_short and not self.is_short:
            _log.info("the log's disk has room again, {free} bytes; entries are taken", free=free)

    def __repr__(self) -> str:
        return f"<Room: {self.free_bytes} bytes{', too few' if self.is_short else ''}>"
