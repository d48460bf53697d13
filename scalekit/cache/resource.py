"""
The routes of port 5000, as a ``twisted.web`` resource for any site.

======  ======================  ==========================================================================
method  route                   answer
======  ======================  ==========================================================================
GET     ``/?key=K``             200 with the stored bytes, Age and the seconds left; 404
HEAD    ``/?key=K``             the same without the bytes
POST    ``/?key=K``             stores the body for ``Cache-Control: max-age=N``: 201 new, 204 replaced,
                                400 no or bad age, 413 too big
POST    ``/invalidate?key=K``   204, whether or not there was anything (202: see `scalekit.cache.values`)
GET     ``/invalidate?key=K``   the same for the tutorial's clients, on this machine only: 403 for others
======  ======================  ==========================================================================

These are the tutorial's; below ``/v1`` are `scalekit.cache.values` and `scalekit.cache.bulk`, on the same store.  Here
nothing stale is served.  Who may come at all is decided before (`scalekit.web.guard`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from twisted.internet.interfaces import IReactorTime
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.cache.ageing import lifetimes
from scalekit.cache.bulk import GetMany, LeasesResource, Purge, StatsResource
from scalekit.cache.entry import Entry
from scalekit.cache.keys import key_of
from scalekit.cache.keyvalue import KeyValue, Purged
from scalekit.cache.later import rendered
from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.shared import SharedKeyValue
from scalekit.cache.store import Put, Store, Window
from scalekit.cache.values import Values, purged_head
from scalekit.config.urls import is_loopback
from scalekit.errors import ClientFault
from scalekit.interfaces import ICacheStore
from scalekit.web.answers import ProblemResource, problem, read_body
from scalekit.web.resource import ResponderResource

# memcached's limit for one value; a cache of fragments and query results needs no more.
LARGEST_VALUE_BYTES = 1024 * 1024


class CacheResource(ProblemResource):
    """
    The root of the cache service.

    :param clock: what the store's seconds are taken from, and leases are timed with.
    :param new_token: makes the tokens of leases, none of which another process may have made; None: they are counted,
        for a cache of which nobody remembers the one before.
    :param hurry: called after a purge that has left something to `Store.sweep`.
    :param default_max_age: seconds for a store request that names none; None: it is refused.
    :param largest_value: bytes of a body.
    :param log: what several caches share their values by; None: this one has its own.

    :ivar values: what is below `scalekit.cache.values.PATH`.
    """

    def __init__(
        self,
        store: Store,
        clock: IReactorTime,
        default_max_age: float | None = None,
        largest_value: int = LARGEST_VALUE_BYTES,
        new_token: Callable[[], bytes] | None = None,
        hurry: Callable[[], None] = lambda: None,
        log: PurgeLog | None = None,
    ) -> None:
        super().__init__()
        new_token = new_token or map(b"lease-%d".__mod__, count(1)).__next__
        near = KeyValue(store, clock, new_token, hurry)
        self.service: ICacheStore = near if log is None else SharedKeyValue(near, log, new_token)
        self._default_max_age = default_max_age
        self._largest_value = largest_value
        self.putChild(b"invalidate", Invalidation(self.service))
        first = ProblemResource()
        self.values = Values(self.service, largest_value, default_max_age)
        first.putChild(b"keys", ResponderResource(self.values))
        first.putChild(b"keys:get", GetMany(self.service))
        first.putChild(b"purge", Purge(self.service))
        first.putChild(b"stats", StatsResource(self.service))
        first.putChild(b"leases", LeasesResource(self.service))
        self.putChild(b"v1", first)

    def getChild(self, path: bytes, request: Request) -> Resource:
        # "/" has an empty last segment; "//" or "/cache//" are no other names for it.
        return self if path == b"" and not request.postpath else super().getChild(path, request)

    def render_GET(self, request: Request) -> bytes | int:
        return self._render(request, False)

    def render_HEAD(self, request: Request) -> bytes | int:
        return self._render(request, True)

    def _render(self, request: Request, is_head: bool) -> bytes | int:
        def render(entry: Entry | None) -> bytes:
            body = self._value(request, entry)
            if is_head:
                request.setHeader(b"content-length", b"%d" % len(body))
                return b""
            return body

        return rendered(request, self.service.get(_key(request), Window.FRESH), render)

    def _value(self, request: Request, entry: Entry | None) -> bytes:
        now = self.service.clock.seconds()
        if entry is None:
            return problem(request, 404, "absent", "There is nothing under this key.")
        request.setHeader(b"content-type", b"application/octet-stream")
        # What is stored may be a page that somebody else wrote; it is not to run in the browser of who looks here.
        request.setHeader(b"x-content-type-options", b"nosniff")
        request.setHeader(b"age", b"%d" % (now - entry.stored))
        request.setHeader(b"cache-control", b"max-age=%d" % (entry.expires - now))
        value: bytes = entry.value
        return value

    def render_POST(self, request: Request) -> bytes | int:
        key = _key(request)
        times = lifetimes(request.requestHeaders.getRawHeaders(b"cache-control", []), self._default_max_age)
        value = read_body(request, self._largest_value)
        outcome = self.service.put(key, value, times, (), self.service.begin(key))
        return rendered(request, outcome, lambda outcome: _stored(request, outcome))


class Invalidation(ProblemResource):
    """``/invalidate``: forgets a key."""

    allowedMethods = (b"GET", b"POST")

    def __init__(self, service: ICacheStore) -> None:
        super().__init__()
        self._service = service

    def render_GET(self, request: Request) -> bytes | int:
        # A unix socket, which has no host, is of this machine.
        if not is_loopback(getattr(request.getClientAddress(), "host", "127.0.0.1")):
            raise ClientFault(403, "get-not-here", "From another machine, invalidate with POST.")
        return self._invalidate(request)

    def render_HEAD(self, request: Request) -> bytes:
        # twisted.web would take it for a GET, and so invalidate.
        raise UnsupportedMethod(self.allowedMethods)

    def render_POST(self, request: Request) -> bytes | int:
        return self._invalidate(request)

    def _invalidate(self, request: Request) -> bytes | int:
        def render(outcome: bool | Purged) -> bytes:
            request.setResponseCode(purged_head(outcome).status)
            return b""

        return rendered(request, self._service.purge([_key(request)]), render)


def _stored(request: Request, outcome: Put) -> bytes:
    if outcome is Put.NO_ROOM:
        request.setHeader(b"retry-after", b"1")
        return problem(request, 503, "no-room", "Values that are coming in have reserved all of the cache.")
    if outcome is Put.TOO_BIG:
        raise ClientFault(413, "too-big-for-cache", "One entry may take an eighth of the cache at most.")
    if outcome is Put.PURGED:
        raise ClientFault(409, "purged", "It was purged while it was coming in; it is not stored.")
    request.setResponseCode(204 if outcome is Put.REPLACED else 201)
    return b""


def _key(request: Request) -> bytes:
    # Not from request.args: a form's body would be mixed in.
    return key_of(request.uri.partition(b"?")[2])
