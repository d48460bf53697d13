"""
Carries between a `scalekit.balancer.shared.SharedRegistry` and Redis (or Valkey).

One connection says and reconciles; the other waits for changes, since XREAD blocks the connection that it is on.  While
Redis is away everything goes on with what is known; once it is back, both are made to agree before anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from scalekit.balancer.instance import Notice
from scalekit.balancer.redis_records import CHANGES, SERVICES, hash_of, read_arguments, read_lines
from scalekit.balancer.shared import SharedRegistry
from scalekit.net.redis import LISTEN_MILLISECONDS, RedisDoor, RedisPair, together

LISTEN_COUNT = 500
#: Whatever was missed, by a fault of ours too, is put right after it.
RECONCILE_SECONDS = 30.0


class RedisLink(RedisPair):
    """
    :param run: names this run of this balancer.
    :param random: a number from 0 to 1.
    :param tell: takes the notice that Redis is away, and that it is back.
    :ivar is_degraded: whether we go by what was known last.
    """

    name = "redis-link"

    def __init__(
        self,
        registry: SharedRegistry,
        door: RedisDoor,
        run: str,
        clock: IReactorTime,
        random: Callable[[], float],
        tell: Callable[[Notice], None],
    ) -> None:
        super().__init__(door, clock, random)
        self._registry = registry
        self._run_name = run
        self._tell = tell
        self._wanted: Deferred[None] | None = None  # somebody waits for something to say
        self._has_complained = False
        self.is_degraded = True
        registry.on_unsaid = self._wake

    async def serve(self, speaking: Any, listening: Any) -> None:
        last = await self._reconcile(speaking)
        self._restored()
        await together(self._listen(listening, speaking, last), self._speak(speaking), self._repeat(speaking))

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
            self.proved()

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

    def degrade(self, why: BaseException) -> None:
        if not self._has_complained:
            text = f"Redis is away, going on with what is known: {why or type(why).__name__}"
            self._tell(Notice("registry-degraded", "", text, self._clock.seconds()))
        self.is_degraded = self._has_complained = True

    def _restored(self) -> None:
        self._tell(Notice("registry-restored", "", "registrations are shared by Redis", self._clock.seconds()))
        self.is_degraded = self._has_complained = False

    def __repr__(self) -> str:
        return f"<RedisLink {'degraded' if self.is_degraded else 'connected'} {self._registry!r}>"


def _local(redis: Any) -> str:
    """Our own address towards Redis; empty on a unix socket."""
    return getattr(redis.transport.getHost(), "host", "")
