r"""
Where our readers and h11 or httptools differ, each with the section that justifies ours.

What an oracle does where ours does otherwise:

``TAKES``       it takes what we refuse
``REFUSES``     it refuses what we take
``OTHERWISE``   it takes it too, and reads something else
"""

from __future__ import annotations

SAME, TAKES, REFUSES, OTHERWISE = "same", "takes", "refuses", "otherwise"

#: Why ours is right -> oddity -> what h11 does, what httptools does.
Table = dict[str, dict[str, tuple[str, str]]]

FRAMING_IN_TRAILERS = "RFC 9110 section 6.5.1: framing in trailers is ignored (it is dropped when they are sent on)"

BOTH: Table = {
    "RFC 9112 section 2.2: LF alone may be taken for a line's end; who does not cannot disagree with the next": {
        "LF after the first line": (TAKES, SAME),
        "LF inside": (TAKES, SAME),
        "LF at the end of the head": (TAKES, SAME),
        "CRLF LF at the end of the head": (TAKES, SAME),
        r"chunks 5\r\nhello\r\n0\r\n\n": (TAKES, SAME),
        r"chunks 5\r\nhello\r\n0\r\nX-T: u\n\r\n": (TAKES, SAME),
    },
    "RFC 9112 section 5.2: a folded line is to be refused": {
        "a folded line": (TAKES, SAME),
        "a line folded by a tab": (TAKES, SAME),
        "a line of white space": (TAKES, SAME),
        r"chunks 5\r\nhello\r\n0\r\nX-T: u\r\n v\r\n\r\n": (TAKES, SAME),
    },
    "RFC 9110 section 5.5: no control characters in values": {
        "a control": (TAKES, SAME),
        "DEL": (TAKES, SAME),
    },
    "RFC 9110 section 7.6.1: Connection is a list of tokens": {
        "Connection is no list": (TAKES, TAKES),
    },
    "RFC 9110 section 8.6, RFC 9112 section 6.3: a repeated length may be refused": {
        "Content-Length: 5 | 5": (TAKES, SAME),
        "Content-Length: 5, 5": (TAKES, SAME),
    },
    "RFC 9110 section 8.6: lengths that overflow are to be expected; over 19 digits we do not look whether they do": {
        "Content-Length: 00000000000000000000005": (SAME, TAKES),
    },
    "RFC 9110 section 5.5: white space behind a value is no part of it": {
        r"Transfer-Encoding:\tchunked \t": (SAME, REFUSES),
    },
    "RFC 9112 section 6.1: 501 for a coding that is not understood, and we understand only chunked": {
        "Transfer-Encoding: gzip, chunked": (SAME, TAKES),
        "Transfer-Encoding: gzip | chunked": (SAME, TAKES),
        "Transfer-Encoding: identity, chunked": (SAME, TAKES),
        "Transfer-Encoding: ,chunked": (SAME, TAKES),
    },
    "RFC 9112 section 6.1: a length beside chunks ought to be handled as an error; and HTTP/1.0 has no chunks": {
        "length and chunks": (TAKES, SAME),
        "length in front of chunks": (TAKES, SAME),
        "length nought and chunks": (TAKES, SAME),
        "chunks in HTTP/1.0": (TAKES, TAKES),
    },
    "RFC 9112 section 7.1: chunk-size is hexadecimal digits, and their overflow is to be expected: 16 at most": {
        r"chunks 5 \r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5\t\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 00000000000000005\r\nhello\r\n0\r\n\r\n": (TAKES, TAKES),
    },
    "RFC 9112 section 7.1.1: an extension has a name, and no control characters": {
        r"chunks 5;\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\x00b\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\x01b\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\x7fb\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
        r"chunks 5;a\rb\r\nhello\r\n0\r\n\r\n": (TAKES, SAME),
    },
    "RFC 9112 section 7.1.1: extensions are ignored (ours are never sent on); white space in them is to be taken": {
        r"chunks 5; a = b\r\nhello\r\n0\r\n\r\n": (SAME, REFUSES),
        r"chunks 5;\xc3\xa4\r\nhello\r\n0\r\n\r\n": (SAME, REFUSES),
    },
    FRAMING_IN_TRAILERS: {
        r"chunks 5\r\nhello\r\n0\r\nContent-Length: 7\r\n\r\n": (SAME, REFUSES),
    },
}

REQUEST_DIFFERENCES: Table = BOTH | {
    FRAMING_IN_TRAILERS: BOTH[FRAMING_IN_TRAILERS]
    | {
        r"chunks 5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n": (SAME, REFUSES),
    },
    "RFC 9112 section 3: single spaces; a lenient reader may differ from the next": {
        "two spaces": (SAME, TAKES),
    },
    "RFC 9112 section 2.2: one empty line (CRLF) before a request line is to be let pass; no more need be": {
        "an empty line in front": (REFUSES, SAME),
        "two empty lines in front": (SAME, TAKES),
        "LF in front": (SAME, TAKES),
    },
    "RFC 9110 sections 2.5 and 15.6.6: 505 for a major version that is not ours, and HTTP/1.2 does not exist": {
        "HTTP/0.9": (SAME, TAKES),
        "HTTP/0.9 by its name": (TAKES, TAKES),
        "HTTP/1.2": (TAKES, SAME),
        "HTTP/2.0": (TAKES, TAKES),
        "PRI": (TAKES, SAME),
    },
    "RFC 9110 section 9.1: any token may be a method": {
        "a method of its own": (SAME, REFUSES),
        "a method in small letters": (SAME, REFUSES),
        # What we take for no body is read as helloGET.
        "a look-alike": (SAME, REFUSES),
        "neither": (SAME, REFUSES),
    },
    "RFC 9110 section 9.3.6: CONNECT is not for us": {
        "CONNECT": (TAKES, TAKES),
        "CONNECT with a path": (TAKES, TAKES),
    },
    "RFC 9112 section 3.2.2: the authority of an absolute target replaces Host": {
        "an absolute target": (OTHERWISE, OTHERWISE),
        "an absolute target of another host": (OTHERWISE, OTHERWISE),
    },
    "RFC 9110 section 4.2.4: user information is to be treated as an error": {
        "an absolute target with user information": (TAKES, TAKES),
    },
    "RFC 9112 section 3.2: four forms of targets, of http URIs, authority-form for CONNECT and * for OPTIONS only": {
        "an absolute target of another scheme": (TAKES, TAKES),
        "an authority as target": (TAKES, SAME),
        "a word as target": (TAKES, SAME),
        "* for GET": (TAKES, TAKES),
    },
    "RFC 9110 section 7.1: no fragment in a target": {
        "a fragment": (TAKES, TAKES),
    },
    "RFC 9110 section 7.6.1: Connection does not name what is for more than one hop": {
        "Connection names Host": (TAKES, TAKES),
        "Connection names Content-Length": (TAKES, TAKES),
    },
    "RFC 9110 section 10.1.1: 417 for an expectation that cannot be met": {
        "another expectation": (TAKES, TAKES),
    },
    "RFC 9110 section 7.8: Upgrade may be ignored; what follows is HTTP/1.1 until a 101 has been sent": {
        "an upgrade": (SAME, REFUSES),
        "an upgrade with a body": (SAME, OTHERWISE),
    },
    "RFC 9112 section 3.2: 400 without Host, with two, and with one that is none": {
        "no Host": (SAME, TAKES),
        "two Host": (SAME, TAKES),
        "two hosts": (SAME, TAKES),
        "a Host with user information": (TAKES, TAKES),
        "a Host with a path": (TAKES, TAKES),
        "a Host with a space": (TAKES, TAKES),
        "a list of hosts": (TAKES, TAKES),
        "a port over 65535": (TAKES, TAKES),
        "a port that is none": (TAKES, TAKES),
        "IPv6 without brackets": (TAKES, TAKES),
    },
    "RFC 9110 section 4.2.1: a http URI has a host that is not empty": {
        "an empty Host": (TAKES, TAKES),
    },
    "RFC 3986 section 3.2.2: names are to be those of DNS, and those have no escapes": {
        "an escape in Host": (TAKES, TAKES),
    },
    "RFC 3986 section 3.2.3: no colon without a port is to be sent": {
        "an empty port": (TAKES, TAKES),
    },
    "RFC 9112 section 9.3: HTTP/1.0 keeps the connection if keep-alive says so, and close does not": {
        "keep-alive in HTTP/1.0": (REFUSES, SAME),
        "close and keep-alive in HTTP/1.0": (SAME, TAKES),
    },
}

ANSWER_DIFFERENCES: Table = BOTH | {
    "RFC 9112 section 4: no control characters in a reason": {
        "a control in the reason": (TAKES, TAKES),
        "NUL in the reason": (SAME, TAKES),
    },
    "RFC 9110 section 15: a status is from 100 to 599; others are to be handled as if they were a 5xx": {
        "status 000": (SAME, TAKES),
        "status 099": (SAME, TAKES),
        "status 600": (TAKES, TAKES),
        "status 999": (TAKES, TAKES),
    },
    "RFC 9110 section 2.5: an answer has our major version and no higher minor one": {
        "HTTP/1.2": (TAKES, SAME),
        "HTTP/2.0": (TAKES, TAKES),
    },
    "RFC 9112 section 2.2: empty lines are let pass before requests, not before answers": {
        "an empty line in front": (SAME, TAKES),
    },
    "RFC 9112 section 6.3: an interim answer ends with its head, whatever its version": {
        "HTTP/1.0 100 Continue before": (SAME, REFUSES),
    },
    "RFC 9110 section 8.6, RFC 9112 section 6.1: an interim answer has no length and no chunks": {
        "103 with a length": (TAKES, TAKES),
        "103 with chunks": (TAKES, TAKES),
    },
    "RFC 9110 section 15.2.2: whether a switch was asked for, `scalekit.http.upgrade` decides": {
        "101": (REFUSES, SAME),
    },
    "RFC 9112 section 7: chunked is applied once": {
        "Transfer-Encoding: chunked | chunked": (SAME, TAKES),
        "Transfer-Encoding: chunked, chunked": (SAME, TAKES),
    },
}

#: What shows only where two meet: names as patterns, then the verdicts as above.
INTERPLAY: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "RFC 9112 section 6.3: framing that is wrong is wrong, also where no body follows": (
        (r"[23]04 with .*", r"Transfer-Encoding:.*", SAME, TAKES),
        (r"[23]04 with .*", r"Content-Length: 18446744073709551621", TAKES, SAME),
        (r"[23]04 with .*", r"Content-Length: 18446744073709551615", TAKES, TAKES),
        (r"an upgrade with a body", r"Content-Length: 18446744073709551615", SAME, TAKES),
    ),
    "RFC 9112 section 9.3: close wins over keep-alive": (
        (r"keep-alive in HTTP/1\.0", r"close( among others)?", SAME, TAKES),
    ),
}

#: Our reasons to refuse what an oracle takes, where no oddity is known by name: bytes have been changed at random.
OUR_REASONS: dict[str, str] = {
    "bad-request-line": "RFC 9112 section 3",
    "version-not-supported": "RFC 9110 section 2.5",
    "bare-lf": "RFC 9112 section 2.2",
    "folded-field": "RFC 9112 section 5.2",
    "bad-field": "RFC 9110 section 5.5",
    "bad-host": "RFC 9112 section 3.2",
    "bad-target": "RFC 9112 section 3.2",
    "bad-content-length": "RFC 9110 section 8.6",
    "bad-transfer-encoding": "RFC 9112 section 6.1",
    "bad-chunk": "RFC 9112 section 7.1",
    "the first line is no HTTP/1.1 status line": "RFC 9112 section 4",
    "it does not start with HTTP/1.": "RFC 9112 section 4",
    "line ends in LF without CR": "RFC 9112 section 2.2",
    "A field line starts with white space": "RFC 9112 section 5.2",
    "A field's value has a control character": "RFC 9110 section 5.5",
    "Transfer-Encoding is not exactly one chunked": "RFC 9112 section 6.1",
    "it is an interim answer with a body": "RFC 9110 section 15.2",
    "A chunk's size is not hexadecimal digits and CRLF": "RFC 9112 section 7.1",
}
#: The oracles' words where they refuse what we take.
THEIR_REASONS: dict[str, str] = {
    "no request line received": "RFC 9112 section 2.2: an empty line is to be let pass",
    "Invalid method encountered|Expected space after method": "RFC 9110 section 9.1: any token may be a method",
    "Request has invalid `Transfer-Encoding`": "RFC 9110 section 5.5: white space behind a value is no part of it",
    "Empty Transfer-Encoding|Only Transfer-Encoding: chunked": FRAMING_IN_TRAILERS,
}
