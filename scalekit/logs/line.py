r"""
An entry's line in ``log.txt``: ``2006-01-02 15:04:05;LEVEL;source;message``, in UTC.

``line.split(";", 3)`` always parses: a ``;`` of the source is written ``\x3b``.  What could end the line, steer a
terminal or turn the direction of reading is written as an escape, and so is the backslash itself, so that `unescape`
gives back every text: ``\\``, ``\n``, ``\r``, ``\t``, ``\xHH``, ``\uHHHH``.
"""

from __future__ import annotations

import re
from functools import lru_cache

from scalekit.logs.moments import clock_time

# C0, DEL and C1 controls (among them ESC and CSI, which begin ANSI escapes), the line separators of Unicode, its bidi
# controls (UAX #9, "Trojan Source"), and surrogates, which UTF-8 cannot carry.
_UNSAFE = r"\\\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_unsafe = re.compile(f"[{_UNSAFE}]")
_unsafe_in_source = re.compile(f"[;{_UNSAFE}]")
_escape = re.compile(r"\\(?:([\\nrt])|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONG = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def is_harmless(text: str) -> bool:
    """Whether `escape` changes nothing: it may also say no where it would not."""
    # isprintable() is several times faster than the pattern.
    return text.isprintable() and "\\" not in text


def escape(text: str) -> str:
    """The text without a character that could do harm in a line."""
    return text if is_harmless(text) else _unsafe.sub(_escaped, text)


def escape_source(text: str) -> str:
    """As `escape`, and without ``;``."""
    return _unsafe_in_source.sub(_escaped, text)


def unescape(text: str) -> str:
    """The text that `escape` or `escape_source` was given."""
    return _escape.sub(lambda match: _LONG[match[1]] if match[1] else chr(int(match[2] or match[3], 16)), text)


shown_source = lru_cache(maxsize=1024)(escape_source)  # few sources write many entries


def format_line(time: int, level: str, source: str, message: str) -> str:
    """
    The line of an entry, its newline included.

    :param time: nanoseconds since the epoch, of a year from 1000 to 9999.
    """
    return f"{clock_time(time // 1_000_000_000)[0]};{level};{shown_source(source)};{escape(message)}\n"
