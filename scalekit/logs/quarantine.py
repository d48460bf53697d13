"""
What of the journal cannot be read is kept in files of its own, for somebody to look at, and counted once.
"""

from __future__ import annotations

from scalekit.logs.directory import Directory
from scalekit.logs.frames import Damage

_PREFIX = "quarantine-"
# A disk that goes bad may damage everything; the first pieces show what is wrong with it.
FILE_LIMIT = 64
# Of one piece: a frame is seldom longer.
PIECE_BYTES = 1024 * 1024


def keep_damage(directory: Directory, segment: str, data: bytes, damage: Damage, findings: list[str]) -> bool:
    """
    Keep damaged bytes of a segment; whether they were not known before.

    :param data: the whole segment.
    :param findings: gets a sentence.
    """
    name = f"{_PREFIX}{segment}-{damage.start}"
    names = directory.names()
    if name in names:
        return False
    sentence = f"{segment}: {damage.end - damage.start} bytes at {damage.start} are torn or damaged; left out"
    if sum(other.startswith(_PREFIX) for other in names) >= FILE_LIMIT:
        findings.append(f"{sentence} (there are {FILE_LIMIT} files of such bytes already)")
        return True
    try:
        directory.replace(name, data[damage.start : damage.end][:PIECE_BYTES])
    except OSError as error:
        findings.append(f"{sentence} ({error.strerror})")
    else:
        findings.append(f"{sentence}, kept in {name}")
    return True
