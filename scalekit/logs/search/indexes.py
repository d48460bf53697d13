"""
The index of a sealed volume: a SQLite database beside it that says which lines of its truth may be meant.

=============  ======================================================================================================
``entries``    a row for each line, numbered from 1 in their order: where it is, its time, level and source
``sources``    the names of these
``words``      FTS5 without content: the words of each row (see `words`)
``about``      what it was made from, and by which rules; anything else than these now, and it is stale
=============  ======================================================================================================

SQLite does not notice a flipped bit, and an answer without what it hides would be wrong.  So bytes 68 to 71 of the
file, SQLite's *application id* that it does not use itself, are the CRC-32 of the file with zeros there.  It is checked
when an index is first opened.  One that fails is not used again until it is made anew; the volume is looked through.
"""

from __future__ import annotations

import sqlite3
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import quote

from scalekit.logs.counts import Counts
from scalekit.logs.directory import Files
from scalekit.logs.entry import LEVELS
from scalekit.logs.search.language import Source, whole_match
from scalekit.logs.search.words import Lookup
from scalekit.logs.volumes import Manifest

#: Of the tables and of what is put into them; which characters are letters is Python's, and grows with it.
VERSION = f"1 {unicodedata.unidata_version}"
#: Where the checksum is: https://www.sqlite.org/fileformat.html section 1.3.
CHECKSUM_AT = 68
_PIECE_BYTES = 1024 * 1024
#: Steps of SQLite's between two looks at the clock: a millisecond or so.
_STEPS = 10_000


class Unusable(Exception):
    """This index says nothing that can be relied on; the text is why."""


class Interrupted(Exception):
    """It takes too long to check an index; nothing is known of it."""


class Candidate(NamedTuple):
    """A line that may be meant: where it is in the truth, without its newline."""

    position: int
    length: int
    time: int


def _never() -> bool:
    return False


def checksum(files: Files, name: str, is_over: Callable[[], bool] = _never) -> int:
    """
    What the bytes from `CHECKSUM_AT` of an index should be.

    :param is_over: asked now and then; if so, raises `Interrupted`.
    """
    crc = position = 0
    while piece := files.read(name, position, _PIECE_BYTES):
        if is_over():
            raise Interrupted
        if position == 0:
            piece = piece[:CHECKSUM_AT] + bytes(4) + piece[CHECKSUM_AT + 4 :]
        crc = zlib.crc32(piece, crc)
        position += len(piece)
    return crc


def about(manifest: Manifest) -> tuple[str, int, int, int]:
    """What the index of this volume says that it was made from."""
    return VERSION, manifest.length, manifest.crc, manifest.entries


class Index:
    """An open index; close it in the thread that has opened it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(
        cls, files: Files, manifest: Manifest, *, is_checked: bool = False, is_over: Callable[[], bool] = _never
    ) -> Index:
        """
        The index of this volume.

        :param is_checked: whether its checksum is known to be right.
        :param is_over: see `checksum`.
        :raises Unusable: it is damaged, or of something else.
        """
        name = manifest.index
        if not is_checked and int.from_bytes(files.read(name, CHECKSUM_AT, 4)) != checksum(files, name, is_over):
            raise Unusable("it is damaged: its checksum is wrong")
        path = files.path_of(name)
        # Nobody changes it: SQLite needs no lock and looks for no journal.
        uri = ":memory:" if path is None else f"file:{quote(path)}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        try:
            if path is None:
                connection.deserialize(files.read(name))
            found = connection.execute("SELECT version, length, crc, entries FROM about").fetchone()
            if found != about(manifest):
                raise Unusable("it is stale: it was made from another volume or by other rules")
        except sqlite3.Error as error:
            connection.close()
            raise Unusable(f"SQLite says: {error}") from None
        except Unusable:
            connection.close()
            raise
        return cls(connection)

    def interrupt_when(self, is_over: Callable[[], bool]) -> None:
        """What is under way raises sqlite3.OperationalError when this becomes true."""
        self._connection.set_progress_handler(is_over, _STEPS)

    def numbers(self, since: int, until: int) -> range:
        """The rows of this span of time, in nanoseconds since the epoch."""
        (count,) = self._connection.execute("SELECT coalesce(max(number), 0) FROM entries").fetchone()
        return range(self._first(since, count), self._first(until, count))

    def _first(self, time: int, count: int) -> int:
        """The first row that is not before this time."""
        low, high = 1, count + 1
        while low < high:
            middle = (low + high) // 2
            (found,) = self._connection.execute("SELECT time FROM entries WHERE number = ?", (middle,)).fetchone()
            if found < time:
                low = middle + 1
            else:
                high = middle
        return low

    def candidates(self, lookup: Lookup, numbers: range, *, is_backwards: bool) -> Iterator[Candidate]:
        """All that may be meant, and some more, in order or backwards; raises sqlite3.Error."""
        conditions = self._conditions(lookup)
        values: list[str] = []
        tables, number = "entries", "entries.number"
        if lookup.match:
            # In this order, whatever SQLite thinks of it.
            tables = "words CROSS JOIN entries ON entries.number = words.rowid"
            number = "words.rowid"
            conditions.append("words MATCH ?")
            values.append(lookup.match)
        where = " AND ".join([*conditions, f"{number} BETWEEN ? AND ?"])
        found = self._connection.execute(
            f"SELECT position, length, time FROM {tables} WHERE {where}"
            f" ORDER BY {number} {'DESC' if is_backwards else 'ASC'}",
            (*values, numbers.start, numbers.stop - 1),
        )
        return map(Candidate._make, found)

    def counts(self, lookup: Lookup, numbers: range) -> list[int]:
        """How many of these rows there are of each of `LEVELS`; the lookup has to be exact.  Raises sqlite3.Error."""
        where = " AND ".join([*self._conditions(lookup), "number BETWEEN ? AND ?"])
        sums = ", ".join(f"total(level = {rank})" for rank in range(len(LEVELS)))
        found = self._connection.execute(
            f"SELECT {sums} FROM entries WHERE {where}", (numbers.start, numbers.stop - 1)
        ).fetchone()
        return [int(count) for count in found]

    def _conditions(self, lookup: Lookup) -> list[str]:
        """Of levels and sources."""
        conditions = []
        if lookup.levels is not None:
            ranks = ", ".join(str(LEVELS.index(level)) for level in sorted(lookup.levels))
            conditions.append(f"entries.level IN ({ranks})")
        if lookup.sources:
            conditions.append("entries.source IN (SELECT source FROM temp.wanted)")
            self._gather(lookup.sources)
        return conditions

    def _gather(self, sources: tuple[Source, ...]) -> None:
        patterns = [(whole_match(source.pattern), source.is_not) for source in sources]
        wanted = [
            (number,)
            for number, name in self._connection.execute("SELECT source, name FROM sources")
            if all((matches(name) is None) == is_not for matches, is_not in patterns)
        ]
        run = self._connection.execute
        run("PRAGMA temp_store = MEMORY")
        run("CREATE TEMP TABLE IF NOT EXISTS wanted (source INTEGER PRIMARY KEY)")
        run("DELETE FROM temp.wanted")
        self._connection.executemany("INSERT INTO temp.wanted VALUES (?)", wanted)

    def close(self) -> None:
        """Give its descriptor back."""
        self._connection.close()


class Indexes:
    """
    Those that can be used, of the log of one daemon.

    :param counts: where damaged ones are counted.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._checked: set[str] = set()
        # Only names of files that are there: as few as these.
        self._bad: set[str] = set()

    def open(self, files: Files, manifest: Manifest, is_over: Callable[[], bool] = _never) -> Index | None:
        """
        The index of this volume; None: there is none that can be used.

        :param is_over: see `checksum`.
        """
        name = manifest.index
        if name in self._bad or not files.size(name):
            return None
        try:
            index = Index.open(files, manifest, is_checked=name in self._checked, is_over=is_over)
        except Unusable:
            self.distrust(name)
            return None
        self._checked.add(name)
        return index

    def distrust(self, name: str) -> None:
        """This one has failed: do not use it again."""
        if name not in self._bad:
            self._counts.index_damaged += 1
            self._bad.add(name)

    @property
    def distrusted(self) -> frozenset[str]:
        """The names of those that are to be made anew."""
        return frozenset(self._bad)

    def renewed(self, name: str) -> None:
        """It has just been made."""
        self._bad.discard(name)
        self._checked.add(name)

    def forget(self, name: str) -> None:
        """It is gone."""
        self._bad.discard(name)
        self._checked.discard(name)

    def __repr__(self) -> str:
        return f"<Indexes: {len(self._checked)} checked, {len(self._bad)} bad>"
