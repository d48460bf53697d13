"""
What a client would rather have: Accept and Accept-Encoding (RFC 9110 section 12), as pure functions over field values.

Both fields are lists of ``item;q=weight``.  A weight that breaks the grammar makes the whole field count as absent for
content (any type will do) and as "identity only" for codings: the plain form is the one that every client can read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# RFC 9110 section 12.4.2; three digits at most.
_WEIGHT = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_CODING = re.compile(_TOKEN + rb"\Z")
_MEDIA_RANGE = re.compile(_TOKEN + b"/" + _TOKEN + rb"\Z")


def weights(value: bytes, item: re.Pattern[bytes]) -> dict[bytes, float] | None:
    """
    A weighted list as ``{lower-case item: weight from 0.0 to 1.0}``; None if it breaks the grammar.

    Of an item that stands there twice the higher weight counts.  Parameters other than ``q`` are not looked at.
    """
    found: dict[bytes, float] = {}
    for element in value.split(b","):
        name, *parameters = element.split(b";")
        name = name.strip(b" \t").lower()
        if not name and not parameters:
            continue  # RFC 9110 section 5.6.1: empty list elements are to be ignored
        if not item.match(name):
            return None
        weight = 1.0
        for parameter in parameters:
            key, _, text = parameter.strip(b" \t").partition(b"=")
            if key in (b"q", b"Q"):
                if not _WEIGHT.match(text):
                    return None
                weight = float(text)
        found[name] = max(weight, found.get(name, 0.0))
    return found


def media_weight(accept: bytes | None, media_type: bytes) -> float:
    """How much a client wants this (lower-case) type, 0.0 to 1.0; the most exact range of its Accept counts."""
    ranges = weights(accept, _MEDIA_RANGE) if accept else None
    if not ranges:
        return 1.0
    kind = media_type.partition(b"/")[0] + b"/*"
    for candidate in (media_type, kind, b"*/*"):
        if candidate in ranges:
            return ranges[candidate]
    return 0.0


def prefers_text(accept: bytes | None) -> bool:
    """Whether an error should be told to this client as text/plain instead of application/problem+json."""
    if not accept or b"text/" not in accept.lower():
        return False  # the usual case, before any parsing
    as_json = max(media_weight(accept, b"application/problem+json"), media_weight(accept, b"application/json"))
    return media_weight(accept, b"text/plain") > as_json


def pick_coding(accept_encoding: bytes | None, offered: Sequence[bytes]) -> bytes | None:
    """
    The content coding to use for a client with this Accept-Encoding (RFC 9110 section 12.5.3).

    :param offered: codings we can make, lower case, the one we like best first.
    :return: one of ``offered``; None: send it as it is (identity).

    The highest weight wins; of equal weights our order decides, and identity loses a tie (nobody who lists a coding
    minds getting it).  ``identity;q=0`` with nothing else acceptable still means identity: an answer beats a 406.
    """
    if not accept_encoding:
        return None
    wanted = weights(accept_encoding, _CODING)
    if not wanted:
        return None
    other = wanted.get(b"*", 0.0)
    if b"gzip" not in wanted and b"x-gzip" in wanted:
        wanted[b"gzip"] = wanted[b"x-gzip"]  # RFC 9110 section 8.4.1.3: the same thing
    best, best_weight = None, 0.0
    for coding in offered:
        weight = wanted.get(coding, other)
        if weight > best_weight:
            best, best_weight = coding, weight
    # Identity is acceptable unless refused, but only an explicit weight makes it preferred to a coding.
    if best is not None and wanted.get(b"identity", 0.0) > best_weight:
        return None
    return best
