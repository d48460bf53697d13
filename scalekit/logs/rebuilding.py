"""
Manifests that are damaged or missing, made anew from the volumes that they are of.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

from scalekit.logs.directory import Directory
from scalekit.logs.records import parse_key
from scalekit.logs.sealing import BLOCK_BYTES, blocks
from scalekit.logs.volumes import Manifest, format_manifest, number_of, parse_manifest


class _Member(NamedTuple):
    """A compressed block: where it begins, and what is in it."""

    start: int
    content: bytes


def rebuild_manifests(directory: Directory, unsealed: Collection[int], findings: list[str]) -> None:
    """
    Make those that cannot be read; raises OSError.

    :param unsealed: the numbers of volumes that have no manifest yet.
    :param findings: gets a sentence for each.
    """
    there = set(directory.names())
    for truth in sorted(there):
        name, _, ending = truth.partition(".")
        number = number_of(truth)
        if number is None or number in unsealed or ending not in ("ndjson", "ndjson.gz"):
            continue
        if parse_manifest(directory.read(f"{name}.json")) is None:
            manifest = _rebuilt(directory, name, truth, ending == "ndjson.gz")
            directory.replace(f"{name}.json", format_manifest(manifest))
            findings.append(f"{name}.json was damaged or missing; made anew of {manifest.entries} entries")


def _rebuilt(directory: Directory, name: str, truth: str, is_compressed: bool) -> Manifest:
    starts: list[int] = []
    crc = length = 0
    times: list[int] = []
    numbers: list[int] = []
    entries = 0
    rest = b""
    for start, content in _members(directory, truth) if is_compressed else _pieces(directory, truth):
        starts.append(start)
        crc = zlib.crc32(content, crc)
        length += len(content)
        whole, _, rest = (rest + content).rpartition(b"\n")
        keys = [key for line in whole.splitlines() if (key := parse_key(line)) is not None]
        entries += len(keys)
        if keys:
            times += [keys[0].time, keys[-1].time]
            numbers += [min(key.Sequence for key in keys), max(key.Sequence for key in keys)]
    text = f"{name}.txt{'.gz' if is_compressed else ''}"
    return Manifest(
        name,
        number_of(name) or 0,
        entries,
        length,
        crc,
        directory.size(truth) + directory.size(text),
        min(times, default=0),
        max(times, default=0),
        min(numbers, default=0),
        max(numbers, default=0),
        starts if is_compressed else [],
        BLOCK_BYTES if is_compressed else 0,
    )


def _pieces(directory: Directory, truth: str) -> Iterator[_Member]:
    position = 0
    for block in blocks(directory, truth, directory.size(truth)):
        yield _Member(position, block)
        position += len(block)


def _members(directory: Directory, truth: str) -> Iterator[_Member]:
    position = 0
    while True:
        member = zlib.decompressobj(wbits=31)
        # What cannot be made smaller becomes a little larger (RFC 1951 section 3.2.4, RFC 1952 section 2.3).
        packed = directory.read(truth, position, BLOCK_BYTES + BLOCK_BYTES // 1000 + 100)
        try:
            content = member.decompress(packed)
        except zlib.error:
            return
        if not member.eof:  # its end, or cut off
            return
        yield _Member(position, content)
        position += len(packed) - len(member.unused_data)
