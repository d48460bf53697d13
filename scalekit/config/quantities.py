"""
Durations and sizes as people write them.

Durations are a number and a unit (``250ms``, ``5s``, ``2m``, ``1.5h``, ``1d``); a bare number is refused, because half
of the world means seconds by it and the other half milliseconds.  Sizes are binary (``64KiB``, ``1GiB``) or plain
bytes; ``KB`` and ``K`` are refused, because nobody agrees whether they mean 1,000 or 1,024.
"""

from __future__ import annotations

import re
from decimal import Decimal

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# Ten years, the bound for a lifetime in the cache: more is a mistake in the unit, and far more
# would overflow the arithmetic of clocks.
LONGEST_SECONDS = 10 * 365 * 86400.0

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,30})?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE = re.compile(r"([0-9]{1,18})(|B|KiB|MiB|GiB|TiB)", re.ASCII)
_BYTES = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": 1024 * GIB}


def parse_duration(text: str) -> float:
    """
    The seconds that this text means.

    :raises ValueError: it is no duration, or longer than ten years.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    number, unit = match.groups()
    # Divided, not multiplied by 0.001: 9 / 1000 is the float nearest to 0.009, 9 * 0.001 is not.
    seconds = float(number) / 1000 if unit == "ms" else float(number) * _SECONDS[unit]
    if seconds > LONGEST_SECONDS:
        raise ValueError(text)
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest exact text for these seconds: `parse_duration` gives them back."""
    if seconds and seconds == int(seconds):
        for unit in ("d", "h", "m"):
            if seconds % _SECONDS[unit] == 0:
                return f"{int(seconds) // _SECONDS[unit]}{unit}"
        return f"{int(seconds)}s"
    if round(seconds * 1000) / 1000 == seconds and seconds:
        return f"{round(seconds * 1000)}ms"
    return f"{Decimal(repr(seconds)):f}s" if seconds else "0s"


def parse_size(text: str) -> int:
    """
    The bytes that this text means.

    :raises ValueError: it is no size.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    number, unit = match.groups()
    return int(number) * _BYTES[unit]


def format_size(size: int) -> str:
    """The shortest exact text for this many bytes: `parse_size` gives them back."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)


def size_for_people(size: float) -> str:
    """Such as 3.1 MiB: in the largest unit of which there is one, never broken between lines."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f}\u00a0{unit}" if size >= 10 or unit == "B" else f"{size:.1f}\u00a0{unit}"
        size /= 1024
    return f"{size:.1f}\u00a0TiB"
