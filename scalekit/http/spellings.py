"""What names of fields mean, by their spelling: most need not be looked at twice."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")

#: Spellings are few; whoever invents them by the thousand only loses the short cut.
MOST_SPELLINGS = 1024
#: No field that is registered with IANA has a longer name.
LONGEST_BYTES = 63


def remember(known: dict[bytes, T], name: bytes, meaning: T) -> T:
    """Note what this name means, unless many are known already, or it is long; returns the meaning."""
    if len(known) < MOST_SPELLINGS and len(name) <= LONGEST_BYTES:
        known[name] = meaning
    return meaning
