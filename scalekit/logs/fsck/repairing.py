"""
What ``--repair`` does: what a start of the daemon does, at once for the whole journal, and indexes.

Nothing that can be read is ever removed: damaged frames are kept in ``quarantine-`` files, and what the volumes do not
have of the journal is written to them.
"""

from __future__ import annotations

import contextlib
import sqlite3

from scalekit.logs.directory import Directory
from scalekit.logs.frames import scan
from scalekit.logs.journal import Segment, segment_numbers
from scalekit.logs.output import CHECKPOINTS
from scalekit.logs.quarantine import keep_damage
from scalekit.logs.reading import manifests
from scalekit.logs.recovery import recover
from scalekit.logs.search.building import Unsuitable, build
from scalekit.logs.search.indexes import Index, Unusable
from scalekit.logs.search.indexing import ASIDE, WORTH_BYTES
from scalekit.logs.volumes import INDEX


def repair(directory: Directory, delay: int, now: int, *, is_compressed: bool = False) -> list[str]:
    """
    Sentences on what was done.

    :param delay: for how long late entries are waited for, in nanoseconds.
    :param now: nanoseconds since the epoch.
    :param is_compressed: whether a volume that has to be sealed now is compressed.
    :raises OSError: the disk cannot be read or written.
    """
    found = recover(directory, delay, is_compressed=is_compressed)
    done = found.findings
    # A start looks at what is not written alone.
    for number in segment_numbers(directory.names()):
        name = Segment(number).name
        data = directory.read(name)
        for damage in scan(data)[1]:
            keep_damage(directory, name, data, damage, done)
    count = 0
    for _ in CHECKPOINTS:  # the second time nothing is left, and the other checkpoint is good again as well
        count += sum(found.output.write(found.buffer.release(now), found.sequence))
    if count:
        done.append(f"{count} entries that only the journal had are in their volume")
    return done + _indexes(directory)


def _indexes(directory: Directory) -> list[str]:
    done = []
    found = {manifest.index: manifest for manifest in manifests(directory)}
    for name in directory.names():
        if name == ASIDE or (name.endswith(INDEX) and name not in found):
            directory.remove(name)
            done.append(f"{name} is removed, as it is of no volume")
    for name, manifest in found.items():
        is_there = bool(directory.size(name))
        if is_there:
            try:
                Index.open(directory, manifest).close()
                continue
            except Unusable:
                directory.remove(name)
        path = directory.path_of(ASIDE)
        if path is None or (not is_there and manifest.length < WORTH_BYTES):
            continue
        try:
            build(directory, manifest, path)
        except (Unsuitable, sqlite3.Error) as error:
            done.append(f"{name} cannot be made: {error}")
            with contextlib.suppress(FileNotFoundError):
                directory.remove(ASIDE)
        else:
            directory.rename(ASIDE, name)
            done.append(f"{name} is made anew")
    return done
