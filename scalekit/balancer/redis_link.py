"""
Carries between a `scalekit.balancer.shared.SharedRegistry` and Redis (or Valkey).

One connection says and reconciles; the other waits for changes, since XREAD blocks the connection that it is on.  While
Redis is away everything goes on with what is known; once it is back, both are made to agree before anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scalekit.balancer.instance import Notice
from scalekit.balancer.redis_records import CHANGES, SERVICES, hash_of, read_arguments, read_lines
from scalekit.balancer.shared import SharedRegistry

#: What a busy Redis takes for one command, with much to spare; one that hangs is found out after it.
ANSWER_SECONDS = 5.0
#: How long XREAD waits; below the former, which tells one that has nothing to say from one that hangs.
LISTEN_MILLISECONDS = 2000
LISTEN_COUNT = 500
#: Whatever was missed, by a fault of ours too, is put right after it.
RECONCILE_SECONDS = 30.0
#: Pauses between attempts: from 0 to half a second, then twice as long, up to the latter; so not all come at once.
PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0


class RedisLink(Service):
    """
    :param endpoint: of Redis; connecting has a deadline of its own.
    :param new_protocol: gives a `txredisapi.RedisProtocol` that decodes nothing and has `ANSWER_SECONDS`.
    :param first: the commands that each connection begins with (AUTH, SELECT).
    :param run: names this run of this balancer.
    :param random: a number from 0 to 1.
    :param tell: takes the notice that Redis is away, and that it is back.
    :ivar is_degraded: whether we go by what was known last.
    """

    name = "redis-link"

    def __init__(
        self,
        registry: SharedRegistry,
        endpoint: IStreamClientEndpoint,
        new_protocol: Callable[[], Any],
        first: list[tuple[str, ...]],
        run: str,
        clock: IReactorTime,
        random: Callable[[], float],
        tell: Callable[[Notice], None],
    ) -> None:
        self._registry = registry
        self._endpoint = endpoint
        self._factory = _Connecting(new_protocol)
        self._first = first
        self._run_name = run
        self._clock = clock
        self._random = random
        self._tell = tell
        self._log = Logger()
        self._task: Deferred[None] | None = None
        self._wanted: Deferred[None] | None = None  # somebody waits for something to say
        self._attempts = 0
        self._has_complained = False
        self.is_degraded = True
        registry.on_unsaid = self._wake

    def startService(self) -> None:
        super().startService()
        self._task = Deferred.fromCoroutine(self._stay())
        self._task.addErrback(self._ended)

    def stopService(self) -> None:
        super().stopService()
        if self._task is not None:
            self._task.cancel()

    def _ended(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the link to Redis is given up", failure)

    async def _stay(self) -> None:
        while self.running:
            try:
                await self._serve()
            except Exception as fault:
                # Anything: what is known here is served on, whatever Redis answers.
                why = fault.subFailure.value or fault if isinstance(fault, FirstError) else fault
                if not self.running:
                    return
                self._degrade(why)
            longest = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0 ** min(self._attempts, 10))
            self._attempts += 1
            await deferLater(self._clock, self._random() * longest)

    async def _serve(self) -> None:
        """While both connections last."""
        speaking = await self._connect()
        try:
            listening = await self._connect()
            try:
                last = await self._reconcile(speaking)
                self._restored()
                tasks = [
                    Deferred.fromCoroutine(one)
                    for one in (self._listen(listening, speaking, last), self._speak(speaking), self._repeat(speaking))
                ]
                try:
                    await DeferredList(tasks, fireOnOneErrback=True, consumeErrors=True)
                finally:
                    for task in tasks:
                        task.cancel()
            finally:
                listening.transport.abortConnection()
        finally:
            speaking.transport.abortConnection()

    async def _connect(self) -> Any:
        protocol: Any = await self._endpoint.connect(self._factory)
        try:
            for command in self._first:
                await protocol.execute_command(*command)
        except BaseException:
            protocol.transport.abortConnection()
            raise
        return protocol

    async def _listen(self, listening: Any, speaking: Any, last: bytes) -> None:
        while True:
            answer = await listening.execute_command(
                "XREAD", "BLOCK", LISTEN_MILLISECONDS, "COUNT", LISTEN_COUNT, "STREAMS", CHANGES, last
            )
            changed: dict[tuple[str, str], None] = {}
            for _, entries in answer or ():
                for id, fields in entries:
                    last = id
                    changed.update(self._heard(dict(zip(fields[::2], fields[1::2], strict=True))))
            # An entry may be older than what we have said since: ask what holds, where what we say is said.
            for service, id in changed:
                held = await speaking.execute_command("HGET", hash_of(service), id)
                if held:
                    self._registry.held(service, id, held, _local(speaking), self._clock.seconds())

    def _heard(self, said: dict[bytes, bytes]) -> dict[tuple[str, str], None]:
        """Take a renewal; returns the service and id of anything else."""
        if said.get(b"by") == self._run_name.encode():
            return {}
        try:
            service, id, stamp = (said[name].decode("ascii") for name in (b"service", b"id", b"stamp"))
            if said[b"is"] != b"renewed":
                return {(service, id): None}
            self._registry.renewed(service, id, int(stamp[:19]), self._clock.seconds())
        except (KeyError, ValueError) as why:
            self._log.warn("an entry of {changes} is none: {why!r}", changes=CHANGES, why=why)
        return {}

    async def _speak(self, redis: Any) -> None:
        while True:
            saying = self._registry.next_saying()
            if saying is None:
                self._wanted = Deferred()
                await self._wanted
                continue
            held = await redis.execute_command("EVAL", *saying.arguments(self._run_name))
            self._registry.was_said(saying, held, _local(redis), self._clock.seconds())

    def _wake(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None and not wanted.called:
            wanted.callback(None)

    async def _repeat(self, redis: Any) -> None:
        while True:
            await deferLater(self._clock, RECONCILE_SECONDS * (0.9 + 0.2 * self._random()))
            await self._reconcile(redis)
            self._attempts = 0  # not sooner: one that takes connections and then fails is not asked in a loop

    async def _reconcile(self, redis: Any) -> bytes:
        """Returns the id of the last change before it: what comes later may be told twice, which does no harm."""
        newest = await redis.execute_command("XREVRANGE", CHANGES, "+", "-", "COUNT", 1)
        self._registry.begin_reconcile()
        found = []
        for name in await redis.execute_command("SMEMBERS", SERVICES):
            service = name.decode("utf-8", "replace")
            lines = await redis.execute_command("EVAL", *read_arguments(service))
            found += [(service, held, left) for held, left in read_lines(lines)]
        self._registry.reconcile(found, _local(redis), self._clock.seconds())
        return newest[0][0] if newest else b"0"

    def _degrade(self, why: BaseException) -> None:
        if not self._has_complained:
            text = f"Redis is away, going on with what is known: {why or type(why).__name__}"
            self._tell(Notice("registry-degraded", "", text, self._clock.seconds()))
        self.is_degraded = self._has_complained = True

    def _restored(self) -> None:
        self._tell(Notice("registry-restored", "", "registrations are shared by Redis", self._clock.seconds()))
        self.is_degraded = self._has_complained = False

    def __repr__(self) -> str:
        return f"<RedisLink {'degraded' if self.is_degraded else 'connected'} {self._registry!r}>"


class _Connecting(Factory):
    noisy = False

    def __init__(self, new_protocol: Callable[[], Any]) -> None:
        self._new_protocol = new_protocol

    def buildProtocol(self, addr: object) -> Any:
        protocol = self._new_protocol()
        protocol.factory = self
        return protocol


def _local(redis: Any) -> str:
    """Our own address towards Redis; empty on a unix socket."""
    return getattr(redis.transport.getHost(), "host", "")
