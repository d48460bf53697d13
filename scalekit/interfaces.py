"""
Every seam of scalekit on one page.

The seam that matters is between a *listener*, which turns bytes into exchanges, and a *responder*, which answers them
(`IExchange`, `IResponder`, `IBodyReceiver`, `IAnswerObserver`).  HTTP/1.1, HTTP/2 and a stock ``twisted.web`` site each
implement only `IExchange`; the reverse proxy, a ``twisted.web`` resource tree and every decorator around them implement
only `IResponder`.  The seam towards app servers is `IAnswerReceiver`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface import Attribute, Interface


class IBodyReceiver(Interface):
    """Takes a request's body, piece by piece."""

    def data(piece: bytes) -> None:
        """One non-empty piece, already free of its transfer coding."""

    def end(trailers: list[tuple[bytes, bytes]]) -> None:
        """The body is complete; called exactly once, unless the observer hears `IAnswerObserver.aborted` first."""


class ITunnelReceiver(IBodyReceiver):
    """Takes what the client sends through a tunnel."""

    def go_away() -> None:
        """The listener is to end: end the tunnel in the way of its protocol, soon."""


class IAnswerObserver(Interface):
    """Hears what happens to an answer after its responder has returned."""

    def aborted(fault: Exception) -> None:
        """The client is gone, or broke the rules in its body: called at most once; nothing more can be sent."""

    def pause() -> None:
        """Enough is queued towards the client: produce no more until `resume`."""

    def resume() -> None:
        """There is room again."""


class IExchange(Interface):
    """
    One request and its response, whichever HTTP version carries it.

    The life of one: the listener makes it and calls `IResponder.respond`.  The responder calls `receive` or `discard`
    (an exchange without a body needs neither), may `pause` and `resume` the body, and answers: either `answer` once, or
    `begin`, any number of `write`, and `finish`.  `abort` ends it where an answer can no longer be made right.

    Or, if ``head.upgrade`` names a protocol, it may `switch` to a tunnel: bytes both ways, each until its own end.
    """

    head = Attribute("The request: a `scalekit.http.heads.RequestHead`.")
    client = Attribute("Who asks: a `scalekit.http.heads.Client`, one a connection.")
    request_id = Attribute("bytes: names this exchange in logs, answers and towards the app server.")
    record = Attribute("A `scalekit.http.heads.Outcome` that responders fill in as they go; reported when it is over.")
    amend = Attribute(
        """
        What the head of the answer goes through before it is sent, `(ResponseHead, size or None) -> ResponseHead`, or
        None.  For decorators that change nothing else: it costs less than an exchange of their own around this one.
        """
    )

    def observe(observer: object) -> None:
        """Tell this `IAnswerObserver` from now on; a later call replaces the earlier observer."""

    def receive(receiver: object) -> None:
        """Let the body flow to this `IBodyReceiver`; sends ``100 Continue`` if the client waits for it. Once only."""

    def discard() -> None:
        """Read and forget the body."""

    def pause() -> None:
        """
        Stop reading the body until `resume`; the client feels it.  Without effect before `receive`, when it waits
        anyway, and after its end.
        """

    def resume() -> None:
        """Go on reading the body."""

    def inform(status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """Send an interim (1xx) answer; dropped where the client cannot take one (HTTP/1.0)."""

    def answer(head: object, body: bytes = b"") -> None:
        """
        Send a whole answer, a `scalekit.http.heads.ResponseHead` and its body, in one write.

        ``head.length`` may be None, the body's length is used then.  The body is left out for HEAD, 204 and 304, which
        keep ``head.length`` as their Content-Length where it is set and allowed.
        """

    def begin(head: object) -> None:
        """Send the head of an answer whose body follows by `write`; ``head.length`` None means: length not known."""

    def write(data: bytes) -> None:
        """Send a piece of the body; ignored for HEAD, 204 and 304, and after an abort."""

    def finish(trailers: list[tuple[bytes, bytes]] = ()) -> None:  # type: ignore[assignment]
        """The answer is complete.  Fewer bytes than ``head.length`` make it an abort."""

    def switch(head: object, receiver: object) -> None:
        """
        Answer 101 (HTTP/2: 200) with ``head.fields``, and become a tunnel; only where ``head.upgrade`` of the request
        names a protocol, and instead of `answer` or `begin`.

        From now on what the client sends, with what has come already, goes to this `ITunnelReceiver`, and its
        half-close as ``end([])``; `write` sends bytes as they are, `finish` ends our direction only, `abort` cuts both.
        `pause` and `resume` hold the client's bytes, the observer hears of room and of aborts as ever.  The exchange is
        over once both directions have ended.  The listener adds Connection and Upgrade where there are such fields.

        :param head: a `scalekit.http.heads.ResponseHead`; its status and length do not count.
        """

    def fail(fault: Exception) -> None:
        """Answer with the `scalekit.errors.Fault` as problem details if no answer has begun, else `abort`."""

    def abort(fault: Exception) -> None:
        """Cut the answer so that the client notices: reset the stream, or close without the final chunk."""


class IResponder(Interface):
    """Answers exchanges."""

    def respond(exchange: object) -> None:
        """
        Take charge of this `IExchange`; called as soon as its head is there.

        May answer at once or later.  A `scalekit.errors.Fault` raised here is answered as such; anything else raised
        is logged and answered with 500.
        """


class IAnswerReceiver(Interface):
    """Takes an app server's answer from an upstream connection."""

    def informed(status: int, fields: list[tuple[bytes, bytes]]) -> None:
        """An interim (1xx) answer, not 100 and not 101."""

    def continued() -> None:
        """``100 Continue`` came: the body is wanted."""

    def answered(head: object, body: bytes) -> None:
        """A whole answer in one piece; nothing follows."""

    def began(head: object) -> None:
        """The head of an answer whose body follows."""

    def switched(head: object) -> None:
        """
        The app server has switched to the protocol that it was asked for; only where it was asked.

        What it sends comes as `data`, its half-close as `ended`; the connection's ``write`` sends bytes as they are,
        its ``finish`` ends our direction.  `failed`, `hold` and `release` mean what they mean, for the tunnel.
        """

    def data(piece: bytes) -> None:
        """One piece of the body."""

    def ended(trailers: list[tuple[bytes, bytes]]) -> None:
        """The answer is complete."""

    def failed(fault: Exception) -> None:
        """No (complete) answer will come: a `scalekit.errors.UpstreamFault`.  Nothing follows."""

    def hold() -> None:
        """Enough of the request's body is queued towards the app server."""

    def release() -> None:
        """There is room again for the request's body."""


class ILogSink(Interface):
    """Takes log entries without ever blocking, raising, or waiting; what it cannot keep it counts."""

    def log(level: str, message: str, timestamp: float | None = None, fields: Any = None) -> None:
        """
        Take one entry.

        :param level: ``DEBUG``, ``INFO``, ``WARN``, ``ERROR`` or ``PANIC``.
        :param timestamp: seconds since the epoch; None: now.
        :param fields: what the entry says besides, by its name; a mapping, or None for nothing.
        """


class ILogDestination(Interface):
    """
    Where a log's entries leave it to: another system, such as a collector of OpenTelemetry's.

    `scalekit.logs.sinks.forwarder.Forwarder` has the cursor, the order, and the patience; this only carries a batch.
    The same entry has the same name whenever it is sent, so that the other side can know a repeat.
    """

    def pack(entries: Sequence[Any]) -> Any:
        """
        What is sent of these, at least one: (name, `scalekit.logs.sinks.backlog.Leaving`) each.

        Called in a thread of its own; takes whatever an entry may hold.
        """

    def send(packed: Any) -> Any:
        """
        Send what `pack` has made; a Deferred of a `scalekit.logs.sinks.outcomes.Outcome`.

        It never fails, has a deadline of its own, and fires soon when it is cancelled.
        """

    def close() -> Any:
        """Nothing is sent any more; a Deferred that fires when no connection is left."""


class ICacheStore(Interface):
    """
    Values by key, with leases for what is missing and purges of many: what the key/value service serves.

    Where the answer is in memory it is returned at once; where somebody else has to be asked, a Deferred of it, which
    fires within `scalekit.cache.purge_log.PATIENCE_SECONDS` (`wait` aside) and never fails because that one is away.
    """

    store = Attribute("The `scalekit.cache.store.Store` of this process: its room is what values that come in reserve.")
    clock = Attribute("An `IReactorTime`, whose seconds are the store's.")
    leases = Attribute("The `scalekit.cache.leases.Leases` of this process.")
    waiting = Attribute("How many wait for a value that somebody makes.")

    def get(key: bytes, window: Any = ...) -> Any:
        """The `scalekit.cache.entry.Entry` of this key, if it is not staler than this `Window`; else None."""

    def look(key: bytes, now: float, window: Any) -> Any:
        """The same at this moment of ``clock``."""

    def peek(key: bytes) -> Any:
        """The same, however stale."""

    def ask(key: bytes, lease_seconds: float = ...) -> Any:
        """A `scalekit.cache.keyvalue.Found`: what is stored and, if that is not fresh, the lease unless it is taken."""

    def wait(key: bytes, lease_seconds: float, wait_seconds: float) -> Any:
        """A Deferred of the same, but if there is nothing and somebody makes it, after that or so many seconds."""

    def begin(key: bytes) -> Any:
        """A `scalekit.cache.store.Fill`: a value comes in; ends with `put` or ``store.abandon``."""

    def put(
        key: bytes,
        value: bytes,
        lifetimes: Any,
        tags: tuple[bytes, ...],
        fill: Any,
        token: bytes = b"",
        expected: bytes | None = None,
    ) -> Any:
        """
        Store a value; what came of it, a `scalekit.cache.store.Put`.

        What was purged since the fill began, or the lease of this token, is not stored.

        :param token: of the lease in which it was made, which is over now; empty: none.
        :param expected: the entity tag that must be there, empty for nothing at all; None: whatever is there.
        """

    def release(token: bytes) -> Any:
        """Give a lease back, so that the next one may try; whether there was one."""

    def refuse(token: bytes) -> Any:
        """The same where a value was made and cannot be kept: nobody waits for this key for a while."""

    def purge(
        keys: Sequence[bytes] = (), tags: Sequence[bytes] = (), prefix: bytes | None = None, is_soft: bool = False
    ) -> Any:
        """
        Remove these keys, all that bears these tags, and all that begins with this prefix unless it is None; or make it
        stale.  True, or a `scalekit.cache.keyvalue.Purged`; False, and nothing has changed, if too much is to be swept.
        """


class IPurgeObserver(Interface):
    """Hears what other daemons purge; see `scalekit.cache.purge_log.PurgeLog`."""

    def purged(purge: Any) -> None:
        """They have purged a `scalekit.cache.redis_records.Purge`."""

    def changed(key: bytes) -> None:
        """They have stored something else under this key, or have given back its lease."""

    def doubted() -> None:
        """Nobody knows what was purged: make everything stale."""


class ICacheForecast(Interface):
    """Tells what an HTTP cache would do with a request that does not come."""

    def forecast(head: Any, client: Any) -> dict[str, Any]:
        """
        What would become of this `scalekit.http.heads.RequestHead`; nothing is answered, counted or asked for.

        ``decision``: ``hit`` or ``stale`` (answered from the cache), ``validate``, ``miss``, ``bypass`` or ``off`` (the
        app server answers), ``unavailable`` (504: the request wants nobody asked); ``detail``: the same and why, for
        people; ``fresh_seconds``: for how many more what is stored is fresh, None if nothing is, or never was.
        """


class IPanel(Interface):
    """A part of the balancer's dashboard that another feature brings."""

    def view() -> dict[str, Any]:
        """
        What to show now, as plain data; called at most once a second, and must not wait.

        ``name``; ``alarm``: what is wrong with it, in a sentence, or nothing; ``facts``: (value, what it is) each;
        ``note``: a sentence or nothing; ``head`` and ``rows`` of a table whose first column is text and the others
        numbers.  All of it is text, which the dashboard escapes.
        """
