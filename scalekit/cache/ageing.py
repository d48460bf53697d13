"""
How long a client wants something kept: the ``Cache-Control`` of a store request.

The syntax is RFC 9111 section 5.2: directives separated by commas, an argument as a token or quoted.  The lifetime is
``max-age=N`` or, as in the tutorial, ``maxage=N``; other directives are left aside, except ``no-store``, which
contradicts the request itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from scalekit.errors import ClientFault

# Ten years.  The tutorial passes nanoseconds by mistake; a day of them would be 2.7 million years.
LONGEST_SECONDS = 10 * 365 * 24 * 3600

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
# An empty member is allowed (RFC 9110 section 5.6.1).  Possessive throughout: no input makes it go back.
_MEMBER = re.compile(
    rb"[ \t]*+(?:(" + _TOKEN + rb")(?:=(?:(" + _TOKEN + rb')|"((?:[^"\\]|\\.)*+)"))?+)?+[ \t]*+(?:,|\Z)', re.DOTALL
)
_AGES = (b"max-age", b"maxage")


def max_age(values: Iterable[bytes], default: float | None = None) -> float:
    """
    The lifetime in seconds, at most `LONGEST_SECONDS`.

    :param values: all Cache-Control fields of the request.
    :param default: what to take if they give none; None: that is an error.
    :raises ClientFault: 400 if it is absent, negative, not a whole number, or given twice with different values, and if
        the field cannot be read or holds ``no-store``.
    """
    ages = set()
    for name, argument in _directives(b",".join(values)):
        if name == b"no-store":
            raise ClientFault(400, "no-store", "Cache-Control says no-store, but this is a request to store.")
        if name in _AGES:
            ages.add(_seconds(name, argument))
    if len(ages) > 1:
        raise ClientFault(400, "bad-age", "Cache-Control gives several different ages.")
    if ages:
        return ages.pop()
    if default is None:
        raise ClientFault(400, "no-age", "Cache-Control: max-age=N (in seconds) is missing.")
    return min(default, LONGEST_SECONDS)


def _directives(value: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    """Each directive's lower-case name and its argument, unquoted; None without one."""
    place = 0
    while place < len(value):
        member = _MEMBER.match(value, place)
        if member is None:
            raise ClientFault(400, "bad-cache-control", f"Cache-Control cannot be read from its byte {place} on.")
        place = member.end()
        name, token, quoted = member.groups()
        if name is not None:
            yield name.lower(), token if quoted is None else re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL)


def _seconds(name: bytes, argument: bytes | None) -> int:
    if argument is None or not argument.isdigit():
        shown = (argument or b"nothing").decode("latin-1")[:40]
        raise ClientFault(
            400, "bad-age", f"Cache-Control: {name.decode()} is {shown!r}, not a whole number of seconds."
        )
    digits = argument.lstrip(b"0")
    # Ten digits are 30 years at least; int() of thousands of them would take its time.
    return LONGEST_SECONDS if len(digits) >= 10 else min(int(digits or b"0"), LONGEST_SECONDS)
