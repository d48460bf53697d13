"""
The rule that makes a crash exact: *an entry is already written exactly if its sequence number is at most c and its time
is at most Wc*.

A checkpoint is made after the lines of a release are on disk, and holds the last sequence number c that was in the
buffer then, the release's watermark Wc, and the lengths of all files that are written to.  A start cuts the files to
these lengths and replays the journal by the rule: what was written without being in a checkpoint is cut off and written
again.

Why it holds: an entry with a number up to c was in the buffer.  At or below Wc it was released, or had been late and
was written with the late ones.  Above Wc it stayed.  An entry after c was in none of the releases.  So no state is
kept for a single entry.

Two checkpoints are kept, the older for the case that the newer cannot be read; the journal keeps what the older needs,
and so do the volumes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from scalekit.logs.order import NEVER
from scalekit.logs.volumes import Closing, Extent


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    How far the files are.

    :ivar generation: how many checkpoints there have been; the greater one counts.
    :ivar sequence: c.
    :ivar watermark: Wc, nanoseconds since the epoch.
    :ivar journal: the number of the journal's first segment that holds what is not written.
    :ivar volume: the open one.
    :ivar closing: the one before it, until it is sealed.
    """

    generation: int = 0
    sequence: int = 0
    watermark: int = NEVER
    journal: int = 0
    volume: Extent = Extent()
    closing: Closing | None = None

    def is_written(self, sequence: int, time: int) -> bool:
        """Whether the entry of this number and effective time is in a volume."""
        return sequence <= self.sequence and time <= self.watermark

    def encode(self) -> bytes:
        """A line of JSON and a line with its CRC-32."""
        document = msgspec.json.encode(self)
        return b"%s\n%08x\n" % (document, zlib.crc32(document))


class Unwritten(NamedTuple):
    """
    What is in no volume, as a start has found it that had no checkpoint; until there is one that says so.

    :ivar above: all numbers above this one.
    :ivar others: and these.
    :ivar left: volumes that ended and cannot be sealed, as nothing can be written.
    """

    above: int
    others: frozenset[int]
    left: tuple[Extent, ...] = ()

    def has(self, sequence: int) -> bool:
        """Whether the entry of this number is in no volume."""
        return sequence > self.above or sequence in self.others


_decoder = msgspec.json.Decoder(Checkpoint)


def decode_checkpoint(data: bytes) -> Checkpoint | None:
    """The checkpoint; None if it is damaged."""
    document, _, rest = data.partition(b"\n")
    if rest != b"%08x\n" % zlib.crc32(document):
        return None
    try:
        return _decoder.decode(document)
    except ValueError:
        return None


def newest(candidates: Iterable[bytes]) -> Checkpoint | None:
    """The readable checkpoint of the greatest generation; None if there is none."""
    readable = [checkpoint for data in candidates if (checkpoint := decode_checkpoint(data)) is not None]
    return max(readable, key=lambda checkpoint: checkpoint.generation, default=None)
