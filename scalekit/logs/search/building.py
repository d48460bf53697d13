"""
Making the index of a volume: ``python -m scalekit.logs.search.building DIRECTORY VOLUME FILE``.

A process of its own, so that neither the reactor nor what writes the log gives it a moment of theirs, and one that
gives way to all others.  It ends when its standard input does: with the daemon, however that went.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate

import msgspec

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.directory import Files, FoundDirectory
from scalekit.logs.entry import LEVELS
from scalekit.logs.reading import LogReader, volume_of
from scalekit.logs.records import Record, parse_record
from scalekit.logs.search.indexes import CHECKSUM_AT, about, checksum
from scalekit.logs.search.matching import texts_of
from scalekit.logs.search.scanning import PIECE_BYTES
from scalekit.logs.search.words import folded
from scalekit.logs.volumes import Manifest, parse_manifest

#: What FTS5 gathers in memory before it writes a piece of the index: eight pieces for a volume of 256 MiB, which are
#: quickly put together.
_GATHERED_BYTES = 32 * 1024 * 1024
#: As nice as can be: whoever waits for an entry's acknowledgement comes first.
_NICE = 19
#: Exit statuses: the volume is one that no index can be made of; the daemon has let go.
UNSUITABLE, LET_GO = 2, 3

_TABLES = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA locking_mode = EXCLUSIVE;
    CREATE TABLE about (version TEXT, length INTEGER, crc INTEGER, entries INTEGER);
    CREATE TABLE sources (source INTEGER PRIMARY KEY, name TEXT);
    CREATE TABLE entries (number INTEGER PRIMARY KEY, position INTEGER, length INTEGER, time INTEGER, level INTEGER,
        source INTEGER);
    CREATE VIRTUAL TABLE words USING fts5 (text, content = '', detail = none, columnsize = 0,
        tokenize = "ascii tokenchars '_'");
    INSERT INTO words (words, rank) VALUES ('hashsize', {_GATHERED_BYTES});
    BEGIN;
"""

_decode = msgspec.json.Decoder().decode
_decode_lines = msgspec.json.Decoder(Record).decode_lines
_RANKS = {level: rank for rank, level in enumerate(LEVELS)}


class Unsuitable(Exception):
    """There can be no index of this volume; the text says why."""


def build(files: Files, manifest: Manifest, path: str) -> None:
    """
    Make the index of a volume in a new file, and sync it.

    :raises Unsuitable: the volume is not what its manifest says.
    :raises OSError: it cannot be read.
    :raises sqlite3.Error: it cannot be written.
    """
    # What entries say is nobody else's business.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.executescript(_TABLES)
        sources: dict[str, int] = {}
        number = 1
        for position, whole in _batches(files, manifest):
            positions, lengths, times, records = _rows(position, whole)
            numbers = range(number, number + len(records))
            number = numbers.stop
            levels = [_RANKS.get(record.Level, 1) for record in records]
            places = [sources.setdefault(record.Source, len(sources)) for record in records]
            rows = zip(numbers, positions, lengths, times, levels, places, strict=True)
            connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", rows)
            texts = zip(numbers, map(_words, records), strict=True)
            connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", texts)
        connection.executemany("INSERT INTO sources (name, source) VALUES (?, ?)", sources.items())
        connection.execute("INSERT INTO about VALUES (?, ?, ?, ?)", about(manifest))
        connection.execute("COMMIT")
    finally:
        connection.close()
    _seal(path)


def _seal(path: str) -> None:
    directory, name = os.path.split(path)
    files = FoundDirectory(directory or ".")
    try:
        crc = checksum(files, name)
    finally:
        files.close()
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, crc.to_bytes(4), CHECKSUM_AT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _batches(files: Files, manifest: Manifest) -> Iterator[tuple[int, bytes]]:
    """The truth in whole lines, each piece with its position; raises `Unsuitable` at its end."""
    reader, volume = LogReader(files, Checkpoint, list), volume_of(manifest)
    crc = position = 0
    rest = b""
    while piece := reader.read(volume, position + len(rest), PIECE_BYTES):
        crc = zlib.crc32(piece, crc)
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if newline:
            yield position, whole
            position += len(whole) + 1
    if rest or (position, crc) != (manifest.length, manifest.crc):
        raise Unsuitable(f"{manifest.truth} is damaged: it is not what its manifest says")


def _rows(position: int, whole: bytes) -> tuple[list[int], list[int], list[int], list[Record]]:
    """Where the lines of a piece are, how long, their times, and what they say, without those that are damaged."""
    lines = whole.split(b"\n")
    lengths = [len(line) for line in lines]
    positions = list(accumulate((length + 1 for length in lengths[:-1]), initial=position))
    records: Sequence[Record | None]
    try:
        records = _decode_lines(whole)
        return positions, lengths, [record.time for record in records], records
    except ValueError:
        records = [parse_record(line) for line in lines]
    good = [place for place, record in enumerate(records) if record is not None]
    found = [record for record in records if record is not None]
    return [positions[n] for n in good], [lengths[n] for n in good], [record.time for record in found], found


def _words(record: Record) -> str:
    fields = bytes(record.Fields) if record.Fields else b""
    if b"\\" in fields:  # or they are the same words as they stand there
        return folded(" ".join((record.Source, record.Message, *texts_of(_decode(fields)))))
    return folded(f"{record.Source} {record.Message} {fields.decode()}")


def _end_with(descriptor: int) -> None:
    """End when this reaches its end."""
    while os.read(descriptor, 1):
        pass
    os._exit(LET_GO)


def main(arguments: Sequence[str]) -> int:
    """The process: its exit status; what is wrong is a line on the standard error."""
    directory, name, made = arguments
    threading.Thread(target=_end_with, args=(0,), daemon=True).start()
    os.nice(_NICE)
    files = FoundDirectory(directory)
    manifest = parse_manifest(files.read(f"{name}.json"))
    try:
        if manifest is None:
            raise Unsuitable(f"{name}.json cannot be read")
        build(files, manifest, files.path_of(made))
    except (Unsuitable, OSError, sqlite3.Error) as error:
        print(error, file=sys.stderr)
        return UNSUITABLE if isinstance(error, Unsuitable) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
