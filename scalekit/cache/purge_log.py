"""
The purges that several daemons share, in order, by a Redis Stream.

What is published is said until Redis has it, also after it was away.  What others have published is heard in order;
after a pause it is read on from where we were.  If that place is no longer there, too much was missed, or Redis itself
has lost something: then nobody knows what is still right, and all of the namespace becomes stale.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from scalekit.cache.keyvalue import Purged
from scalekit.cache.purges import Kind
from scalekit.cache.redis_records import Purge, fields_of, pattern_of, prefixes_of, purge_arguments, purge_of
from scalekit.cache.redis_scripts import ENTRIES_KEPT, LAST, PURGE, SCRIPTS, SWEEP, SWEPT, sha
from scalekit.interfaces import IPurgeObserver
from scalekit.net.redis import LISTEN_MILLISECONDS, RedisDoor, RedisPair, together

#: What a request may wait for Redis, which usually takes under one; whatever it would have saved is made anew.
PATIENCE_SECONDS = 0.05
LISTEN_COUNT = 500
#: In one script: 100 take some 2 ms of Redis' time, in which nobody else is served.
MOST_AT_ONCE = 100
#: Keys that SCAN looks at; those that match are swept in one script, 10 us each.
SCAN_COUNT = 100
#: Of those that wait to be said; beyond it, all is purged once Redis is back.
MOST_UNSAID = ENTRIES_KEPT
#: A connection that has lasted so long was no accident.
PROVED_SECONDS = 30.0

ALL = Purge(Kind.PREFIX, b"")


class Away(Exception):
    """Redis is not there, or did not answer in time; what was asked may yet be done."""


class _Saying(NamedTuple):
    purges: list[Purge]
    said: Deferred[None]


class PurgeLog(RedisPair):
    """
    :param namespace: what the keys in Redis begin with.
    :param run: names this run of this daemon; what it has published itself is not heard.

    :ivar patience_seconds: how long `ask` waits.
    :ivar is_up: whether Redis is there, and we have heard all.
    :ivar known: the id of the latest purge that we know of.
    :ivar unsaid: how many purges Redis has not been told yet.
    """

    def __init__(
        self,
        door: RedisDoor,
        namespace: str,
        run: str,
        clock: IReactorTime,
        random: Callable[[], float],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        super().__init__(door, clock, random)
        self.patience_seconds = patience_seconds
        self._namespace = namespace.encode()
        self.run = run.encode()
        self._observers: list[Any] = []
        self._sayings: deque[_Saying] = deque()
        self._wanted: Deferred[None] | None = None  # somebody waits for something to say
        self._speaking: Any = None
        self._overdue: set[Deferred[Any]] = set()
        self._unswept: Deferred[None] = Deferred()  # a purge by prefix came
        # By stream, the id of the latest entry that was read; empty: we begin.
        self._read = {b"purges": b"", b"stores": b""}
        self._was_told: bool | None = None
        self.is_up = False
        self.known = b""
        self.unsaid = 0

    def observe(self, observer: object) -> None:
        """Tell this `IPurgeObserver` of what others publish."""
        self._observers.append(IPurgeObserver(observer))

    def publish(self, purges: Sequence[Purge]) -> Deferred[None]:
        """Tell the others; fires once Redis has it, unless too much came before that."""
        if self.unsaid + len(purges) > MOST_UNSAID:
            # Nobody waits for them any more, see `confirm`.
            self.unsaid -= sum(len(saying.purges) for saying in self._sayings)
            self._sayings.clear()
            purges = [ALL]
        saying = _Saying(list(purges), Deferred())
        self._sayings.append(saying)
        self.unsaid += len(purges)
        self._wake()
        return saying.said

    def confirm(self, said: Deferred[None]) -> Purged | Deferred[Purged]:
        """What to answer whoever purged, after `publish` has returned this: soon, whether or not Redis has it then."""
        if said.called:
            return Purged.EVERYWHERE
        if not self.is_asked:
            return Purged.HERE
        answer: Deferred[Purged] = Deferred(lambda _: patience.cancel())
        patience = self._clock.callLater(self.patience_seconds, answer.callback, Purged.HERE)

        def confirmed(_: None) -> None:
            if patience.active():
                patience.cancel()
                answer.callback(Purged.EVERYWHERE)

        said.addCallback(confirmed)
        return answer

    @property
    def is_asked(self) -> bool:
        """Whether `ask` asks; else it fails at once."""
        return self.is_up and not self._overdue

    def ask(self, script: str, *arguments: bytes | int) -> Deferred[Any]:
        """What a script answers; fails with `Away` when that takes too long."""
        answer: Deferred[Any] = Deferred(lambda _: patience.cancel())
        redis = self._speaking
        if not self.is_asked:
            answer.errback(Away("it is known to be away"))
            return answer
        try:
            asked = redis.execute_command("EVALSHA", sha(script), 1, self._namespace, *arguments)
        except Exception as why:  # txredisapi's own, for a connection that is gone
            answer.errback(Away(str(why)))
            return answer

        def overdue() -> None:
            # Who comes now is not to wait as well: nobody asks before this is answered, or the connection given up.
            self._overdue.add(answer)
            answer.errback(Away("no answer in time"))

        patience = self._clock.callLater(self.patience_seconds, overdue)

        def is_waited_for() -> bool:
            self._overdue.discard(answer)
            if answer.called:
                return False
            patience.cancel()
            return True

        def answered(found: Any) -> None:
            if is_waited_for():
                answer.callback(found)

        def failed(failure: Any) -> None:
            if "NOSCRIPT" in str(failure.value):
                redis.transport.abortConnection()  # the next one loads them again
            if is_waited_for():
                answer.errback(Away(str(failure.value)))

        asked.addCallbacks(answered, failed)
        return answer

    # The connections

    async def serve(self, speaking: Any, listening: Any) -> None:
        for script in SCRIPTS:
            await speaking.execute_command("SCRIPT", "LOAD", script)
        while self._sayings:
            await self._say(speaking)
        await self._resume(speaking)
        self._speaking = speaking
        self._overdue.clear()
        self.is_up = True
        self._told(True, "")
        self._unswept = succeed(None)  # somebody may have ended in the middle of it
        parts = (self._listen(listening), self._speak(speaking), self._sweep(speaking))
        await together(*parts, self._watch(speaking), self._prove())

    def degrade(self, why: BaseException) -> None:
        self._told(False, str(why) or type(why).__name__)

    def _told(self, is_up: bool, why: str) -> None:
        self.is_up = is_up
        if not is_up:
            self._speaking = None
        if self._was_told is not is_up:
            self._was_told = is_up
            name = self._namespace.decode().rstrip(":")
            if is_up:
                self._log.info("{name} is shared by Redis", name=name)
            else:
                self._log.warn("Redis is away, {name} goes by what is here: {why}", name=name, why=why)

    async def _watch(self, speaking: Any) -> None:
        await speaking.whenDisconnected()
        raise ConnectionError("the connection was lost")

    async def _prove(self) -> None:
        await deferLater(self._clock, PROVED_SECONDS)
        self.proved()

    async def _speak(self, redis: Any) -> None:
        while True:
            if not self._sayings:
                self._wanted = Deferred()
                await self._wanted
                continue
            await self._say(redis)

    async def _say(self, redis: Any) -> None:
        """Some of what is to be said; it is forgotten only when Redis has it."""
        sayings = [self._sayings.popleft()]
        count = len(sayings[0].purges)
        while self._sayings and count + len(self._sayings[0].purges) <= MOST_AT_ONCE:
            sayings.append(self._sayings.popleft())
            count += len(sayings[-1].purges)
        purges = [purge for saying in sayings for purge in saying.purges]
        try:
            for first in range(0, count, MOST_AT_ONCE):
                arguments = purge_arguments(purges[first : first + MOST_AT_ONCE], self.run)
                self.known = await redis.execute_command("EVALSHA", sha(PURGE), 1, self._namespace, *arguments)
        except BaseException:
            self._sayings.extendleft(reversed(sayings))
            raise
        self.unsaid -= count
        if any(purge.kind is Kind.PREFIX and purge.name for purge in purges) and not self._unswept.called:
            self._unswept.callback(None)
        for saying in sayings:
            saying.said.callback(None)

    async def _sweep(self, redis: Any) -> None:
        """Look through the values after purges by prefix, which are held against every read until then."""
        while True:
            await self._unswept
            self._unswept = Deferred()
            row = await redis.execute_command("HGETALL", self._namespace + b"tag:")
            swept = prefixes_of(row)
            if not swept:
                continue
            first = len(self._namespace + b"value:")
            match, cursor = pattern_of(self._namespace, swept), b"0"
            while True:
                cursor, names = await redis.execute_command("SCAN", cursor, "MATCH", match, "COUNT", SCAN_COUNT)
                if names:
                    keys = [name[first:] for name in names]
                    await redis.execute_command("EVALSHA", sha(SWEEP), 1, self._namespace, *keys)
                if int(cursor) == 0:
                    break
            await redis.execute_command("EVALSHA", sha(SWEPT), 1, self._namespace, *swept)

    def _wake(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.called:
            wanted.callback(None)

    # Hearing

    async def _resume(self, redis: Any) -> None:
        """Read on from where we were, or begin; afterwards nothing that was published before is unheard."""
        self.known = last = await redis.execute_command("EVALSHA", sha(LAST), 1, self._namespace)
        if not await self._is_there(redis, b"purges") or not await self._is_there(redis, b"stores"):
            if _number(self._read[b"purges"]) > _number(last):
                # Redis has gone back to what it once was, with values in it that were purged since.
                await redis.execute_command(
                    "EVALSHA", sha(PURGE), 1, self._namespace, *purge_arguments([ALL._replace(is_soft=True)], self.run)
                )
            for observer in self._observers:
                observer.doubted()
            # What is left of the purges is carried out.
            begun = last if not self._read[b"purges"] else b"0-0"
            newest = await redis.execute_command("XREVRANGE", self._namespace + b"stores", "+", "-", "COUNT", 1)
            self._read = {b"purges": begun, b"stores": newest[0][0] if newest else b"0-0"}
        while await self._hear(redis):
            pass

    async def _is_there(self, redis: Any, stream: bytes) -> bool:
        id = self._read[stream]
        if id == b"0-0":  # it was empty
            first = await redis.execute_command("XLEN", self._namespace + stream)
            return int(first) < ENTRIES_KEPT
        return bool(id and await redis.execute_command("XRANGE", self._namespace + stream, id, id))

    async def _listen(self, redis: Any) -> None:
        while True:
            await self._hear(redis, "BLOCK", LISTEN_MILLISECONDS)

    async def _hear(self, redis: Any, *options: str | int) -> bool:
        """Whether there was anything."""
        names = [self._namespace + stream for stream in self._read]
        answer = await redis.execute_command(
            "XREAD", *options, "COUNT", LISTEN_COUNT, "STREAMS", *names, *self._read.values()
        )
        for name, entries in answer or ():
            stream = name[len(self._namespace) :]
            for id, pairs in entries:
                if stream == b"purges" and _number(id) > _number(self.known):
                    self.known = id
                fields = fields_of(pairs)
                if fields.get(b"by") != self.run:
                    self._heard(fields)
                self._read[stream] = id  # only now: what could not be told is read again
        return bool(answer)

    def _heard(self, fields: dict[bytes, bytes]) -> None:
        purge = purge_of(fields)
        key = fields.get(b"key")
        for observer in self._observers:
            try:
                if purge is not None:
                    observer.purged(purge)
                elif key is not None:
                    observer.changed(key)
            except Exception:
                # The others hear it all the same, and what this one has may be wrong now.
                self._log.failure("{observer!r} did not take {fields!r}", observer=observer, fields=fields)
                observer.doubted()

    def __repr__(self) -> str:
        return f"<PurgeLog {'up' if self.is_up else 'away'}, {self.unsaid} unsaid>"


def _number(id: bytes) -> tuple[int, ...]:
    """The id of an entry, to be compared; less than any if it is empty."""
    return tuple(int(part) for part in id.split(b"-")) if id else ()
