"""
What cannot be read is kept for somebody to look at: of the journal in files of its own, each counted once; of what
clients send, malformed entries in ``quarantine-lines.txt``.
"""

from __future__ import annotations

from collections import Counter

from twisted.logger import Logger

from scalekit.framing import Damage
from scalekit.logs.bodies import Batch
from scalekit.logs.directory import Directory
from scalekit.logs.entry import Entry
from scalekit.logs.line import format_line
from scalekit.logs.redaction import redact
from scalekit.logs.threads import Lane

PREFIX = "quarantine-"
# A disk that goes bad may damage everything; the first pieces show what is wrong with it.
FILE_LIMIT = 64
# Of one piece: a frame is seldom longer.
PIECE_BYTES = 1024 * 1024
LINES = "quarantine-lines.txt"
# A client that is wrong is wrong all the time: the first thousand lines tell how, and who removes the file sees more.
LINES_BYTES = 1024 * 1024
# Of one line.
LINE_LENGTH = 1000

_log = Logger()


def damage_name(segment: str, damage: Damage) -> str:
    """The file that damaged bytes of a segment are kept in."""
    return f"{PREFIX}{segment}-{damage.start}"


def keep_damage(directory: Directory, segment: str, data: bytes, damage: Damage, findings: list[str]) -> bool:
    """
    Keep damaged bytes of a segment; whether they were not known before.

    :param data: the whole segment.
    :param findings: gets a sentence.
    """
    name = damage_name(segment, damage)
    names = directory.names()
    if name in names:
        return False
    sentence = f"{segment}: {damage.end - damage.start} bytes at {damage.start} are torn or damaged; left out"
    if sum(other.startswith(PREFIX) for other in names) >= FILE_LIMIT:
        findings.append(f"{sentence} (there are {FILE_LIMIT} files of such bytes already)")
        return True
    try:
        directory.replace(name, data[damage.start : damage.end][:PIECE_BYTES])
    except OSError as error:
        findings.append(f"{sentence} ({error.strerror})")
    else:
        findings.append(f"{sentence}, kept in {name}")
    return True


class MalformedEntries:
    """
    Keeps what clients send and nobody can read, at leisure: not while others are still being kept.

    :param lane: where it writes.
    """

    def __init__(self, directory: Directory, lane: Lane) -> None:
        self._directory = directory
        self._lane = lane
        self._is_busy = False

    def keep(self, batch: Batch, time: int) -> None:
        """See `keep_lines`."""
        if self._is_busy:
            return
        self._is_busy = True
        keeping = self._lane.run(lambda: keep_lines(self._directory, batch, time))
        keeping.addErrback(lambda failure: _log.warn("malformed entries are not kept: {error}", error=failure.value))
        keeping.addCallback(self._kept)

    def _kept(self, _: None) -> None:
        self._is_busy = False

    def __repr__(self) -> str:
        return f"<MalformedEntries {'busy' if self._is_busy else 'idle'}>"


def keep_lines(directory: Directory, batch: Batch, time: int) -> None:
    """
    Keep the malformed entries of a batch, each as a line with what is wrong, without secrets; raises OSError.

    :param time: when they came, in nanoseconds since the epoch.
    """
    size = directory.size(LINES)
    if size >= LINES_BYTES:
        return
    entries = [
        Entry(time, "WARN", f"line {number}", f"{error} {raw[:LINE_LENGTH].decode(errors='backslashreplace')}")
        for (number, error), raw in zip(batch.rejected, batch.bad, strict=True)
    ]
    cleaned = redact(entries, Counter())
    lines = [format_line(time, entry.level, entry.source, entry.message) for entry in cleaned]
    directory.write_from(LINES, size, "".join(lines).encode())
