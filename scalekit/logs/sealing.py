"""
Sealing a volume: its entries and its late ones become one sorted truth and one sorted text, compressed if wished.

The volume's own files stay as they are until the manifest is there, so a seal that was interrupted is done again.  Only
a truth that needs no change, as nothing was late, gets its new name at once; then the next seal finds it there.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from scalekit.logs.directory import Directory, Files
from scalekit.logs.order import EVER, NEVER
from scalekit.logs.records import Key, parse_key, parse_record
from scalekit.logs.volumes import Extent, Manifest, format_manifest, parse_manifest

# What is read at once, and what can be unpacked on its own of a compressed truth.
BLOCK_BYTES = 1024 * 1024
# Text of this kind shrinks to an eighth with it, and level 9 gains a hundredth for twice the time.
_GZIP_LEVEL = 6
_TEMPORARY = "sealing-"


class _Kept(NamedTuple):
    """A late line until it has found its place; these sort as the log does."""

    time: int
    sequence: int
    line: bytes


class _File:
    """A new file, which gets its name when it is whole; compressed in blocks that can be unpacked alone."""

    def __init__(self, directory: Directory, end: str, is_compressed: bool) -> None:
        self._directory = directory
        self._name = _TEMPORARY + end
        with contextlib.suppress(OSError):
            directory.remove(self._name)
        self._file = directory.create(self._name)
        self._is_compressed = is_compressed
        self._waiting = bytearray()
        self.blocks: list[int] = []
        self.length = 0
        self.crc = 0
        self.stored = 0

    def write(self, data: bytes) -> None:
        self.length += len(data)
        self.crc = zlib.crc32(data, self.crc)
        if not self._is_compressed:
            self._store(data)
            return
        self._waiting += data
        while len(self._waiting) >= BLOCK_BYTES:
            self._pack(bytes(self._waiting[:BLOCK_BYTES]))
            del self._waiting[:BLOCK_BYTES]

    def _pack(self, block: bytes) -> None:
        self.blocks.append(self.stored)
        packer = zlib.compressobj(_GZIP_LEVEL, wbits=31)  # a gzip member (RFC 1952 section 2.2)
        self._store(packer.compress(block) + packer.flush())

    def _store(self, data: bytes) -> None:
        self._file.write(data)
        self.stored += len(data)

    def finish(self, name: str) -> None:
        if self._waiting or (self._is_compressed and not self.blocks):
            self._pack(bytes(self._waiting))
        self._file.sync()
        self._file.close()
        self._directory.rename(self._name, name)


def blocks(directory: Files, name: str, length: int) -> Iterator[bytes]:
    """The first ``length`` bytes of a file, in pieces of whole lines."""
    position = 0
    rest = b""
    while position < length:
        piece = directory.read(name, position, min(BLOCK_BYTES, length - position))
        if not piece:
            break
        position += len(piece)
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            yield whole + newline
    if rest:
        yield rest + b"\n"


def survey(directory: Files, number: int) -> tuple[Extent, set[int]]:
    """
    What can be known of an open volume from its truth alone, and the sequence numbers of its entries.

    A line that is cut off at the end of a file does not count.
    """
    extent = Extent(number)
    numbers: set[int] = set()
    lengths = []
    first, last = EVER, NEVER
    last_on_time = NEVER
    for name in (extent.truth, extent.late_truth):
        length = _whole_lines(directory, name)
        lengths.append(length)
        for block in blocks(directory, name, length):
            for line in block.splitlines(keepends=True):
                key = parse_key(line)
                if key is not None:
                    numbers.add(key.Sequence)
                    first, last = min(first, key.time), max(last, key.time)
        if name == extent.truth:
            last_on_time = last
    return (
        msgspec.structs.replace(
            extent,
            began=last_on_time,
            entries=len(numbers),
            length=lengths[0],
            late_length=lengths[1],
            first_time=first,
            last_time=last,
            first_sequence=min(numbers, default=EVER),
            last_sequence=max(numbers, default=0),
        ),
        numbers,
    )


def _whole_lines(directory: Files, name: str) -> int:
    """How many bytes of a file are whole lines."""
    end = directory.size(name)
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        found = directory.read(name, start, end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def seal(directory: Directory, extent: Extent, name: str, is_compressed: bool) -> Manifest:
    """
    Make a sealed volume of this one; raises OSError.

    :param name: of its files, without their ends.
    """
    manifest = parse_manifest(directory.read(f"{name}.json"))
    if manifest is None:
        manifest = _make(directory, extent, name, is_compressed)
        directory.replace(f"{name}.json", format_manifest(manifest))
    there = set(directory.names())
    unneeded = [extent.truth, extent.late_truth, f"{name}.txt.late"]
    if manifest.blocks:
        unneeded += [f"{name}.ndjson", f"{name}.txt"]
    for left in unneeded:
        if left in there:
            directory.remove(left)
    return manifest


def _make(directory: Directory, extent: Extent, name: str, is_compressed: bool) -> Manifest:
    there = set(directory.names())
    plain = f"{name}.ndjson"
    source = extent.truth if extent.truth in there or plain not in there else plain
    late = _late_lines(directory, extent)
    ending = ".gz" if is_compressed else ""
    has_text = f"{name}.txt" in there and not late and not is_compressed
    text = None if has_text else _File(directory, "text", is_compressed)
    if late or is_compressed or source not in there:
        truth = _File(directory, "truth", is_compressed)
        _merge(directory, source, extent.length, late, truth.write, text)
        truth.finish(plain + ending)
        crc, length, block_starts, stored = truth.crc, truth.length, truth.blocks, truth.stored
    else:
        crc = length = 0
        block_starts = []
        for block in blocks(directory, source, extent.length):
            crc = zlib.crc32(block, crc)
            length += len(block)
            if text is not None:
                text.write(_text(block))
        stored = length
        if source != plain:
            directory.rename(source, plain)
    if text is not None:
        text.finish(f"{name}.txt{ending}")
    return Manifest(
        name,
        extent.number,
        extent.entries,
        length,
        crc,
        stored + directory.size(f"{name}.txt{ending}"),
        extent.first_time,
        extent.last_time,
        extent.first_sequence,
        extent.last_sequence,
        block_starts,
        BLOCK_BYTES if block_starts else 0,
    )


def _late_lines(directory: Directory, extent: Extent) -> list[_Kept]:
    data = directory.read(extent.late_truth, 0, extent.late_length)
    keys = ((parse_key(line), line) for line in data.splitlines(keepends=True))
    return sorted(_Kept(key.time, key.Sequence, line) for key, line in keys if key is not None)


def _merge(
    directory: Directory,
    source: str,
    length: int,
    late: list[_Kept],
    write: Callable[[bytes], None],
    text: _File | None,
) -> None:
    """Write the lines of both in order."""
    done = 0
    for block in blocks(directory, source, length):
        end = _last_key(block) if done < len(late) else None
        first = done
        while end is not None and done < len(late) and late[done][:2] <= (end.time, end.Sequence):
            done += 1
        if done > first:
            block = _merged(block, late[first:done])
        write(block)
        if text is not None:
            text.write(_text(block))
    rest = b"".join(kept.line for kept in late[done:])
    write(rest)
    if text is not None:
        text.write(_text(rest))


def _last_key(block: bytes) -> Key | None:
    """Of the last line that is not damaged."""
    keys = map(parse_key, reversed(block.splitlines()))
    return next((key for key in keys if key is not None), None)


def _merged(block: bytes, late: list[_Kept]) -> bytes:
    kept = []
    before: Key | None = None
    for line in block.splitlines(keepends=True):
        # A damaged line stays where it is: behind the one before it.
        before = key = parse_key(line) or before
        kept.append(_Kept(NEVER, 0, line) if key is None else _Kept(key.time, key.Sequence, line))
    return b"".join(entry.line for entry in sorted(kept + late, key=lambda entry: entry[:2]))


def _text(block: bytes) -> bytes:
    records = (parse_record(line) for line in block.splitlines())
    return "".join([record.text() for record in records if record is not None]).encode()
