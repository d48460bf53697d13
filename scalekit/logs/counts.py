"""What the log has done since it was started: plain integers, read when metrics are asked for."""

from __future__ import annotations


class Counts:
    """
    Entries unless said otherwise.

    :ivar accepted: acknowledged.
    :ivar refused: answered with 503, or not taken from a sink.
    :ivar rejected: malformed.
    :ivar restamped: sorted by when they were received, as they said nothing believable.
    :ivar late: came when their place was already written.
    :ivar written: lines of ``log.txt``.
    :ivar written_late: lines of ``log.txt.late``.
    :ivar dropped: of this process, when a sink was full.
    :ivar flushes: flushes, not entries; `flush_failures` likewise.
    """

    __slots__ = (
        "accepted",
        "dropped",
        "flush_failures",
        "flushes",
        "late",
        "refused",
        "rejected",
        "restamped",
        "written",
        "written_late",
    )

    def __init__(self) -> None:
        self.accepted = 0
        self.dropped = 0
        self.flush_failures = 0
        self.flushes = 0
        self.late = 0
        self.refused = 0
        self.rejected = 0
        self.restamped = 0
        self.written = 0
        self.written_late = 0

    def __repr__(self) -> str:
        return f"<Counts {' '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)}>"
