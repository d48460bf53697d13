"""
Request targets and authorities (RFC 9112 section 3.2): which host is meant, and which path decides the route.

The path is forwarded as it came; it is routed by `normalise`.  `readings` lists what servers that decode differently
could take it for, so that a router can refuse a path whose readings lie on different routes.
"""

from __future__ import annotations

import re

from scalekit.errors import ClientFault
from scalekit.http.grammar import ABSOLUTE_FORM, AUTHORITY

#: What makes a path worth a closer look; without any of these it is its own normal form.
_ODD = re.compile(rb"%|/\.|\\|//|;")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SLASHES = re.compile(rb"/{2,}+")
_PARAMETERS = re.compile(rb";[^/]*+")

#: The two digits of every escape and what it becomes: itself in capitals, or the unreserved octet.
_NORMAL: dict[bytes, bytes] = {}
#: The same, with every octet decoded.
_DECODED: dict[bytes, bytes] = {}
for _high in b"0123456789ABCDEFabcdef":
    for _low in b"0123456789ABCDEFabcdef":
        _digits = bytes((_high, _low))
        _octet = int(_digits, 16)
        _DECODED[_digits] = bytes([_octet])
        _NORMAL[_digits] = bytes([_octet]) if _octet in _UNRESERVED else b"%" + _digits.upper()

_good_authorities: set[bytes] = set()
#: A proxy sees a few names over and over; 1,024 of at most 300 bytes bound the memory.  Emptied when full.
_MOST_AUTHORITIES = 1024


def check_authority(authority: bytes) -> None:
    """
    Refuse what is no ``host[:port]``.

    :raises ClientFault: 400 for user information, spaces, slashes, an empty name, a port over 65535.
    """
    if authority in _good_authorities:
        return
    match = AUTHORITY.fullmatch(authority)
    if match is None or (match[2] is not None and int(match[2]) > 65535) or len(authority) > 300:
        raise ClientFault(400, "bad-host", "The host is not of the form name[:port].")
    if len(_good_authorities) >= _MOST_AUTHORITIES:
        _good_authorities.clear()
    _good_authorities.add(authority)


def split_absolute(target: bytes, method: bytes) -> tuple[bytes, bytes]:
    """
    Take an absolute-form target apart.

    :returns: the authority and the target in origin form (``*`` for OPTIONS without a path).
    :raises ClientFault: 400 if it is no absolute http(s) URI.
    """
    match = ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise ClientFault(400, "bad-target", "The request target is neither a path nor an http(s) URI.")
    authority, rest = match[2], match[3] or b""
    check_authority(authority)
    if not rest and method == b"OPTIONS":
        return authority, b"*"
    return authority, rest if rest.startswith(b"/") else b"/" + rest


def is_plain(path: bytes) -> bool:
    """Whether every server takes the path for the same one: no escapes, dot segments, backslashes, ``//``, ``;``."""
    return _ODD.search(path) is None


def normalise(path: bytes) -> bytes:
    """
    The path with unreserved octets decoded and ``.`` and ``..`` segments removed (RFC 3986 section 6.2.2).

    A ``%`` that begins no escape becomes ``%25``; else decoding what follows it could make a new one of it.
    """
    if _ODD.search(path) is None:
        return path
    return _without_dots(_unescaped(path, _NORMAL, b"%25"))


def readings(path: bytes) -> set[bytes]:
    """
    The paths that servers could take this one for: normalised, with ``%2f`` and backslashes as slashes, with repeated
    slashes merged, without ``;`` parameters.  An unreserved octet is the same with and without its escape (RFC 3986
    section 6.2.2.2): nobody who differs on that is asked.
    """
    if _ODD.search(path) is None:
        return {path}
    unescaped = _unescaped(path, _NORMAL, b"%25")
    everything = _unescaped(path, _DECODED, b"%").replace(b"\\", b"/")
    merged = _SLASHES.sub(b"/", everything)
    # "/;/admin" is "//admin" without its parameters, and that "/admin".
    bare = _SLASHES.sub(b"/", _PARAMETERS.sub(b"", merged))
    found = {unescaped, everything, merged, bare}
    return found | {_without_dots(each) for each in (*found, unescaped.replace(b"\\", b"/"))}


def _unescaped(path: bytes, table: dict[bytes, bytes], percent: bytes) -> bytes:
    """The path with escapes replaced by the table; ``percent`` takes the place of a ``%`` that begins none."""
    if b"%" not in path:
        return path
    first, *rest = path.split(b"%")
    found = [first]
    get = table.get
    for piece in rest:
        octet = get(piece[:2])
        if octet is None:
            found += (percent, piece)
        else:
            found += (octet, piece[2:])
    return b"".join(found)


def _without_dots(path: bytes) -> bytes:
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            if len(kept) > 1:
                kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/".join(kept) or b"/"
