"""
The log's truth: one entry a line as JSON, with nanoseconds and everything that is known of it.

::

    {"Sequence":7,"Timestamp":"2006-01-02T15:04:05.000000001Z","Level":"INFO","Source":"shop","Message":"sold"}

and, where there is something to say, ``Fields`` (what the client sent beside the four), ``Received`` (when it came, of
entries that were late or are sorted by it), and ``Said`` (the time that was not believed).  The names are those that
entries are sent with, so that what is read here can be sent again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from scalekit.logs.entry import take_said
from scalekit.logs.line import escape, format_line, is_harmless, shown_source
from scalekit.logs.moments import EARLIEST, LATEST, clock_time, format_timestamp, parse_timestamp
from scalekit.logs.order import EVER, Row, Span, rows_of


class Record(msgspec.Struct, gc=False):
    """A line of the truth, see the module."""

    Sequence: int
    Timestamp: str
    Level: str
    Source: str
    Message: str
    Fields: msgspec.Raw | UnsetType = UNSET
    Received: str | UnsetType = UNSET
    Said: str | UnsetType = UNSET

    @property
    def time(self) -> int:
        """Nanoseconds since the epoch."""
        return parse_timestamp(self.Timestamp)

    def text(self) -> str:
        """Its line in ``log.txt``."""
        return format_line(self.time, self.Level, self.Source, self.Message)


class Key(NamedTuple):
    """What a record is sorted by: read from its line in half the time; ``time`` is nanoseconds since the epoch."""

    time: int
    Sequence: int


class _Stamp(msgspec.Struct, gc=False):
    Sequence: int
    Timestamp: str


_BILLION = 1_000_000_000
# Written at once: text of less than 128 KiB is memory that the C library gives again, and not the kernel.
_PIECE_LINES = 400
# Of so many the objects fit into a core's cache.
_AT_ONCE = 250
_encode = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(Record).decode
_decode_stamp = msgspec.json.Decoder(_Stamp).decode


def parse_timed(line: bytes) -> tuple[int, Record] | None:
    """The record of a line and its time, in nanoseconds since the epoch; None if the line is damaged."""
    try:
        record = _decode_record(line)
        return parse_timestamp(record.Timestamp), record
    except ValueError:
        return None


def parse_record(line: bytes) -> Record | None:
    """The record of a line; None if the line is damaged."""
    timed = parse_timed(line)
    return None if timed is None else timed[1]


def parse_key(line: bytes) -> Key | None:
    """The key of a line; None if the line is damaged."""
    try:
        stamp = _decode_stamp(line)
        return Key(parse_timestamp(stamp.Timestamp), stamp.Sequence)
    except ValueError:
        return None


class Lines(NamedTuple):
    """
    Entries as they are written.

    :ivar entries: how many.
    :ivar times: the first and the last, nanoseconds since the epoch.
    :ivar numbers: the least sequence number and the greatest.
    :ivar truth: the lines of the truth, in pieces; `text`: those of the readable log.
    """

    entries: int
    times: tuple[int, int]
    numbers: tuple[int, int]
    truth: list[bytes]
    text: list[bytes]


def format_spans(spans: Sequence[Span], is_late: bool = False) -> Lines | None:
    """
    The lines of the entries of these spans, sorted by time and sequence number; None if there are none.

    A few chunks at a time become lines, while their entries are in the core's cache, and these are sorted then: half
    the time of sorting all entries.
    """
    times: list[int] = []
    truth: list[str] = []
    text: list[str] = []
    # In the order of their numbers, a sort by time alone keeps it: that takes a third of comparing both.
    least, greatest = EVER, 0
    for rows in _some_at_once(sorted(spans, key=lambda span: span.chunk.first)):
        least, greatest = min(least, rows[0][1]), max(greatest, rows[-1][1])
        rows.sort(key=itemgetter(0))
        _add_lines(rows, is_late, truth, text)
        times += [row[0] for row in rows]
    if not times:
        return None
    order = sorted(range(len(times)), key=times.__getitem__)
    ends = times[order[0]], times[order[-1]]
    return Lines(len(times), ends, (least, greatest), _pieces(truth, order), _pieces(text, order))


def _some_at_once(spans: Iterable[Span]) -> Iterator[list[Row]]:
    """The entries of some spans after the other, in the order of their numbers."""
    rows: list[Row] = []
    for span in spans:
        rows += rows_of(span)
        if len(rows) >= _AT_ONCE:
            yield rows
            rows = []
    if rows:
        yield rows


def _pieces(lines: Sequence[str], order: Sequence[int]) -> list[bytes]:
    some = (order[start : start + _PIECE_LINES] for start in range(0, len(order), _PIECE_LINES))
    return ["".join([lines[place] for place in places]).encode() for places in some]


def format_rows(rows: Sequence[Row], is_late: bool = False) -> tuple[bytes, bytes]:
    """The lines of the truth and those of the readable log, of rows that are sorted by time."""
    truth: list[str] = []
    text: list[str] = []
    _add_lines(rows, is_late, truth, text)
    return "".join(truth).encode(), "".join(text).encode()


def _add_lines(rows: Sequence[Row], is_late: bool, truth: list[str], text: list[str]) -> None:
    """Append the two lines of each of these rows, which are sorted by time."""
    sources = {row[2].source for row in rows}
    quoted = {source: _quote(source) for source in sources}
    shown = {source: shown_source(source) for source in sources}
    said = [row[2].message for row in rows]
    joined = "".join(said)
    if is_harmless(joined) and '"' not in joined:
        safe = said
    else:
        safe = [escape(message) for message in said]
        said = [_quote(message)[1:-1] for message in said]
    # Of nearly all there is nothing more to be said.
    if is_late or any(entry.fields is not None or entry.time != time for time, _, entry, _ in rows):
        more = [_more(row, is_late) for row in rows]
    else:
        more = [""] * len(rows)
    start = 0
    while start < len(rows):
        second = rows[start][0] // _BILLION
        end = bisect_left(rows, (second + 1) * _BILLION, start, key=itemgetter(0))
        clock, stamp = clock_time(second)
        # Between one and two billion: the digits behind the first are the nanoseconds.
        whole = (second - 1) * _BILLION
        truth += [
            f'{{"Sequence":{sequence},"Timestamp":"{stamp}{str(time - whole)[1:]}Z","Level":"{entry.level}",'
            f'"Source":{quoted[entry.source]},"Message":"{message}"{rest}}}\n'
            for (time, sequence, entry, _), message, rest in zip(
                rows[start:end], said[start:end], more[start:end], strict=True
            )
        ]
        text += [
            f"{clock};{entry.level};{shown[entry.source]};{message}\n"
            for (_, _, entry, _), message in zip(rows[start:end], safe[start:end], strict=True)
        ]
        start = end


def _quote(text: str) -> str:
    return _encode(text).decode()


def _more(row: Row, is_late: bool) -> str:
    """The members behind the usual ones."""
    time, _, entry, received = row
    more = "" if entry.fields is None else f',"Fields":{entry.fields}'
    if is_late or entry.time != time:
        more += f',"Received":"{format_timestamp(received)}"'
        if entry.time is not None and entry.time != time:
            if entry.time in (EARLIEST, LATEST):
                return _more_beyond(entry.time, entry.fields, received)
            more += f',"Said":"{format_timestamp(entry.time)}"'
    return more


def _more_beyond(said: int, fields: str | None, received: int) -> str:
    """The same of an entry that says a time which none can have."""
    fields, text = take_said(fields)
    more = "" if fields is None else f',"Fields":{fields}'
    return f'{more},"Received":"{format_timestamp(received)}","Said":{_quote(text or format_timestamp(said))}'
