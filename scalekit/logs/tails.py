"""
``GET /v1/tail?q=``: entries as server-sent events, each as soon as it is on disk.

An event's ``id`` is the entry's sequence number, its data the line of the log's truth (`scalekit.logs.records`).
``Last-Event-ID``, or ``after=`` where that cannot be set, goes on from there.  See `scalekit.logs.tailing` for gaps.

A client that takes nothing is parked: it costs its place here and nothing else.  When it takes something again it is
told from the disk what has come meanwhile.  One that has taken nothing for a minute is gone: that is the listener's to
say (`scalekit.net.deadlines.Timeouts.answer_progress`), which knows of each byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import ClientFault, OurFault
from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.http.problems import problem_answer
from scalekit.interfaces import IAnswerObserver, IResponder
from scalekit.logs.collector import Collector
from scalekit.logs.frames import Frame
from scalekit.logs.past import PastReader
from scalekit.logs.search.asking import SPAN, Parameters
from scalekit.logs.search.matching import Matcher
from scalekit.logs.tailing import Recent, Told, gap, tell
from scalekit.logs.threads import Lane
from scalekit.web.guard import is_lapsed

#: Below the least time after which something on the way cuts a connection that is silent (many firewalls: 60 s).
HEARTBEAT_SECONDS = 15.0
#: Pages and a few programs; each is a connection that stays.
TAILS_LIMIT = 100
#: Milliseconds after which a browser asks again; the log is back within seconds after a restart.
RETRY_MILLISECONDS = 2000

_log = Logger()
T = TypeVar("T")


@implementer(IResponder)
class Tails:
    """
    The tails that are open; answers ``GET /v1/tail``.

    :param lanes: where events are made, for one turn at a time of all tails that keep up; and of those that read the
        disk: one that is told of last week takes its time for each turn, and no other one waits for it.
    :param wall: seconds since the epoch.
    """

    def __init__(
        self, collector: Collector, lanes: tuple[Lane, Lane], clock: IReactorTime, wall: Callable[[], float]
    ) -> None:
        self._collector = collector
        self._lanes = lanes
        self._wall = wall
        self._recent = Recent()
        self._tails: set[_Tail] = set()
        self._busy: set[Lane] = set()
        self._past = PastReader()  # only who is behind needs it, in the lane of these
        self._is_closed = False
        self._beats = LoopingCall(self._beat)
        self._beats.clock = clock
        collector.follow(self._follow)
        collector.before_close(self._end_lane)

    def respond(self, exchange: Any) -> None:
        head: RequestHead = exchange.head
        if head.length != 0:
            exchange.discard()
        if head.method not in (b"GET", b"HEAD"):
            fault = ClientFault(405, "method", "This resource takes GET.")
            exchange.record.reason = fault.reason
            exchange.answer(*problem_answer(fault, head, exchange.request_id, allowed=b"GET, HEAD"))
            return
        asked = Parameters(head.query, int(self._wall() * 1e9), (*SPAN, "after"))
        matcher = Matcher(asked.query())
        last = (head.get(b"last-event-id") or b"").strip().decode("latin-1") or asked.one("after")
        if last and not (last.isascii() and last.isdecimal() and len(last) < 19):
            raise ClientFault(400, "bad-id", f"Last-Event-ID: found {last[:20]!r}, expected an event's id.")
        fields = [(b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-store")]
        if head.method == b"HEAD":
            exchange.answer(ResponseHead(200, fields))
            return
        if self._is_closed or not self._collector.running or len(self._tails) >= TAILS_LIMIT:
            raise OurFault(503, "too-many-tails", "There is no room for another tail, or the log is ending.", 1)
        newest = self._collector.newest
        number = int(last) if last else newest
        begin = b"retry: %d\nid: %d\n\n" % (RETRY_MILLISECONDS, min(number, newest))
        if number > newest:  # of a log that was here before
            begin += gap(newest, None)
        tail = _Tail(self, exchange, matcher, min(number, newest))
        exchange.observe(tail)
        exchange.begin(ResponseHead(200, fields))
        exchange.write(begin)
        self._tails.add(tail)
        if not self._beats.running:
            self._beats.start(HEARTBEAT_SECONDS, now=False)
        self.work()

    def _follow(self, frame: Frame) -> None:
        if self._tails:
            self._recent.add(frame)
            self.work()

    def work(self) -> None:
        """Begin a turn, if there is something to tell to somebody who takes it."""
        newest = self._collector.newest
        waiting = [tail for tail in self._tails if tail.number < newest and not (tail.is_paused or tail.is_being_told)]
        if self._is_closed or not waiting:
            return
        recent = self._recent.frames()
        first = recent[0].first if recent else newest + 1
        near, far = self._lanes
        self._begin(near, [tail for tail in waiting if tail.number + 1 >= first], newest, recent)
        self._begin(far, [tail for tail in waiting if tail.number + 1 < first], newest, recent)

    def _begin(self, lane: Lane, tails: list[_Tail], newest: int, recent: tuple[Frame, ...]) -> None:
        if lane in self._busy or not tails:
            return
        self._busy.add(lane)
        reader = self._collector.reader
        asked, past = [(tail, tail.number, tail.matcher) for tail in tails], self._past
        for tail in tails:
            tail.is_being_told = True

        def turn() -> list[tuple[_Tail, Told]]:
            return [(tail, tell(number, matcher, newest, recent, reader, past)) for tail, number, matcher in asked]

        def ended(result: T) -> T:
            self._busy.discard(lane)
            for tail in tails:
                tail.is_being_told = False
            return result

        lane.run(turn).addBoth(ended).addCallbacks(self._told, self._failed, errbackArgs=(tails,))

    def _told(self, all_told: list[tuple[_Tail, Told]]) -> None:
        is_further = False
        for tail, told in all_told:
            is_further = is_further or told.number > tail.number
            tail.take(told)
        # Else what they want is not to be read at present: with the next frame, or beat.
        if is_further:
            self.work()

    def _failed(self, failure: Failure, tails: list[_Tail]) -> None:
        _log.failure("reading the journal for a tail", failure)
        for tail in tails:
            tail.end()  # it comes again, and goes on where it was

    def left(self, tail: _Tail) -> None:
        """This one is over."""
        self._tails.discard(tail)
        if not self._tails:
            self._recent.clear()
            if self._beats.running:
                self._beats.stop()

    def _beat(self) -> None:
        for tail in list(self._tails):
            tail.beat()
        self.work()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._tails)

    @property
    def parked(self) -> int:
        """How many of them take nothing at present."""
        return sum(tail.is_paused for tail in self._tails)

    def close(self) -> None:
        """End all tails, and begin none any more: they would hold up whoever waits for what is in flight."""
        self._is_closed = True
        for tail in list(self._tails):
            tail.end()

    def _end_lane(self) -> None:
        self.close()
        for lane in self._lanes:
            lane.close()

    def __repr__(self) -> str:
        return f"<Tails: {len(self._tails)} open, {self._recent!r}>"


@implementer(IAnswerObserver)
class _Tail:
    """
    One of them.

    :ivar number: up to which sequence number it has been told all.
    :ivar is_being_told: what comes next is on its way.
    """

    def __init__(self, tails: Tails, exchange: Any, matcher: Matcher, number: int) -> None:
        self._tails = tails
        self._exchange = exchange
        self._is_over = False
        self.matcher = matcher
        self.number = number
        self.is_paused = False
        self.is_being_told = False

    def take(self, told: Told) -> None:
        """Send what a turn has brought."""
        if not self._is_over:
            self.number = told.number
            if told.events:
                self._exchange.write(told.events)

    def beat(self) -> None:
        """Show that we are there, and what need not be told again."""
        if is_lapsed(self._exchange):
            self.end()
        elif not self.is_paused:
            self._exchange.write(b"id: %d\n: still here\n\n" % self.number)

    def end(self) -> None:
        """Finish the answer."""
        if not self._is_over:
            self._is_over = True
            self._tails.left(self)
            self._exchange.finish()

    def aborted(self, fault: Exception) -> None:
        self._is_over = True
        self._tails.left(self)

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self._tails.work()
