"""
Entries that the other side refuses, each on its own: in ``refused-NAME.ndjson``, with what it said.

They are in the log as ever; this is for whoever wants to know which, and to send them again by hand.
"""

from __future__ import annotations

import msgspec

from scalekit.logs.directory import Directory
from scalekit.logs.records import format_rows
from scalekit.logs.sinks.backlog import Leaving

PREFIX = "refused-"
#: The first ones show what is wrong; who removes the file sees more.
REFUSED_BYTES = 1024 * 1024


def keep_refused(directory: Directory, name: str, leaving: Leaving, text: str) -> None:
    """Keep one, if there is room; raises OSError."""
    file = f"{PREFIX}{name}.ndjson"
    size = directory.size(file)
    if size >= REFUSED_BYTES:
        return
    sequence, time, received, entry = leaving
    record = format_rows([(time, sequence, entry, received)])[0].rstrip()
    line = msgspec.json.encode({"Error": text, "Entry": msgspec.Raw(record)})
    directory.write_from(file, size, line + b"\n")
