"""
A client of the cache service for Twisted, for which "away" is a miss and never an error.

::

    cache = AsyncCache("https://127.0.0.1:5000", make_client(reactor, ca_path), reactor)
    page = await cache.get("/posts/1")      # bytes, or None
    await cache.put("/posts/1", page, 86400, tags=["posts"])
    await cache.purge(tags=["posts"])       # True once the cache has confirmed it

`scalekit.kit.decorating.cached` does this around a function, so that many who miss make the value once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.errors import ConfigurationFault
from scalekit.kit.breaker import Breaker
from scalekit.kit.cache_requests import (
    READ_SECONDS,
    WARM_UP_SECONDS,
    Request,
    Times,
    give_back_request,
    look_request,
    many_request,
    purge_request,
    put_request,
    read_looked,
    read_many,
)
from scalekit.kit.client import Answer, Client, TooLate, Unreachable, why_unreachable
from scalekit.kit.lookup import Look, Looked

_log = Logger()


class AsyncCache:
    """
    Bytes by key.

    :param url: of the cache service, such as ``https://127.0.0.1:5000``.
    :param clock: tells the breaker the time.
    :param headers: the fields that show a token to a cache on another machine, as `TokenFile.headers`; asked for at
        each request.
    :param read_seconds: what takes longer is a miss.
    """

    def __init__(
        self,
        url: str,
        client: Client,
        clock: IReactorTime,
        headers: Callable[[], dict[str, str]] = dict,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._clock = clock
        self._headers = headers
        self._lack = ""  # of a token, as it was told last
        self._read_seconds = read_seconds
        self._breaker = Breaker()
        self._is_warming = False
        self._looks: dict[Look, list[Deferred[Looked | None]]] = {}  # who waits for those under way that want a lease

    def warm_up(self) -> None:
        """
        Open a connection, so that nobody has to wait for that: a handshake may take longer than a read may.

        Done again whenever something took too long, for the connection that was being opened then is lost.
        """
        if self._is_warming:
            return
        self._is_warming = True

        def ended(result: object) -> object:
            self._is_warming = False
            return result

        self._client.fetch("GET", f"{self._url}/ping", seconds=WARM_UP_SECONDS).addErrback(_no_value).addBoth(ended)

    def get(self, key: str) -> Deferred[bytes | None]:
        """What is stored under this key; None if there is nothing, or no cache."""
        return self.look(Look(key)).addCallback(lambda looked: None if looked is None else looked.value)

    def get_many(self, keys: Sequence[str]) -> Deferred[dict[str, bytes]]:
        """What is stored under these keys; empty if there is no cache."""
        if not self._is_asked():
            return succeed({})

        def nothing(failure: Failure) -> dict[str, bytes]:
            failure.trap(Unreachable)
            return {}

        asked = self._ask(many_request(keys, self._read_seconds))
        return asked.addCallbacks(lambda answer: read_many(answer.status, answer.body), nothing)

    def look(self, look: Look) -> Deferred[Looked | None]:
        """
        What is stored, and perhaps a lease; None if there is no cache.

        Those who look for the same at the same time, and want a lease, share one request, lest a stampede be a stampede
        of connections; the first of them gets the lease.
        """
        if not look.lease_seconds:
            return self._look(look)
        waiting: Deferred[Looked | None] = Deferred()
        # Who waits for it already will be told as soon as there is something to tell.
        waiters = self._looks.get(look.waiting) or self._looks.get(look)
        if waiters is not None:
            waiters.append(waiting)
            return waiting
        waiters = self._looks[look] = [waiting]

        def tell(looked: Looked | None) -> None:
            if self._looks.get(look) is waiters:
                del self._looks[look]
            for waiter in waiters:
                if not waiter.called:  # else it was cancelled
                    waiter.callback(looked)
                    looked = None if looked is None else looked._replace(lease="")
            if looked is not None and looked.lease:
                self.give_back(looked.lease)

        asked = self._look(look).addCallback(tell)
        asked.addErrback(lambda failure: _log.failure("looking for {look}", failure, look=look))
        return waiting

    def _look(self, look: Look) -> Deferred[Looked | None]:
        if not self._is_asked():
            return succeed(None)

        def read(answer: Answer) -> Looked:
            return read_looked(answer.status, answer.get, answer.body)

        return self._ask(look_request(look, self._read_seconds)).addCallbacks(read, _no_value)

    def put(
        self,
        key: str,
        value: bytes,
        max_age: float,
        *,
        tags: Sequence[str] = (),
        while_revalidating: float = 0,
        if_error: float = 0,
        lease: str = "",
    ) -> Deferred[bool]:
        """
        Store a value; whether the cache has confirmed it.

        :param max_age: seconds, as the others, see `Times`.
        :param lease: the token under which it was made; what was purged since is not stored.
        """
        if not self._is_asked():
            return succeed(False)
        request = put_request(key, value, Times(max_age, while_revalidating, if_error), tags, lease)
        return self._ask(request).addCallbacks(_is_stored, _no_success)

    def give_back(self, lease: str) -> Deferred[bool]:
        """Let the next one make it; whether the cache has confirmed it."""
        if not self._is_asked():
            return succeed(False)
        return self._ask(give_back_request(lease, self._read_seconds)).addCallbacks(
            lambda answer: answer.status < 300, _no_success
        )

    def delete(self, key: str) -> Deferred[bool]:
        """Purge a key; whether the cache has confirmed it."""
        return self.purge([key])

    def purge(
        self,
        keys: Sequence[str] = (),
        *,
        tags: Sequence[str] = (),
        prefix: str = "",
        everything: bool = False,
        soft: bool = False,
    ) -> Deferred[bool]:
        """
        Purge what any of these names; whether the cache has confirmed it.

        Asks also while the breaker is open: what is not purged comes back when the cache does.

        :param soft: make it stale instead of removing it.
        """
        request = purge_request(keys, tags, prefix, everything, soft)

        def confirmed(is_purged: bool) -> bool:
            self._looks = {}  # who comes after this is not to be told what was found before
            return is_purged

        def again(failure: Failure) -> Deferred[Answer]:
            # A kept connection may have been closed at this very moment; purging twice does no harm.
            failure.trap(Unreachable)
            return self._ask(request)

        asked = self._ask(request).addErrback(again)
        return asked.addCallbacks(_is_success, _no_success).addCallback(confirmed)

    def _is_asked(self) -> bool:
        return self._breaker.allows(self._clock.seconds())

    def _ask(self, request: Request) -> Deferred[Answer]:
        """Ask, and tell the breaker what came of it: an answer of 500 and up is a failure too."""
        try:
            headers = self._headers()
        except ConfigurationFault as fault:
            if self._lack != str(fault):
                self._lack = str(fault)
                _log.warn("The cache cannot be asked: {lack}", lack=self._lack)
            asked: Deferred[Answer] = fail(Unreachable(str(fault)))
        else:
            self._lack = ""
            asked = self._client.fetch(
                request.method,
                self._url + request.path,
                seconds=request.seconds,
                headers=headers | request.headers,
                body=request.body,
            )

        def judge(answer: Answer) -> Answer:
            if answer.status >= 500:
                raise Unreachable(f"{self._url} answered {answer.status}")
            self._breaker.succeeded()
            return answer

        def count(failure: Failure) -> Failure:
            _log.debug("The cache is away: {cause}", cause=why_unreachable(failure))
            self._breaker.failed(self._clock.seconds())
            if failure.check(TooLate):
                self.warm_up()
            return failure

        return asked.addCallback(judge).addErrback(count)

    def __repr__(self) -> str:
        return f"<AsyncCache {self._url} {self._breaker!r}>"


def _is_stored(answer: Answer) -> bool:
    # A 409 is as it should be: it was purged meanwhile.
    return False if answer.status == 409 else _is_success(answer)


def _is_success(answer: Answer) -> bool:
    if answer.status >= 300:
        _log.warn("The cache answered {status}: {body}", status=answer.status, body=answer.body[:200])
    return answer.status < 300


def _no_value(failure: Failure) -> None:
    failure.trap(Unreachable)


def _no_success(failure: Failure) -> bool:
    failure.trap(Unreachable)
    return False
