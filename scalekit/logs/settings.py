"""
What can be configured of a collector, and the bounds that it works by.
"""

from __future__ import annotations

from typing import NamedTuple

from scalekit.logs.journal import SEGMENT_BYTES
from scalekit.logs.retention import Rules
from scalekit.logs.upkeep import GRACE_SECONDS

# Enough for 200,000 entries a second over the two seconds and a bit that one waits; beyond it: 503.
MEMORY_BYTES = 96 * 1024 * 1024
# How long entries wait at most that are due: a flush costs four syncs, so at leisure it gathers for its interval.
TICK_SECONDS = 0.25
# From here on every tick is a flush.
HURRY_BYTES = 8 * 1024 * 1024
# What one flush takes at most: as objects and lines it is ten times as much, and takes a tenth of a second to format.
FLUSH_BYTES = 4 * 1024 * 1024
# Of what is written, the journal keeps this much for those who read it on from a sequence number.
JOURNAL_BYTES = 64 * 1024 * 1024
# What an entry takes in the volumes, as JSON and as text, for each byte that it takes while it waits.
LINES_PER_BYTE = 3
# Left alone, whatever is taken: for checkpoints, and for others who need the disk.
RESERVE_BYTES = 64 * 1024 * 1024


class Settings(NamedTuple):
    """
    What can be configured of a collector.

    :ivar memory_bytes: entries that wait for their place may take; beyond it they are refused.
    :ivar reserve_bytes: entries are refused when less of the disk is free.
    :ivar journal_bytes: of what is written already, the journal keeps.
    :ivar source_rate: entries a second that each source may write; 0: any.
    :ivar is_compressed: whether sealed volumes are.
    """

    delay_seconds: float = 2.0
    flush_seconds: float = 2.0
    memory_bytes: int = MEMORY_BYTES
    reserve_bytes: int = RESERVE_BYTES
    journal_bytes: int = JOURNAL_BYTES
    segment_bytes: int = SEGMENT_BYTES
    grace_seconds: float = GRACE_SECONDS
    source_rate: float = 0.0
    is_compressed: bool = False
    rules: Rules = Rules()


DEFAULTS = Settings()
