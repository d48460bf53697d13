"""
The grammar of HTTP/1.1 heads (RFC 9110 section 5, RFC 9112 sections 3, 4, 5) as named regular expressions.

Every quantifier that could be re-tried is possessive (``++``, ``*+``), so each expression is linear in its input
whatever that input is; the naive form of `FIELDS` takes seconds on ``X:`` followed by spaces and a NUL.
"""

from __future__ import annotations

import re

from scalekit.http.limits import METHOD_BYTES

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
VISIBLE = rb"\x21-\x7e\x80-\xff"
FIELD_NAME = TOKEN + rb"++"
FIELD_VALUE = rb"(?:[" + VISIBLE + rb"]++(?:[ \t]++(?=[" + VISIBLE + rb"]))?+)*+"

#: One field line; ``findall`` over a block gives ``(name, value)`` pairs.  What is no field line is swallowed to the
#: end by the second branch and shows as a last pair with an empty name, so one pass both splits and proves the block.
FIELDS = re.compile(rb"(" + FIELD_NAME + rb"):[ \t]*+(" + FIELD_VALUE + rb")[ \t]*+\r\n|[\x00-\xff]++")

#: Targets hold visible ASCII but ``#``: a fragment never travels (RFC 9110 section 4.2.5), and servers differ on it.
TARGET = rb"[\x21\x22\x24-\x7e]++"
METHOD = TOKEN + rb"{1,%d}+" % METHOD_BYTES
REQUEST_LINE = re.compile(rb"(" + METHOD + rb") (" + TARGET + rb") HTTP/1\.([01])\r\n")
ANY_VERSION_LINE = re.compile(METHOD + rb" " + TARGET + rb" HTTP/[0-9]\.[0-9]\r\n")
#: The space before an empty reason phrase is often left out by servers (RFC 9112 section 4 wants it).
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t \x21-\x7e\x80-\xff]*+))?\r\n")

#: Digits only, at most 19 of them: fits in 64 bits; no sign, no list, no ``_`` (Python's int would take those).
CONTENT_LENGTH = re.compile(rb"[0-9]{1,19}")

#: uri-host [":" port] (RFC 3986 section 3.2) without user information, escapes and sub-delims: no name in DNS has any,
#: ``ex%61mple`` would pass by a route that its reader applies, and ``a,b`` is two hosts in X-Forwarded-Host.
AUTHORITY = re.compile(rb"([A-Za-z0-9\-._~]++|\[[0-9A-Fa-f:.]++\])(?::([0-9]{1,5}))?")
ABSOLUTE_FORM = re.compile(rb"([Hh][Tt][Tt][Pp][Ss]?)://([^/?]*+)([/?].*+)?", re.DOTALL)

BARE_LF = re.compile(rb"(?<!\r)\n")

#: chunk-size with an optional extension (RFC 9112 section 7.1); no white space, at most 16 digits.
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(;[\t \x21-\x7e\x80-\xff]++)?\r\n")

#: A run of whole chunks of one to nine bytes, and the data of each in it: what costs most for its bytes, at once.
SMALL_CHUNKS = re.compile(
    b"(?:%b)++" % b"|".join(rb"%d\r\n[\x00-\xff]{%d}\r\n" % (size, size) for size in range(1, 10)),
)
SMALL_CHUNK = re.compile(
    rb"[1-9]\r\n(%b)\r\n" % b"|".join(rb"(?<=%d\r\n)[\x00-\xff]{%d}" % (size, size) for size in range(1, 10)),
)

TOKEN_LIST_ITEM = re.compile(TOKEN + rb"++")

#: One protocol in Upgrade (RFC 9110 section 7.8), such as ``websocket`` or ``HTTP/2.0``; longer ones nobody speaks.
PROTOCOL = re.compile(TOKEN + rb"{1,64}+(?:/" + TOKEN + rb"{1,64}+)?+")


def tokens(value: bytes) -> list[bytes] | None:
    """The lower-case tokens of a ``#token`` list such as Connection's; None if it is no such list."""
    items = [item.strip(b" \t").lower() for item in value.split(b",")]
    # RFC 9110 section 5.6.1.2: a recipient accepts empty elements.
    items = [item for item in items if item]
    return items if all(TOKEN_LIST_ITEM.fullmatch(item) for item in items) else None
