"""What the log has done since it was started: plain integers, read when metrics are asked for."""

from __future__ import annotations

from collections import Counter

#: Why entries are refused: see `scalekit.logs.journal.Unavailable`.
REFUSALS = ("disk", "disk-full", "journal-full", "memory", "stopping")


class Counts:
    """
    Entries unless said otherwise.

    :ivar accepted: acknowledged.
    :ivar refused: answered with 503, or not taken from a sink, by reason.
    :ivar rejected: malformed.
    :ivar restamped: sorted by when they were received, as the time that they said is not believable.
    :ivar untimed: likewise, as they said none.
    :ivar late: came when their place was already written.
    :ivar written: lines of ``log.txt``.
    :ivar written_late: lines of ``log.txt.late``.
    :ivar dropped: of this process, when a sink was full.
    :ivar repeated: of batches that were acknowledged before.
    :ivar over_budget: answered with 429.
    :ivar expired: removed with their volumes, by reason.
    :ivar redacted: secrets taken out of entries, by rule.
    :ivar quarantined: stretches of the journal that could not be read.
    :ivar sealed: volumes.
    :ivar indexed: volumes that got an index; `index_failures`: that did not; `index_damaged`: whose index failed.
    :ivar syslog: messages that came by syslog, by transport, as ``received``, and of them by the reason why they are
        not in the log: `scalekit.logs.syslog.intake.REASONS`.
    :ivar flushes: flushes, not entries; `flush_failures` likewise.
    """

    __slots__ = (
        "accepted",
        "dropped",
        "expired",
        "flush_failures",
        "flushes",
        "index_damaged",
        "index_failures",
        "indexed",
        "late",
        "over_budget",
        "quarantined",
        "redacted",
        "refused",
        "rejected",
        "repeated",
        "restamped",
        "sealed",
        "syslog",
        "untimed",
        "written",
        "written_late",
    )

    def __init__(self) -> None:
        self.accepted = 0
        self.dropped = 0
        self.flush_failures = 0
        self.flushes = 0
        self.index_damaged = 0
        self.index_failures = 0
        self.indexed = 0
        self.expired: Counter[str] = Counter()
        self.late = 0
        self.over_budget = 0
        self.quarantined = 0
        self.redacted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.rejected = 0
        self.repeated = 0
        self.restamped = 0
        self.sealed = 0
        self.syslog: dict[str, Counter[str]] = {name: Counter() for name in ("udp", "tcp", "tls")}
        self.untimed = 0
        self.written = 0
        self.written_late = 0

    def __repr__(self) -> str:
        found = ((name, getattr(self, name)) for name in self.__slots__)
        return f"<Counts {' '.join(f'{name}={dict(value) if name in _BY_NAME else value}' for name, value in found)}>"


_BY_NAME = ("expired", "redacted", "refused")
