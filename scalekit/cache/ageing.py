"""
How long a client wants something kept, and how stale it takes it: the ``Cache-Control`` of its requests.

The syntax is RFC 9111 section 5.2: directives separated by commas, an argument as a token or quoted.  The lifetime is
``max-age=N`` or, as in the tutorial, ``maxage=N``; the stale windows after it are ``stale-while-revalidate=N`` and
``stale-if-error=N`` (RFC 5861).  Other directives are left aside, except ``no-store``, which contradicts the request
to store itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from scalekit.errors import ClientFault

# Ten years.  The tutorial passes nanoseconds by mistake; a day of them would be 2.7 million years.
LONGEST_SECONDS = 10 * 365 * 24 * 3600

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
# An empty member is allowed (RFC 9110 section 5.6.1).  Possessive throughout: no input makes it go back.
_MEMBER = re.compile(
    rb"[ \t]*+(?:(" + _TOKEN + rb")(?:=(?:(" + _TOKEN + rb')|"((?:[^"\\]|\\.)*+)"))?+)?+[ \t]*+(?:,|\Z)', re.DOTALL
)
_AGE, _REVALIDATE, _ERROR = b"max-age", b"stale-while-revalidate", b"stale-if-error"
_KINDS = {_AGE: _AGE, b"maxage": _AGE, _REVALIDATE: _REVALIDATE, _ERROR: _ERROR}


class Lifetimes(NamedTuple):
    """
    Seconds, each at most `LONGEST_SECONDS`.

    :ivar max_age: for which it is fresh.
    :ivar while_revalidating: after that, for which it may be served stale while it is made anew.
    :ivar if_error: after ``max_age``, for which it may be served stale where that has failed.
    """

    max_age: float
    while_revalidating: float = 0.0
    if_error: float = 0.0


def lifetimes(values: Iterable[bytes], default: float | None = None) -> Lifetimes:
    """
    What a request to store asks for.

    :param values: all Cache-Control fields of the request.
    :param default: what to take if they give no age; None: that is an error.
    :raises ClientFault: 400 if the age is absent, if a number is negative, not whole, or given twice with different
        values, and if the field cannot be read or holds ``no-store``.
    """
    given: dict[bytes, int] = {}
    for name, argument in _directives(b",".join(values)):
        if name == b"no-store":
            raise ClientFault(400, "no-store", "Cache-Control says no-store, but this is a request to store.")
        kind = _KINDS.get(name)
        if kind is not None:
            seconds = _seconds(name, argument)
            if given.setdefault(kind, seconds) != seconds:
                raise ClientFault(400, "bad-age", "Cache-Control gives several different ages.")
    max_age: float | None = given.get(_AGE, default)
    if max_age is None:
        raise ClientFault(400, "no-age", "Cache-Control: max-age=N (in seconds) is missing.")
    return Lifetimes(min(max_age, LONGEST_SECONDS), given.get(_REVALIDATE, 0), given.get(_ERROR, 0))


def takes_stale(values: Iterable[bytes]) -> bool:
    """Whether a request says that its client has nothing better: it holds ``stale-if-error`` (RFC 5861 section 4)."""
    return any(name == _ERROR for name, _ in _directives(b",".join(values)))


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
