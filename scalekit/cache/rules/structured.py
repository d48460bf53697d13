"""
Dictionaries of structured fields (RFC 9651 section 4.2.2), as far as cache directives need them: integers and booleans
are values, of everything else it is only known that it is there and well-formed.
"""

from __future__ import annotations

import re

_KEY = rb"[a-z*][a-z0-9_\-.*]*+"
_INTEGER = re.compile(rb"-?[0-9]{1,15}(?![0-9.])")
_BARE = (
    rb'(?:-?[0-9]{1,12}\.[0-9]{1,3}(?![0-9.])|-?[0-9]{1,15}(?![0-9.])|"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*+"'
    rb"|[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*+|:[A-Za-z0-9+/=]*+:|\?[01]|@-?[0-9]{1,15}"
    rb'|%"(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*+")'
)
_PARAMETERS = rb"(?:;[ ]*+" + _KEY + rb"(?:=" + _BARE + rb")?+)*+"
_ITEM = _BARE + _PARAMETERS
_INNER_LIST = rb"\([ ]*+(?:" + _ITEM + rb"(?:[ ]++|(?=\))))*+\)" + _PARAMETERS
_MEMBER = re.compile(
    rb"(" + _KEY + rb")(?:=(" + _BARE + rb")" + _PARAMETERS + rb"|=(" + _INNER_LIST + rb")|" + _PARAMETERS + rb")"
)
_BETWEEN = re.compile(rb"[ \t]*+,[ \t]*+(?!\Z)")

#: The value of a member: an integer, a boolean, or, for everything else, its bytes as they came.
Value = int | bool | bytes


def dictionary(value: bytes) -> dict[bytes, Value] | None:
    """
    The members of a dictionary, of a key that comes twice the last one; None if it is none.

    Parameters are left aside.
    """
    value = value.strip(b" ")
    found: dict[bytes, Value] = {}
    place = 0
    while place < len(value):
        member = _MEMBER.match(value, place)
        if member is None:
            return None
        key, bare, inner = member.groups()
        found.pop(key, None)
        found[key] = inner if inner is not None else True if bare is None else _value(bare)
        place = member.end()
        if place == len(value):
            break
        between = _BETWEEN.match(value, place)
        if between is None:
            return None
        place = between.end()
    return found


def _value(bare: bytes) -> Value:
    if bare in (b"?0", b"?1"):
        return bare == b"?1"
    return int(bare) if _INTEGER.fullmatch(bare) else bare
