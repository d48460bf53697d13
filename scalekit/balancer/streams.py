"""
``GET /v1/events``: every change as a server-sent event, as it happens.

``Last-Event-ID`` goes on from there.  An event ``missed`` says that something in between is not known any more, after a
restart of the balancer or because the reader was too slow: then ``/v1/services`` tells how things are.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from scalekit.balancer.events import EventLog
from scalekit.errors import OurFault
from scalekit.web.answers import ProblemResource
from scalekit.web.guard import has_lapsed

#: Below the least time after which something on the way cuts a connection that is silent (many firewalls: 60 s).
HEARTBEAT_SECONDS = 15.0
#: Dashboards and a few programs; each is a connection that stays.
READERS_LIMIT = 100
#: Milliseconds after which a browser asks again; the balancer is back within seconds after a restart.
RETRY_MILLISECONDS = 2000


class EventStreams(Service):
    """The streams that are open."""

    name = "event-streams"

    def __init__(self, log: EventLog, clock: IReactorTime) -> None:
        self.log = log
        self.readers: set[Reader] = set()
        self.is_closed = False
        self._loop = LoopingCall(self._beat)
        self._loop.clock = clock
        log.observe(self._push)

    def startService(self) -> None:
        super().startService()
        self._loop.start(HEARTBEAT_SECONDS, now=False)

    def stopService(self) -> None:
        super().stopService()
        self.close()
        if self._loop.running:
            self._loop.stop()

    def close(self) -> None:
        """End all streams, and begin none any more: they would hold up whoever waits for what is in flight."""
        self.is_closed = True
        for reader in list(self.readers):
            reader.end()

    def _push(self) -> None:
        for reader in list(self.readers):
            reader.push()

    def _beat(self) -> None:
        for reader in list(self.readers):
            reader.beat()


@implementer(IPushProducer)
class Reader:
    """One stream; what it has not taken yet is in the `EventLog` alone."""

    def __init__(self, streams: EventStreams, request: Request, number: int) -> None:
        self._streams = streams
        self._request = request
        self._number = number
        self._is_paused = False
        self._is_over = False

    def push(self) -> None:
        """Write what has happened since, if the client takes it."""
        if self._is_paused or self._is_over:
            return
        log = self._streams.log
        written = log.after(self._number)
        self._number = log.newest
        if written is None:
            written = b"id: %b\nevent: missed\ndata: {}\n\n" % log.id_of(self._number).encode()
        if written:
            self._request.write(written)

    def beat(self) -> None:
        """Show that we are there, to whoever may still know."""
        if has_lapsed(self._request):
            self.end()
        elif not self._is_paused and not self._is_over:
            self._request.write(b": still here\n\n")

    def end(self) -> None:
        """End the stream."""
        if not self._is_over:
            self.stopProducing()
            self._request.unregisterProducer()
            self._request.finish()

    def left(self, reason: Failure) -> None:
        """The client has gone."""
        self.stopProducing()

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        self.push()

    def stopProducing(self) -> None:
        self._is_over = True
        self._streams.readers.discard(self)


class EventsResource(ProblemResource):
    """``/v1/events``."""

    def __init__(self, streams: EventStreams) -> None:
        super().__init__()
        self._streams = streams

    def render_HEAD(self, request: Request) -> bytes:
        self._head(request)
        return b""

    def render_GET(self, request: Request) -> Any:
        streams = self._streams
        if streams.is_closed or len(streams.readers) >= READERS_LIMIT:
            raise OurFault(503, "too-many-readers", "There is no room for another stream of events, or we are ending.")
        self._head(request)
        log = streams.log
        last = (request.getHeader("last-event-id") or "").strip()
        # Another run's number is not of ours: -1 is before everything that could be kept.
        number = log.newest if not last else log.number_of(last)
        reader = Reader(streams, request, -1 if number is None else number)
        streams.readers.add(reader)
        request.notifyFinish().addErrback(reader.left)
        # A blank line makes an id the one to go on from: who goes on already gets it with what it has missed.
        begin = b"" if last else b"id: %b\n" % log.id_of(log.newest).encode()
        request.write(b"retry: %d\n%b\n" % (RETRY_MILLISECONDS, begin))
        request.registerProducer(reader, True)
        reader.push()
        return NOT_DONE_YET

    def _head(self, request: Request) -> None:
        request.setHeader(b"content-type", b"text/event-stream")
        request.setHeader(b"cache-control", b"no-store")
