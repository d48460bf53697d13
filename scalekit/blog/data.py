"""
The data service: posts as JSON over HTTP, kept in SQLite.

=============  ======================================================================================
GET /posts     a page of the list (``?page=N``), newest first, with counts beside it: `store.PostList`
POST /posts    a new post from ``{"title", "author", "body"}``: 201, Location, the post
GET /posts/ID  a post and its comments: `store.Post`
PUT /posts/ID  replaces a post: 200 and the post; with ``If-Match``: 412 if it has changed meanwhile
=============  ======================================================================================

Every answer has an ETag made of the revision, and ``If-None-Match`` is answered with 304 before any costly query: so
asking "is this still true?" is cheap.  All queries run in one thread of their own, never on the reactor.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.blog.store import Conflict, Post, PostFields, PostList, Store, open_store
from scalekit.errors import ClientFault, ConfigurationFault, OurFault
from scalekit.web.answers import (
    ProblemResource,
    answer_later,
    json_answer,
    problem,
    query_value,
    read_body,
)

T = TypeVar("T")

# More waiting queries than this are seconds of work: better to say no at once than to answer people who have left.
WAITING_LIMIT = 256
BODY_LIMIT = 256 * 1024  # bytes of JSON: the longest body below, escaped
LENGTH_LIMITS = {"title": 200, "author": 80, "body": 100_000}  # characters
# Everything below U+0020 but tab and newline, and DEL: never typed, and a trap for terminals and logs.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


class Database(Service):
    """
    The `Store` and the one thread that uses it; opened when the service starts, which is after a daemon's fork.

    :param path: of the SQLite file; made if it is not there, and its directory too.
    :param seed: fills a new database; called on start, before the first query.
    """

    def __init__(self, reactor: IReactorFromThreads, path: str, seed: Callable[[Store], object]) -> None:
        self._reactor = reactor
        self._path = path
        self._seed = seed
        self._pool = ThreadPool(1, 1, "scalekit-data")
        self._store: Store | None = None
        self._waiting = 0

    def startService(self) -> None:
        """
        Open the database at once, so that one that cannot be used ends the start.

        :raises ConfigurationFault: it cannot be used.
        """
        try:
            os.makedirs(os.path.dirname(os.path.abspath(self._path)), mode=0o700, exist_ok=True)
            self._store = open_store(self._path)
            self._seed(self._store)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise ConfigurationFault(f"data.database: {self._path}: cannot be used: {error}") from None
        self._pool.start()
        super().startService()

    def stopService(self) -> None:
        """Finish the queries that wait, then close."""
        super().stopService()
        self._pool.stop()  # joins the thread
        if self._store is not None:
            self._store.close()
            self._store = None

    def run(self, query: Callable[[Store], T]) -> Deferred[T]:
        """Run a query in the thread; raises `OurFault` 503 if too many wait already."""
        if self._store is None or self._waiting >= WAITING_LIMIT:
            raise OurFault(503, "busy", "The data service has more to do than it can.")
        self._waiting += 1
        # A client who leaves cancels its waiting; the query stays in the queue, and is counted until it has run.
        waiting: Deferred[T] = Deferred()
        work: Deferred[T] = deferToThreadPool(self._reactor, self._pool, query, self._store)
        work.addBoth(self._finished).addCallbacks(waiting.callback, waiting.errback)
        return waiting

    def _finished(self, result: T) -> T:
        self._waiting -= 1
        return result

    def __repr__(self) -> str:
        return f"<Database {'open' if self._store is not None else 'closed'}, {self._waiting} waiting>"


class DataResource(ProblemResource):
    """The root of the data service.  ``database`` has a method ``run`` as `Database` has; ``now`` tells the time."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        super().__init__()
        self.putChild(b"posts", _Posts(database, now))


class _Posts(ProblemResource):
    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        super().__init__()
        self._database = database
        self._now = now

    def getChild(self, path: bytes, request: Request) -> Resource:
        # Fifteen digits are within SQLite's integers.
        if re.fullmatch(rb"[1-9][0-9]{0,14}", path) and not request.postpath:
            return _Post(self._database, self._now, int(path))
        return _Missing()

    def render_GET(self, request: Request) -> int:
        page = page_number(query_value(request, b"page"))
        known = known_revision(request, b"list")

        def query(store: Store) -> PostList | None:
            return None if known is not None and store.list_revision() == known else store.page(page)

        def answer(found: PostList | None) -> bytes:
            if found is None:
                return _not_modified(request)
            request.setHeader(b"etag", b'"list-%d"' % found.revision)
            return json_answer(request, 200, found)

        return answer_later(request, self._database.run(query).addCallback(answer))

    def render_POST(self, request: Request) -> int:
        fields = post_fields(read_body(request, BODY_LIMIT))
        now = self._now()

        def answer(post: Post) -> bytes:
            request.setHeader(b"location", b"/posts/%d" % post.id)
            return _post_answer(request, 201, post)

        return answer_later(request, self._database.run(lambda store: store.create(fields, now)).addCallback(answer))


class _Post(ProblemResource):
    isLeaf = True

    def __init__(self, database: Database, now: Callable[[], float], post_id: int) -> None:
        super().__init__()
        self._database = database
        self._now = now
        self._id = post_id

    def render_GET(self, request: Request) -> int:
        known = known_revision(request, b"%d" % self._id)

        def query(store: Store) -> Post | None:
            if known is not None and store.post_revision(self._id) == known:
                return None
            return self._found(store.post(self._id))

        def answer(post: Post | None) -> bytes:
            return _not_modified(request) if post is None else _post_answer(request, 200, post)

        return answer_later(request, self._database.run(query).addCallback(answer))

    def render_PUT(self, request: Request) -> int:
        fields = post_fields(read_body(request, BODY_LIMIT))
        now = self._now()
        match = request.getHeader(b"if-match")
        seen = revision_of(match, b"%d" % self._id)
        if match not in (None, b"*") and seen is None:
            raise ClientFault(412, "changed", "If-Match is not an ETag of this post.")

        def query(store: Store) -> Post:
            try:
                return self._found(store.update(self._id, fields, now, seen))
            except Conflict:
                raise ClientFault(412, "changed", "The post has been changed since you read it.") from None

        return answer_later(
            request, self._database.run(query).addCallback(lambda post: _post_answer(request, 200, post))
        )

    def _found(self, post: Post | None) -> Post:
        if post is None:
            raise ClientFault(404, "no-such-post", f"There is no post {self._id}.")
        return post


class _Missing(ProblemResource):
    isLeaf = True

    def render(self, request: Request) -> bytes:
        return problem(request, 404, "not-found", "There is nothing at this address.")


def entry_of(exchange: Any, seconds: float) -> tuple[str, str, dict[str, str] | None]:
    """
    What the log is told of a request: level, message and fields.

    The id is the one that the blog has been given by the balancer, so that `scalekit why` finds all three.
    """
    head, status = exchange.head, exchange.record.status
    name = (head.get(b"x-request-id") or b"")[:100].decode("latin-1")
    request = f"{head.method.decode('latin-1')} {head.target[:200].decode('latin-1')}"
    level = "ERROR" if status >= 500 else "INFO"
    text = f"{request} {status} {seconds * 1000:.1f}ms id={name or '-'}"
    return level, text, {"request_id": name} if name else None


def post_fields(body: bytes) -> PostFields:
    """The fields of a post from JSON; raises `ClientFault` 400 that names the field."""
    try:
        fields = msgspec.json.decode(body, type=PostFields)
    except msgspec.MsgspecError as error:
        raise ClientFault(400, "bad-field", f"The post is not as expected: {error}.") from None
    for name, limit in LENGTH_LIMITS.items():
        text: str = getattr(fields, name)
        if not text.strip():
            raise ClientFault(400, "bad-field", f"{name}: found nothing, expected some text.")
        if len(text) > limit:
            raise ClientFault(400, "bad-field", f"{name}: found {len(text)} characters, expected at most {limit}.")
        found = _CONTROL.search(text)
        if found or (name != "body" and "\n" in text):
            raise ClientFault(400, "bad-field", f"{name}: found a control character, expected text.")
    return fields


def page_number(text: str | None) -> int:
    """The page that a query asks for; raises `ClientFault` 400."""
    if text is None:
        return 1
    # Nine digits: times the page size, still within SQLite's integers.
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise ClientFault(400, "bad-page", f"page: found {text[:40]!r}, expected a number from 1 on.")
    return int(text)


def known_revision(request: Request, name: bytes) -> int | None:
    """The revision in the request's If-None-Match, if it is an ETag of ours for this thing."""
    return revision_of(request.getHeader(b"if-none-match"), name)


def revision_of(etag: bytes | None, name: bytes) -> int | None:
    """The revision in ``"NAME-REVISION"``; None if it is anything else."""
    # A proxy that compresses may make the tag weak; the revision is the same (RFC 9110 section 8.8.3.2).
    match = re.fullmatch(rb'(?:W/)?"([a-z0-9]+)-([0-9]{1,15})"', (etag or b"").strip())
    return int(match[2]) if match and match[1] == name else None


def _post_answer(request: Request, status: int, post: Post) -> bytes:
    request.setHeader(b"etag", b'"%d-%d"' % (post.id, post.revision))
    return json_answer(request, status, post)


def _not_modified(request: Request) -> bytes:
    request.setResponseCode(304)
    return b""
