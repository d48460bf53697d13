"""Parts of a representation: the one range of a Range field (RFC 9110 section 14)."""

from __future__ import annotations

import re

_ONE_RANGE = re.compile(rb"bytes=[ \t,]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t,]*\Z", re.IGNORECASE)


class UnsatisfiableRange(Exception):
    """Nothing of the representation is within the range: 416."""


def byte_range(value: bytes, length: int) -> tuple[int, int] | None:
    """
    The first and the last byte that this Range asks for, of a representation of so many bytes.

    None if all of it is to be sent: another unit, a broken value, or several ranges, which a server may leave aside
    (section 14.2).

    :raises UnsatisfiableRange: section 15.5.17.
    """
    match = _ONE_RANGE.match(value.strip(b" \t"))
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if not int(suffix) or not length:
            raise UnsatisfiableRange
        return max(0, length - int(suffix)), length - 1
    begin, end = int(first), length - 1 if last is None else min(int(last), length - 1)
    if last is not None and int(last) < begin:
        return None  # section 14.1.1: invalid, so ignored
    if begin >= length:
        raise UnsatisfiableRange
    return begin, end
