"""
Volumes: each one's lines, and the text, manifest and index that go with them.

A sealed truth has a checksum in its manifest.  An open one has its text beside it, and the journal for as long as that
keeps what it has.  Of compressed files a few bits mean nothing, those between a block's end and its checksum: they are
not looked at.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.directory import Files
from scalekit.logs.fsck.findings import Finding, note
from scalekit.logs.fsck.journal import Expected
from scalekit.logs.fsck.lines import LineCheck
from scalekit.logs.order import EVER
from scalekit.logs.reading import LogReader, volume_of
from scalekit.logs.sealing import BLOCK_BYTES, blocks
from scalekit.logs.search.indexes import Index, Unusable
from scalekit.logs.volumes import LATE, LOG, Extent, Manifest, format_manifest, number_of, parse_manifest

_PIECE_BYTES = 1024 * 1024
#: RFC 1952 section 2.3: that of all blocks that we write.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


class Known(NamedTuple):
    """
    What the files of volumes are compared with.

    :ivar expected: of the journal, by sequence numbers.
    :ivar seen: those of them that were found in a volume.
    """

    files: Files
    expected: Mapping[int, Expected]
    seen: set[int]


class Checked(NamedTuple):
    """What was found in a volume; times are nanoseconds since the epoch."""

    findings: list[Finding]
    entries: int
    first_time: int


class _TextCheck:
    """
    Compares a text with what it should be, piece by piece, up to the first difference.

    :param pieces: the text.
    """

    def __init__(self, file: str, pieces: Iterator[bytes]) -> None:
        self._file = file
        self._pieces = pieces
        self._there = b""
        self._wanted: list[str] = []
        self._size = 0
        self._position = 0
        self.findings: list[Finding] = []

    def take(self, text: str) -> None:
        """What comes next."""
        self._wanted.append(text)
        self._size += len(text)
        if self._size >= _PIECE_BYTES:
            self._compare()

    def _compare(self) -> None:
        wanted = "".join(self._wanted).encode()
        self._wanted, self._size = [], 0
        while len(self._there) < len(wanted) and (piece := next(self._pieces, b"")):
            self._there += piece
        there, self._there = self._there[: len(wanted)], self._there[len(wanted) :]
        if there != wanted and not self.findings:
            same = next(
                (n for n, both in enumerate(zip(there, wanted, strict=False)) if both[0] != both[1]), len(there)
            )
            what = "it is not what the lines of the volume make as text" if there else "it is missing, or ends here"
            self.findings.append(Finding(self._file, self._position + same, what))
        self._position += len(wanted)

    def finish(self) -> list[Finding]:
        """There is no more."""
        self._compare()
        if (self._there or next(self._pieces, b"")) and not self.findings:
            self.findings.append(Finding(self._file, self._position, "it has more text than the volume has lines"))
        return self.findings


def check_sealed(known: Known, name: str) -> Checked:
    """
    A volume by the name of its manifest.

    :raises OSError: a file of it cannot be read.
    """
    files, stem = known.files, name.removesuffix(".json")
    data = files.read(name)
    manifest = parse_manifest(data)
    if manifest is None:
        return Checked([Finding(name, None, "it cannot be read; a start makes it anew")], 0, 0)
    check = LineCheck(manifest.truth, known.expected, known.seen)
    findings: list[Finding] = []
    end = ".txt.gz" if manifest.blocks else ".txt"
    text_name = stem + end
    text = _TextCheck(text_name, _text_pieces(files, text_name, findings))
    for _, line in LogReader(files, Checkpoint, list).lines(volume_of(manifest)):
        text.take(check.take(line))
    for start in manifest.blocks:
        findings += _header(files, manifest.truth, start)
    findings += check.findings
    if (check.length, check.crc) != (manifest.length, manifest.crc):
        what = f"its checksum is wrong: {check.length} bytes of {manifest.length} can be read, and say something else"
        findings.append(Finding(manifest.truth, None, what))
    elif not manifest.blocks and files.size(manifest.truth) > manifest.length:
        findings.append(Finding(manifest.truth, manifest.length, "it has more than its manifest says"))
    findings += text.finish()
    findings += _about_manifest(files, name, data, manifest, check, files.size(manifest.truth) + files.size(text_name))
    if files.size(manifest.index):
        try:
            Index.open(files, manifest).close()
        except Unusable as error:
            findings.append(Finding(manifest.index, None, f"{error}; it is made anew when it is used"))
    return Checked(findings, check.entries, check.first_time)


def _about_manifest(
    files: Files, name: str, data: bytes, manifest: Manifest, check: LineCheck, stored: int
) -> list[Finding]:
    found: dict[str, str | int | None] = {
        "name": name.removesuffix(".json"),
        "number": number_of(name),
        "entries": check.entries,
        "stored": stored,
        "block_bytes": BLOCK_BYTES if manifest.blocks else 0,
    }
    if check.entries:
        found |= {
            "first_time": check.first_time,
            "last_time": check.last_time,
            "first_sequence": check.first_sequence,
            "last_sequence": check.last_sequence,
        }
    wrong = [key for key, value in found.items() if getattr(manifest, key) != value]
    if wrong:
        what = f"its {', '.join(wrong)} are not those of the volume; without it, a start makes it anew"
        return [Finding(name, None, what)]
    if format_manifest(manifest) != data:
        return [Finding(name, None, "it is not written as the log does it; without it, a start makes it anew")]
    return []


def _header(files: Files, name: str, start: int) -> list[Finding]:
    if files.read(name, start, len(_GZIP_HEADER)) == _GZIP_HEADER:
        return []
    return [Finding(name, start, "the head of a compressed block is not one that the log writes")]


def _text_pieces(files: Files, name: str, findings: list[Finding]) -> Iterator[bytes]:
    """The text of a file; ``findings`` gets what is wrong with how it is compressed."""
    position = 0
    member = None
    while piece := files.read(name, position, _PIECE_BYTES):
        if not name.endswith(".gz"):
            position += len(piece)
            yield piece
            continue
        if member is None:
            findings += _header(files, name, position)
            member = zlib.decompressobj(wbits=31)
        try:
            content = member.decompress(piece)
        except zlib.error as error:
            findings.append(Finding(name, position, f"it cannot be unpacked from here: {error}"))
            return
        position += len(piece) - len(member.unused_data)
        if content:
            yield content
        if member.eof:
            member = None
    if member is not None:
        findings.append(Finding(name, position, "it ends within a compressed block"))


def check_open(known: Known, checkpoint: Checkpoint) -> list[Checked]:
    """The open volume, and the one before it while it is not sealed."""
    volume, closing = checkpoint.volume, checkpoint.closing
    if closing is None:
        return [_check_extent(known, volume, LOG, LATE)]
    there = set(known.files.names())
    name, extent = closing.name, closing.extent
    if not closing.is_renamed:
        return [_check_extent(known, extent, LOG, LATE)]
    after = _check_extent(known, volume, LOG, LATE)
    if f"{name}.json" in there:  # sealed, and the checkpoint does not know it yet
        return [after]
    if not there.isdisjoint((f"{name}.ndjson", f"{name}.ndjson.gz")):
        # Its text may be the new one already, and its truth have its new name.
        truth = extent.truth if extent.truth in there else f"{name}.ndjson"
        before = _check_lines(known, (truth, extent.length), (extent.late_truth, extent.late_length))
        before.findings.append(note(f"{name}.ndjson", None, "its volume was being sealed; a start does it"))
        return [before, after]
    return [_check_extent(known, extent, f"{name}.txt", f"{name}.txt.late"), after]


def _check_extent(known: Known, extent: Extent, text: str, late_text: str) -> Checked:
    findings: list[Finding] = []
    first_time = extent.first_time
    entries = 0
    for name, length, text_name, text_length, is_late in (
        (extent.truth, extent.length, text, extent.text_length, False),
        (extent.late_truth, extent.late_length, late_text, extent.late_text_length, True),
    ):
        check = LineCheck(name, known.expected, known.seen, is_late=is_late)
        length, text_length = (
            _fitting(known.files, *each, findings) for each in ((name, length), (text_name, text_length))
        )
        compared = _TextCheck(text_name, _up_to(known.files, text_name, text_length))
        for line in _lines(blocks(known.files, name, length)):
            compared.take(check.take(line))
        findings += check.findings + compared.finish()
        entries += check.entries
    if entries != extent.entries:
        findings.append(note(extent.truth, None, f"{entries} entries, and once {extent.entries} were written"))
    return Checked(findings, entries, first_time)


def _fitting(files: Files, name: str, length: int, findings: list[Finding]) -> int:
    """How much of a file counts: as much as the checkpoint says, if it is there."""
    size = files.size(name)
    if size < length:
        what = f"{length - size} bytes are missing by the checkpoint; a start goes on at its end"
        findings.append(Finding(name, size, what))
    elif size > length:
        what = f"{size - length} bytes do not count, as the checkpoint does not know them; a start takes them off"
        findings.append(note(name, length, what))
    return min(size, length)


def check_unknown(known: Known, numbers: Iterable[int]) -> list[Checked]:
    """Volumes that are not sealed, without a checkpoint that says how far they are."""
    size = known.files.size
    extents = [Extent(number) for number in numbers]
    return [
        _check_lines(known, (one.truth, size(one.truth)), (one.late_truth, size(one.late_truth))) for one in extents
    ]


def _check_lines(known: Known, on_time: tuple[str, int], late: tuple[str, int]) -> Checked:
    """Of a truth and of its late entries: names and lengths."""
    findings: list[Finding] = []
    entries = 0
    first_time = EVER
    for (name, length), is_late in ((on_time, False), (late, True)):
        check = LineCheck(name, known.expected, known.seen, is_late=is_late)
        for line in _lines(blocks(known.files, name, length)):
            check.take(line)
        if check.length < length:
            findings.append(Finding(name, check.length, f"{length - check.length} bytes are missing"))
        findings += check.findings
        entries += check.entries
        first_time = min(first_time, check.first_time)
    return Checked(findings, entries, first_time)


def _up_to(files: Files, name: str, length: int) -> Iterator[bytes]:
    position = 0
    while position < length and (piece := files.read(name, position, min(_PIECE_BYTES, length - position))):
        position += len(piece)
        yield piece


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from piece[:-1].split(b"\n")
