"""What is in a log that nobody writes to: is all there that was acknowledged, once, and in order?"""

from __future__ import annotations

from collections.abc import Iterable

from bench.log_writers import Written
from bench.logged import Found
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.output import read_checkpoint
from scalekit.logs.reading import LogReader
from scalekit.logs.records import parse_record


def examine(path: str, written: Iterable[Written]) -> Found:
    """Read all volumes of a log that nobody writes to, and compare them with what was acknowledged."""
    acknowledged = {f"{run.label}-{number}": count for run in written for number, count in enumerate(run.acknowledged)}
    found: dict[str, bytearray] = {}
    entries = twice = disorder = 0
    directory = LocalDirectory(path)
    checkpoint = read_checkpoint(directory)
    if checkpoint is None:
        return Found(0, sum(acknowledged.values()), 0, 0)
    reader = LogReader(directory, lambda: checkpoint, list)
    for volume in reader.volumes():
        for is_late in (False, True):
            before = (0, 0)
            for _, line in reader.lines(volume, is_late=is_late):
                record = parse_record(line)
                if record is None:
                    continue
                key = (record.time, record.Sequence)
                disorder += key < before and not is_late
                before = key
                entries += 1
                label, number = record.Message.split(" ", 2)[:2]
                seen = found.setdefault(label, bytearray())
                place = int(number)
                if place >= len(seen):
                    seen.extend(bytes(place + 1 - len(seen)))
                twice += seen[place]
                seen[place] = 1
    directory.close()
    lost = sum(count - sum(found.get(label, b"")[:count]) for label, count in acknowledged.items())
    return Found(entries, lost, twice, disorder)
