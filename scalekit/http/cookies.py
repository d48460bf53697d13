"""Cookies of a request (RFC 6265)."""

from __future__ import annotations

from scalekit.http.heads import Fields, values_of

#: Of who has logged in to a page of ours.  A browser sends it to every https port of its host (RFC 6265 section 8.5),
#: also to where others answer: they may not see it.
SESSION_COOKIE = b"__Host-scalekit-session"


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


def without_cookie(line: bytes, name: bytes) -> bytes:
    """A Cookie field's value without the cookies of this name; empty if that is all of it."""
    return b";".join(pair for pair in line.split(b";") if pair.partition(b"=")[0].strip() != name).strip()
