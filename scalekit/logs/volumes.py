"""
The volumes of the sorted log: what their files are called, and what is known of each.

A volume is an hour of the log or `VOLUME_BYTES` of it.  It is *open* while entries are written to it, *closing* for a
grace in which late ones still get into it, and then *sealed*: merged with its late entries, sorted, never changed
again.  Its truth is NDJSON (`records`); beside it is the same as readable text.

==============  ==============================================  ================================================
volume          truth                                           text
==============  ==============================================  ================================================
open            ``open-NUMBER.ndjson``                          ``log.txt``
..  its late    ``open-NUMBER.late.ndjson``                     ``log.txt.late``
closing         as before                                       ``log-TIME-NUMBER.txt``, ``log-TIME-NUMBER.txt.late``
sealed          ``log-TIME-NUMBER.ndjson[.gz]``                 ``log-TIME-NUMBER.txt[.gz]``
==============  ==============================================  ================================================

TIME is the latest that an entry of it can have.  A sealed volume has a `Manifest` in ``log-TIME-NUMBER.json``, written
last: it is sealed exactly if this is there.  Later it may get an index, ``log-TIME-NUMBER.index``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from scalekit.logs.moments import clock_time
from scalekit.logs.order import EVER, NEVER

LOG = "log.txt"
LATE = "log.txt.late"
INDEX = ".index"
# Large enough that there are few files, small enough to be merged, indexed and looked through in seconds.
VOLUME_BYTES = 256 * 1024 * 1024
# What is late is sorted in memory when its volume is sealed.
LATE_BYTES = 32 * 1024 * 1024
# A volume ends with the hour even if it is small, so that retention by age has something to remove.
VOLUME_NANOSECONDS = 3600 * 1_000_000_000

_NAME = re.compile(r"log-[0-9]{8}T[0-9]{6}Z-([0-9]{8})")
_OPEN = re.compile(r"open-([0-9]{8})(?:\.late)?\.ndjson")


class Extent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is known of a volume that is not sealed yet; numbers and times are of its late entries as well.

    :ivar began: the watermark when something was first written to it.
    :ivar length: bytes of its truth; `late_length`: of its late entries' truth.
    :ivar text_length: bytes of its text; `late_text_length`: of its late entries' text.
    """

    number: int = 1
    began: int = NEVER
    entries: int = 0
    length: int = 0
    late_length: int = 0
    text_length: int = 0
    late_text_length: int = 0
    first_time: int = EVER
    last_time: int = NEVER
    first_sequence: int = EVER
    last_sequence: int = 0

    def is_full(self, watermark: int) -> bool:
        """Whether it is to end at this watermark."""
        if not self.entries:
            return False
        is_past = watermark // VOLUME_NANOSECONDS > self.began // VOLUME_NANOSECONDS
        return is_past or self.length >= VOLUME_BYTES or self.late_length >= LATE_BYTES

    @property
    def truth(self) -> str:
        """The file of its truth."""
        return f"open-{self.number:08d}.ndjson"

    @property
    def late_truth(self) -> str:
        """The file of its late entries' truth."""
        return f"open-{self.number:08d}.late.ndjson"


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    A volume that ended.

    :ivar until: the watermark at its end, nanoseconds: late entries up to it get into this volume.
    :ivar is_renamed: whether its text has its own name, and not ``log.txt`` any more.
    """

    extent: Extent
    until: int
    is_renamed: bool = False

    @property
    def name(self) -> str:
        """What its files are called when it is sealed."""
        return volume_name(self.extent.number, self.until)


class Manifest(msgspec.Struct, frozen=True):
    """
    What a sealed volume holds.

    :ivar length: bytes of its truth, not compressed; positions count in them.
    :ivar crc: CRC-32 of these bytes.
    :ivar stored: bytes of all its files on disk.
    :ivar blocks: where in the ``.gz`` file each `BLOCK_BYTES` of the truth begin; empty if it is not compressed.
    :ivar check: in the file alone, CRC-32 of what it is with 0 here; 0: it has none.
    """

    name: str
    number: int
    entries: int
    length: int
    crc: int
    stored: int
    first_time: int
    last_time: int
    first_sequence: int
    last_sequence: int
    blocks: list[int] = []
    block_bytes: int = 0
    check: int = 0

    @property
    def truth(self) -> str:
        """The file of its truth."""
        return f"{self.name}.ndjson{'.gz' if self.blocks else ''}"

    @property
    def index(self) -> str:
        """The file of its index, which may be made anew at any time (see `scalekit.logs.search`)."""
        return f"{self.name}{INDEX}"

    @property
    def files(self) -> tuple[str, ...]:
        """The names that its files may have, the manifest's first: they go together."""
        ends = (".json", ".ndjson", ".ndjson.gz", ".txt", ".txt.gz", ".txt.late", INDEX)
        return tuple(f"{self.name}{end}" for end in ends)


def volume_name(number: int, until: int) -> str:
    """The name of a sealed volume's files, without their ends."""
    day, _, time = clock_time(max(until, 0) // 1_000_000_000)[0].partition(" ")
    return f"log-{day.replace('-', '')}T{time.replace(':', '')}Z-{number:08d}"


def number_of(name: str) -> int | None:
    """The number of the volume that a file belongs to which is or will be a sealed one's; None for other files."""
    match = _NAME.match(name)
    return None if match is None else int(match[1])


def open_numbers(names: Iterable[str]) -> list[int]:
    """The numbers of the volumes that have files of open ones, in order."""
    return sorted({int(match[1]) for name in names if (match := _OPEN.fullmatch(name))})


_manifest_decoder = msgspec.json.Decoder(Manifest)


def format_manifest(manifest: Manifest) -> bytes:
    """What is in its file."""
    return msgspec.json.encode(replace(manifest, check=zlib.crc32(msgspec.json.encode(manifest))))


def parse_manifest(data: bytes) -> Manifest | None:
    """The manifest; None if it is damaged."""
    try:
        found = _manifest_decoder.decode(data)
    except ValueError:
        return None
    manifest = replace(found, check=0)
    if found.check and found.check != zlib.crc32(msgspec.json.encode(manifest)):
        return None
    return manifest if _is_possible(manifest) else None


def _is_possible(manifest: Manifest) -> bool:
    """Whether it can be read by this: its blocks are as many as its bytes take."""
    length, size, starts = manifest.length, manifest.block_bytes, manifest.blocks
    if length < 0 or not starts:
        return length >= 0 and not size
    return size > 0 and len(starts) == max(1, -(-length // size)) and starts == sorted(starts) and starts[0] == 0
