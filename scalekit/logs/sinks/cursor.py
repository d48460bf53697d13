"""
Where a sink stands: a file of its own in the log's directory, ``sink-NAME.json``, written aside, synced and renamed.
"""

from __future__ import annotations

import msgspec

from scalekit.logs.directory import Directory

PREFIX = "sink-"


class Cursor(msgspec.Struct, frozen=True):
    """
    :ivar log: what the numbers are of; with a sequence number it is the same entry for ever, however often it is sent.
    :ivar sequence: up to this number all was delivered, refused, or is known to be gone.
    """

    log: str
    sequence: int

    @property
    def prefix(self) -> str:
        """How the names of all its entries begin."""
        return f"{self.log}-"

    def uid(self, sequence: int) -> str:
        """The name of an entry that no other has."""
        return f"{self.prefix}{sequence}"


def cursor_file(name: str) -> str:
    """Of the sink of this name."""
    return f"{PREFIX}{name}.json"


def decode_cursor(data: bytes) -> Cursor | None:
    """The cursor that a file holds; None if it is damaged."""
    try:
        return msgspec.json.decode(data, type=Cursor)
    except ValueError:
        return None


def read_cursor(directory: Directory, name: str) -> Cursor | None:
    """The cursor on disk; None if there is none that can be read. Raises OSError."""
    return decode_cursor(directory.read(cursor_file(name)))


def write_cursor(directory: Directory, name: str, cursor: Cursor) -> None:
    """Safe on disk when this returns; raises OSError."""
    directory.replace(cursor_file(name), msgspec.json.encode(cursor) + b"\n")
