"""
Which sealed volumes go: the oldest ones, by age, by bytes, and by the room that is left on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scalekit.logs.volumes import Manifest

REASONS = ("age", "bytes", "free-space")


class Rules(NamedTuple):
    """
    What is kept.

    :ivar age: nanoseconds that an entry is kept at least, where the others allow it; 0: for ever.
    :ivar stored: bytes that all sealed volumes may take; 0: any.
    :ivar free: bytes of the disk that are to stay free; 0: none.
    """

    age: int = 0
    stored: int = 0
    free: int = 0


class Removal(NamedTuple):
    """A volume to remove, and why."""

    manifest: Manifest
    reason: str


def plan_removals(volumes: Sequence[Manifest], rules: Rules, now: int, free: int) -> list[Removal]:
    """
    What to remove of these volumes, oldest first.

    :param volumes: the sealed ones, oldest first.
    :param now: nanoseconds since the epoch.
    :param free: bytes free on the disk.
    """
    removals = []
    stored = sum(volume.stored for volume in volumes)
    for volume in volumes:
        if rules.age and volume.last_time < now - rules.age:
            reason = "age"
        elif rules.stored and stored > rules.stored:
            reason = "bytes"
        elif free < rules.free:
            reason = "free-space"
        else:
            break
        removals.append(Removal(volume, reason))
        stored -= volume.stored
        free += volume.stored
    return removals
