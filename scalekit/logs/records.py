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
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from operator import itemgetter
from typing import NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from scalekit.logs.columns import columns_of, together
from scalekit.logs.entry import take_said
from scalekit.logs.line import escape, format_line, is_harmless, shown_source
from scalekit.logs.moments import EARLIEST, LATEST, clock_time, format_timestamp, parse_timestamp
from scalekit.logs.order import Row, Span, Taken, take


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


T = TypeVar("T")
_BILLION = 1_000_000_000
# Written at once: text of less than 128 KiB is memory that the C library gives again, and not the kernel.
_PIECE_LINES = 400
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


def format_spans(
    spans: Sequence[Span], is_late: bool = False, pause: Callable[[], None] = lambda: None
) -> Lines | None:
    """
    The lines of the entries of these spans, sorted by time and sequence number; None if there are none.

    :param pause: is called each time that some of them are done.
    """
    some: list[Taken] = []
    # In the order of their numbers, a sort by time alone keeps it: that takes a third of comparing both.
    since_pause = 0
    for span in sorted(spans, key=lambda span: span.chunk.first):
        taken = take(span)
        if taken.times:
            some.append(taken)
        since_pause += len(span.chunk.times)
        if since_pause >= _PIECE_LINES:
            since_pause = 0
            pause()
    if not some:
        return None
    taken = _joined(some)
    first_time = min(taken.times)
    ends = (taken.numbers[0], taken.numbers[-1])
    # Numbers below 2**30, about a second of nanoseconds, are compared in a third of the time.
    distances = [time - first_time for time in taken.times]
    order = sorted(range(len(distances)), key=distances.__getitem__)
    last_time = taken.times[order[-1]]
    taken = _spared(taken, is_late)
    truth: list[bytes] = []
    text: list[bytes] = []
    for start in range(0, len(order), _PIECE_LINES):
        pause()
        formatted = _format(_picked(taken, order[start : start + _PIECE_LINES]), is_late)
        truth.append(formatted[0])
        text.append(formatted[1])
    return Lines(len(order), (first_time, last_time), ends, truth, text)


def _joined(some: Sequence[Taken]) -> Taken:
    times, numbers, received = (list(chain.from_iterable(column)) for column in list(zip(*some, strict=True))[:3])
    return Taken(times, numbers, received, together([taken.columns for taken in some]))


def _spared(taken: Taken, is_late: bool) -> Taken:
    """The same without what none of its lines says: of nearly all there is nothing more than the usual to be said."""
    columns = taken.columns
    if is_late or columns.fields or columns.said != list(taken.times):
        return taken
    return taken._replace(received=(), columns=columns.without_times())


def _picked(taken: Taken, places: Sequence[int]) -> Taken:
    """The entries in these places, in the order of the places."""

    def picked(column: Sequence[T]) -> Sequence[T]:
        return pick(column) if column else ()

    # Of one place, itemgetter would give no tuple.
    here = slice(places[0], places[0] + 1)
    pick = itemgetter(*places) if len(places) > 1 else itemgetter(here)
    times, numbers, received, columns = taken
    return Taken(picked(times), picked(numbers), picked(received), columns.mapped(picked))


def format_rows(rows: Sequence[Row], is_late: bool = False) -> tuple[bytes, bytes]:
    """The lines of the truth and those of the readable log, of rows that are sorted by time."""
    times, numbers, entries, received = zip(*rows, strict=True)
    return _format(_spared(Taken(times, numbers, received, columns_of(entries)), is_late), is_late)


def _format(taken: Taken, is_late: bool) -> tuple[bytes, bytes]:
    """
    The two lines of each of these entries, which are sorted by time.

    What lines are made of is put together as columns as well: texts that all of them have, and between them in each
    n-th place what each has for itself.  Then all of it is joined at once.
    """
    times, numbers, received, columns = taken
    kinds, messages = columns.kinds, columns.messages
    said = [f'Z","Level":"{level}","Source":{_quote(source)},"Message":"' for level, source in columns.heads]
    shown = [f";{level};{shown_source(source)};" for level, source in columns.heads]
    safe: Sequence[str] = messages
    joined = "" if columns.is_plain else "".join(messages)
    if not is_harmless(joined) or '"' in joined:
        safe = [escape(message) for message in messages]
        messages = [_quote(message)[1:-1] for message in messages]
    rests: list[str] = []
    if received:
        fields = columns.fields or repeat(None)
        rests = [f'"{_more(*one, is_late)}}}\n' for one in zip(times, columns.said, fields, received, strict=False)]
    truth: list[str] = []
    text: list[str] = []
    written = _numbers(numbers)
    start = 0
    while start < len(times):
        second = times[start] // _BILLION
        end = bisect_left(times, (second + 1) * _BILLION, start)
        clock, stamp = clock_time(second)
        here = slice(start, end)
        nanoseconds = _nanoseconds(times[here], second)
        parts = ['{"Sequence":', "", f',"Timestamp":"{stamp}', "", said[0], "", '"}\n'] * (end - start)
        parts[1::7], parts[3::7], parts[5::7] = written[here], nanoseconds, messages[here]
        texts = [clock + shown[0], "", "\n"] * (end - start)
        texts[1::3] = safe[here]
        if kinds:
            parts[4::7] = [said[kind] for kind in kinds[here]]
            begins = [clock + each for each in shown]
            texts[0::3] = [begins[kind] for kind in kinds[here]]
        if rests:
            parts[6::7] = rests[here]
        truth.append("".join(parts))
        text.append("".join(texts))
        start = end
    return "".join(truth).encode(), "".join(text).encode()


def _nanoseconds(times: Sequence[int], second: int) -> list[str]:
    """The nine digits behind the seconds, of times within this second."""
    if second < 1:  # a machine whose clock was never set
        return [f"{time - second * _BILLION:09d}" for time in times]
    # The first digits are the second's, of each of them.
    return ("," + _encode(times)[1:-1].decode()).split(f",{second}")[1:]


def _numbers(numbers: Sequence[int]) -> list[str]:
    return _encode(numbers)[1:-1].decode().split(",")


def _quote(text: str) -> str:
    return _encode(text).decode()


def _more(time: int, said: int | None, fields: str | None, received: int, is_late: bool) -> str:
    """The members behind the usual ones."""
    more = "" if fields is None else f',"Fields":{fields}'
    if is_late or said != time:
        more += f',"Received":"{format_timestamp(received)}"'
        if said is not None and said != time:
            if said in (EARLIEST, LATEST):
                return _more_beyond(said, fields, received)
            more += f',"Said":"{format_timestamp(said)}"'
    return more


def _more_beyond(said: int, fields: str | None, received: int) -> str:
    """The same of an entry that says a time which none can have."""
    fields, text = take_said(fields)
    more = "" if fields is None else f',"Fields":{fields}'
    return f'{more},"Received":"{format_timestamp(received)}","Said":{_quote(text or format_timestamp(said))}'
