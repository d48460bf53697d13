"""Cookies of a request (RFC 6265)."""

from __future__ import annotations

from scalekit.http.heads import Fields, values_of


def cookie_value(fields: Fields, name: bytes) -> bytes | None:
    """
    The value of a cookie, as it came; None without it.

    Of several with this name the first: the one with the longest path (RFC 6265 section 5.4).
    """
    for line in values_of(fields, b"cookie"):
        for pair in line.split(b";"):
            found, mark, value = pair.partition(b"=")
            if mark and found.strip() == name:
                return value.strip()
    return None
