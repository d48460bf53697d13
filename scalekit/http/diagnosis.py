"""Why a head is refused: looked for only after the grammar has said no, in one pass each."""

from __future__ import annotations

import re

from scalekit.errors import ClientFault
from scalekit.http.grammar import ANY_VERSION_LINE, BARE_LF, FIELDS, METHOD, TOKEN
from scalekit.http.limits import METHOD_BYTES, REQUEST_LINE_BYTES

_STARTS_LIKE_REQUEST = re.compile(METHOD + rb"(?: |\Z)")


def of_request_line(data: bytes) -> ClientFault:
    """The fault of bytes whose first line is no HTTP/1.0 or 1.1 request line."""
    newline = data.find(b"\n")
    if newline > REQUEST_LINE_BYTES or (newline < 0 and len(data) > REQUEST_LINE_BYTES):
        return ClientFault(414, "target-too-long", f"The request line is over {REQUEST_LINE_BYTES} bytes.")
    if ANY_VERSION_LINE.match(data):
        return ClientFault(505, "version-not-supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if newline >= 0 and data[newline - 1 : newline] != b"\r":
        return ClientFault(400, "bare-lf", "A line ends in LF without CR.")
    return ClientFault(400, "bad-request-line", "The first line is not: method, space, target, space, HTTP/1.1.")


def of_beginning(data: bytes) -> ClientFault | None:
    """The fault of bytes that cannot become a request line any more (a TLS hello, say); None while they can."""
    if _STARTS_LIKE_REQUEST.match(data[: METHOD_BYTES + 1]):
        return None
    return of_request_line(data)


def of_fields(block: bytes) -> ClientFault:
    """The fault of a block of field lines that `FIELDS` does not cover."""
    rest = block[_good_part(block) :]
    line = rest.partition(b"\n")[0]
    name, colon, _value = line.partition(b":")
    if rest[:1] in (b" ", b"\t"):
        return ClientFault(400, "folded-field", "A field line starts with white space.")
    if BARE_LF.search(rest[: len(line) + 1]):
        return ClientFault(400, "bare-lf", "A line ends in LF without CR.")
    if not colon or not name:
        return ClientFault(400, "bad-field", "A field line has no name and colon.")
    if name[-1:] in (b" ", b"\t"):
        return ClientFault(400, "bad-field", "White space stands before a field's colon.")
    if not re.fullmatch(TOKEN + rb"++", name):
        return ClientFault(400, "bad-field", "A field's name has a character that is not allowed.")
    return ClientFault(400, "bad-field", "A field's value has a control character.")


def _good_part(block: bytes) -> int:
    end = 0
    for match in FIELDS.finditer(block):
        if not match[1]:
            break
        end = match.end()
    return end
