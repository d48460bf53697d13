"""
The lines of one volume: that each is one, that they are in order, what they make as text, and that they are what the
journal says.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from scalekit.logs.fsck.findings import Finding
from scalekit.logs.fsck.journal import Expected
from scalekit.logs.order import EVER, NEVER
from scalekit.logs.records import parse_record

#: Of one file: the first show what is wrong with it.
FINDINGS_LIMIT = 20


class LineCheck:
    """
    Takes the lines of one file of a volume's truth, one after the other.

    :param is_late: whether they are in the order in which they came.
    :param expected: of the journal, by sequence numbers.
    :param seen: the numbers of these that were found in any file; gets those of this one.
    :ivar crc: CRC-32 of all of them.
    """

    def __init__(self, file: str, expected: Mapping[int, Expected], seen: set[int], *, is_late: bool = False) -> None:
        self._file = file
        self._expected = expected
        self._seen = seen
        self._is_late = is_late
        self._key = (NEVER, 0)
        self._count = 0
        self.findings: list[Finding] = []
        self.crc = 0
        self.length = 0
        self.entries = 0
        self.first_time, self.last_time = EVER, NEVER
        self.first_sequence, self.last_sequence = EVER, 0

    def take(self, line: bytes) -> str:
        """The next line, without its newline; the text that it makes, empty for what is no line of the log."""
        position = self.length
        self.length += len(line) + 1
        crc = zlib.crc32(line)
        self.crc = zlib.crc32(b"\n", zlib.crc32(line, self.crc))
        record = parse_record(line)
        if record is None:
            self._find(position, "it cannot be read: a line that is damaged")
            return ""
        self.entries += 1
        sequence, time = record.Sequence, record.time
        self.first_time, self.last_time = min(self.first_time, time), max(self.last_time, time)
        self.first_sequence, self.last_sequence = min(self.first_sequence, sequence), max(self.last_sequence, sequence)
        if not self._is_late:
            if (time, sequence) <= self._key:
                self._find(position, "it comes after a later one: a line that is out of order")
            self._key = (time, sequence)
        expected = self._expected.get(sequence)
        if expected is not None:
            if sequence in self._seen:
                self._find(position, f"entry {sequence} is there twice")
            self._seen.add(sequence)
            if crc not in (expected.on_time, expected.late):
                self._find(position, f"entry {sequence} is another one in the journal")
        return record.text()

    def _find(self, position: int, what: str) -> None:
        self._count += 1
        if self._count < FINDINGS_LIMIT:
            self.findings.append(Finding(self._file, position, what))
        elif self._count == FINDINGS_LIMIT:
            self.findings.append(Finding(self._file, position, "and others after it"))
