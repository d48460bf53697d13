"""
Files of frames that survive damage: each frame begins with a magic and has a checksum.  Pure.

`scan` goes over damage: it looks for the next magic that begins a whole frame, so that one bad sector costs the frames
it hit and not those after them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Damage(NamedTuple):
    """Bytes of a file that are no frame, from ``start`` to ``end``."""

    start: int
    end: int


def scan(
    data: bytes, magic: bytes, decode_at: Callable[[memoryview, int], tuple[T, int] | None]
) -> tuple[list[T], list[Damage]]:
    """
    All good frames, in order, and what lies between and after them; zeros after the last frame are no damage.

    :param decode_at: (data, start) -> the frame that begins there, and where it ends; None if none does.
    """
    frames: list[T] = []
    damages: list[Damage] = []
    view = memoryview(data)
    used = len(data.rstrip(b"\0"))
    position = 0
    while position < used:
        found = decode_at(view, position)
        if found is None:
            start = position
            while found is None and position >= 0:
                position = data.find(magic, position + 1)
                found = decode_at(view, position) if position >= 0 else None
            damages.append(Damage(start, used if found is None else position))
            if found is None:
                break
        frame, position = found
        frames.append(frame)
    return frames, damages
