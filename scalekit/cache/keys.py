"""
The key in a request's query: ``/?key=K``.

A key is raw bytes: K after percent-decoding, in which ``+`` is a space and ``%2B`` a plus sign, as HTML forms, Python's
``requests`` and Go write them.  Nothing else is normalised: case counts, and so does every byte of UTF-8.  Other names
in the query are left aside.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from scalekit.errors import ClientFault

# memcached takes 250 bytes; URLs with a query of their own serve as keys here.
LONGEST_KEY_BYTES = 1024

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def key_of(query: bytes) -> bytes:
    """
    The key in this query (what follows the ``?``).

    :raises ClientFault: 400 if there is none, an empty one, more than one, or an escape such as ``%4``; 413 if it is
        longer than `LONGEST_KEY_BYTES`.
    """
    found = []
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if _decoded(name) == b"key":
            found.append(value)
    if not found:
        raise ClientFault(400, "no-key", "The query has no key: ?key=K is missing.")
    if len(found) > 1:
        raise ClientFault(400, "double-key", "The query has more than one key; write & within a key as %26.")
    if _BAD_ESCAPE.search(found[0]):
        raise ClientFault(400, "bad-key", "The key has a % without two hexadecimal digits; write % as %25.")
    return check_key(_decoded(found[0]))


def check_key(key: bytes) -> bytes:
    """The key itself; raises `ClientFault` 400 if it is empty, 413 if it is longer than `LONGEST_KEY_BYTES`."""
    if not key:
        raise ClientFault(400, "empty-key", "The key is empty.")
    if len(key) > LONGEST_KEY_BYTES:
        raise ClientFault(413, "key-too-long", f"The key is longer than {LONGEST_KEY_BYTES} bytes.")
    return key


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
