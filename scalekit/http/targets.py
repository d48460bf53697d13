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
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

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


def normalise(path: bytes) -> bytes:
    """The path with unreserved octets decoded and ``.`` and ``..`` segments removed (RFC 3986 section 6.2.2)."""
    if _ODD.search(path) is None:
        return path
    return _without_dots(_ESCAPE.sub(_decode_unreserved, path))


def readings(path: bytes) -> set[bytes]:
    """
    The paths that servers could take this one for: as it is, normalised, with ``%2f`` and backslashes as slashes, with
    repeated slashes merged, without ``;`` parameters.
    """
    if _ODD.search(path) is None:
        return {path}
    everything = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), path).replace(b"\\", b"/")
    merged = re.sub(rb"/++", b"/", everything)
    bare = re.sub(rb";[^/]*+", b"", merged)
    unescaped = _ESCAPE.sub(_decode_unreserved, path)
    found = {path, normalise(path), unescaped, everything, merged}
    return found | {_without_dots(each) for each in (everything, merged, bare, path.replace(b"\\", b"/"))}


def _decode_unreserved(match: re.Match[bytes]) -> bytes:
    octet = int(match[1], 16)
    return bytes([octet]) if octet in _UNRESERVED else match[0].upper()


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
