"""
``GET /v1/query`` and ``GET /v1/histogram`` as responders.

::

    /v1/query?q=level>=warn source:shop-*&from=15m&limit=100&order=asc

``from`` and ``to`` are RFC 3339 or a time ago (``15m``); what they leave out of is what ``q`` says (see `language`).
Any other parameter is a mistake and answered with 400.

The answer is NDJSON, the lines of the log's truth (see `scalekit.logs.records`), the newest first unless ``order=asc``.
If it is not complete, a last line ``{"Partial":…,"Until":…,"Bytes":…}`` says what ran out, up to which time all is
there, and how much was looked at; where ``Partial`` is ``damaged``, some of the log cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import ClientFault, Fault, OurFault
from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.http.problems import problem_answer
from scalekit.interfaces import IAnswerObserver, IResponder
from scalekit.logs.collector import Collector
from scalekit.logs.entry import LEVELS
from scalekit.logs.moments import format_timestamp
from scalekit.logs.search.budget import Budget
from scalekit.logs.search.counting import Histogram, histogram
from scalekit.logs.search.indexes import Indexes
from scalekit.logs.search.language import Query, parse_moment, parse_query
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.searching import Answer, search
from scalekit.logs.threads import Lane

#: A screen or two; who wants more says so.
LIMIT = 100
MOST = 10_000
#: A bar for every few pixels of a page.
BUCKETS = 60
MOST_BUCKETS = 500
#: Each may take `TIME_SECONDS`: whoever is the last of them waits longer than anybody does.
WAITING_LIMIT = 8

#: What says which entries are meant.
SPAN = ("q", "from", "to")

_NDJSON = (b"Content-Type", b"application/x-ndjson")
_JSON = (b"Content-Type", b"application/json")
_FRESH = (b"Cache-Control", b"no-store")

_log = Logger()
T = TypeVar("T")


class Searches:
    """
    Runs one search after the other, apart from the reactor's thread.

    :param seconds: of a clock that is never set.
    :param wall: seconds since the epoch.
    :ivar indexes: those of sealed volumes that are used.
    """

    def __init__(
        self, collector: Collector, lane: Lane, seconds: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._collector = collector
        self.indexes = Indexes(collector.counts)
        self._lane = lane
        self._seconds = seconds
        self._wall = wall
        self._budgets: set[Budget] = set()
        self._is_closed = False
        collector.before_close(self._close)

    @property
    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return int(self._wall() * 1e9)

    def run(self, budget: Budget, call: Callable[[], T]) -> Deferred[T]:
        """What the call returns; raises `OurFault` 503 if too many wait."""
        if self._is_closed or len(self._budgets) >= WAITING_LIMIT:
            raise OurFault(503, "too-many-searches", "Too many searches wait for their turn.", retry_after=1)
        self._budgets.add(budget)

        def begin() -> T:
            budget.begin()
            return call()

        return self._lane.run(begin).addBoth(self._ended, budget)

    def _ended(self, result: Any, budget: Budget) -> Any:
        self._budgets.discard(budget)
        return result

    def search(self, budget: Budget, query: Query, limit: int, is_backwards: bool) -> Deferred[Answer]:
        """See `scalekit.logs.search.searching.search`."""
        reader, matcher = self._collector.reader, Matcher(query)
        return self.run(budget, lambda: search(reader, self.indexes, matcher, budget, limit, is_backwards=is_backwards))

    def histogram(self, budget: Budget, query: Query, buckets: int) -> Deferred[Histogram]:
        """See `scalekit.logs.search.counting.histogram`."""
        reader, matcher = self._collector.reader, Matcher(query)
        now = self.now
        return self.run(budget, lambda: histogram(reader, self.indexes, matcher, budget, buckets, now))

    def budget(self) -> Budget:
        """What one search may take."""
        return Budget(self._seconds)

    def _close(self) -> None:
        self._is_closed = True
        for budget in self._budgets:
            budget.is_cancelled = True
        self._lane.close()

    def __repr__(self) -> str:
        return f"<Searches: {len(self._budgets)} under way>"


@implementer(IResponder)
class Asking:
    """
    What all that read in the searches' thread have in common.

    :cvar known: the parameters that they take.
    """

    known: tuple[str, ...] = ()

    def __init__(self, searches: Searches) -> None:
        self.searches = searches

    def respond(self, exchange: Any) -> None:
        head: RequestHead = exchange.head
        if head.length != 0:
            exchange.discard()
        if head.method not in (b"GET", b"HEAD"):
            fault = ClientFault(405, "method", "This resource takes GET.")
            exchange.record.reason = fault.reason
            exchange.answer(*problem_answer(fault, head, exchange.request_id, allowed=b"GET, HEAD"))
            return
        budget = self.searches.budget()
        waiting = self.begin(budget, Parameters(head.query, self.searches.now, self.known))
        exchange.observe(_Waiting(budget))
        waiting.addCallback(lambda found: exchange.answer(*self.answer(found))).addErrback(_explain, exchange, budget)

    def begin(self, budget: Budget, asked: Parameters) -> Deferred[Any]:
        """Begin to search; raises `Fault`."""
        raise NotImplementedError

    def answer(self, found: Any) -> tuple[ResponseHead, bytes]:
        """What is answered."""
        raise NotImplementedError


class QueryLines(Asking):
    """``GET /v1/query``."""

    known = (*SPAN, "limit", "order")

    def begin(self, budget: Budget, asked: Parameters) -> Deferred[Answer]:
        order = asked.one("order", "desc")
        if order not in ("asc", "desc"):
            raise ClientFault(400, "bad-order", f"order: found {order[:20]!r}, expected asc or desc.")
        limit = asked.number("limit", LIMIT, MOST)
        return self.searches.search(budget, asked.query(), limit, order == "desc")

    def answer(self, found: Answer) -> tuple[ResponseHead, bytes]:
        lines = found.lines
        if found.partial is not None:
            said = {"Partial": found.partial, "Until": _moment(found.until), "Bytes": found.read}
            lines = [*lines, msgspec.json.encode(said)]
        return ResponseHead(200, [_NDJSON, _FRESH]), b"".join(line + b"\n" for line in lines)


class QueryHistogram(Asking):
    """
    ``GET /v1/histogram``: how many entries a query finds in each of ``buckets`` spans of time, by level.

    ``{"from":…,"seconds":…,"levels":[…],"counts":[[…],…],"partial":null,"until":null,"bytes":…}``
    """

    known = (*SPAN, "buckets")

    def begin(self, budget: Budget, asked: Parameters) -> Deferred[Histogram]:
        return self.searches.histogram(budget, asked.query(), asked.number("buckets", BUCKETS, MOST_BUCKETS))

    def answer(self, found: Histogram) -> tuple[ResponseHead, bytes]:
        said = {
            "from": _moment(found.since),
            "seconds": found.step / 1e9,
            "levels": LEVELS,
            "counts": found.counts,
            "partial": found.partial,
            "until": _moment(found.complete),
            "bytes": found.read,
        }
        return ResponseHead(200, [_JSON, _FRESH]), msgspec.json.encode(said) + b"\n"


class Parameters:
    """
    The query of a target; raises `ClientFault` 400 for what is wrong in it.

    :param known: the names of those that are taken.  Another one is a mistake in typing, and an answer without it would
        be all of the log; so would one without the second of two.
    """

    def __init__(self, query: bytes | None, now: int, known: Sequence[str]) -> None:
        try:
            found = parse_qs((query or b"").decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
        except ValueError:  # UnicodeDecodeError too
            raise ClientFault(400, "bad-query", "The query of the URL is not percent-encoded UTF-8.") from None
        for name, values in found.items():
            if name not in known:
                expected = f"one of {', '.join(known)}" if known else "none"
                raise ClientFault(
                    400, "bad-parameter", f"The URL has the parameter {name[:40]!r}, expected {expected}."
                )
            if len(values) > 1:
                raise ClientFault(400, "bad-parameter", f"{name}: given {len(values)} times, expected it once.")
        self._values = {name: values[0] for name, values in found.items()}
        self._now = now

    def one(self, name: str, default: str = "") -> str:
        return self._values.get(name) or default

    def number(self, name: str, default: int, most: int) -> int:
        text = self.one(name, str(default))
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= most:
            raise ClientFault(400, f"bad-{name}", f"{name}: found {text[:20]!r}, expected a number from 1 to {most}.")
        return int(text)

    def query(self) -> Query:
        """``q``, between ``from`` and ``to``."""
        query = parse_query(self.one("q"), self._now)
        since, until = query.since, query.until
        for name in ("from", "to"):
            text = self.one(name)
            if not text:
                continue
            try:
                moment = parse_moment(text, self._now)
            except ValueError as error:
                raise ClientFault(400, f"bad-{name}", f"{name}: {error}, or a time ago such as 15m.") from None
            since, until = (max(since, moment), until) if name == "from" else (since, min(until, moment))
        return Query(query.terms, since, until)


@implementer(IAnswerObserver)
class _Waiting:
    """Ends the search of whoever has left."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget

    def aborted(self, fault: Exception) -> None:
        self._budget.is_cancelled = True

    def pause(self) -> None:
        """The answer comes in one piece."""

    def resume(self) -> None:
        """The answer comes in one piece."""


def _moment(time: int | None) -> str | None:
    # A time that moments cannot show is of nobody's clock.
    return None if time is None else format_timestamp(min(max(time, 0), 9_000_000_000_000_000_000))


def _explain(failure: Failure, exchange: Any, budget: Budget) -> None:
    if budget.is_cancelled:
        exchange.abort(OurFault(503, "stopping", "The log is stopping."))
        return
    fault = failure.value
    if not isinstance(fault, Fault):
        _log.failure("searching the log", failure)
        fault = OurFault(500, "internal", "Something went wrong here.")
    exchange.fail(fault)
