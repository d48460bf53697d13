"""
Connections to Redis (or Valkey), kept up for as long as a service runs; txredisapi is imported only where it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, FirstError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scalekit.config.urls import RedisURL
from scalekit.errors import ConfigurationFault

#: What a busy Redis takes for one command, with much to spare; one that hangs is found out after it.
ANSWER_SECONDS = 5.0
#: How long XREAD waits; below the former, which tells one that has nothing to say from one that hangs.
LISTEN_MILLISECONDS = 2000
#: Pauses between attempts: from 0 to half a second, then twice as long, up to the latter; so not all come at once.
PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0


class RedisDoor:
    """
    Opens connections.

    :param endpoint: of Redis; connecting has a deadline of its own.
    :param new_protocol: gives a `txredisapi.RedisProtocol` that decodes nothing and has `ANSWER_SECONDS`.
    :param first: the commands that each connection begins with (AUTH, SELECT).
    """

    def __init__(
        self, endpoint: IStreamClientEndpoint, new_protocol: Callable[[], Any], first: list[tuple[str, ...]]
    ) -> None:
        self._endpoint = endpoint
        self._factory = _Connecting(new_protocol)
        self._first = first

    async def connect(self) -> Any:
        """A connected protocol; raises whatever went wrong."""
        protocol: Any = await self._endpoint.connect(self._factory)
        try:
            for command in self._first:
                await protocol.execute_command(*command)
        except BaseException:
            protocol.transport.abortConnection()
            raise
        return protocol


def redis_door(url: RedisURL, password: str, reactor: Any) -> RedisDoor:
    """
    The door to this Redis.

    :param password: empty: none.
    :raises ConfigurationFault: txredisapi is not installed.
    """
    try:
        # Here, since it imports the global reactor, which belongs to the composition roots.
        from txredisapi import RedisProtocol  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigurationFault(
            f'redis.url: found {url}, expected the package txredisapi: pip install "scalekit[redis]"'
        ) from None
    endpoint: IStreamClientEndpoint
    if url.path:
        endpoint = UNIXClientEndpoint(reactor, url.path, timeout=ANSWER_SECONDS)
    else:
        endpoint = HostnameEndpoint(reactor, url.host, url.port, timeout=ANSWER_SECONDS)
    first: list[tuple[str, ...]] = [("AUTH", password)] if password else []
    if url.database is not None:
        first.append(("SELECT", str(url.database)))

    def new_protocol() -> Any:
        return RedisProtocol(charset=None, convertNumbers=False, replyTimeout=ANSWER_SECONDS)

    return RedisDoor(endpoint, new_protocol, first)


class RedisPair(Service):
    """
    Two connections at a time, since XREAD blocks the one that it is on; after a fault, two new ones.

    A subclass says what they are for.

    :param random: a number from 0 to 1.
    """

    def __init__(self, door: RedisDoor, clock: IReactorTime, random: Callable[[], float]) -> None:
        self._door = door
        self._clock = clock
        self._random = random
        self._log = Logger()
        self._task: Deferred[None] | None = None
        self._attempts = 0

    def startService(self) -> None:
        super().startService()
        self._task = Deferred.fromCoroutine(self._stay())
        self._task.addErrback(self._ended)

    def stopService(self) -> None:
        super().stopService()
        if self._task is not None:
            self._task.cancel()

    async def serve(self, speaking: Any, listening: Any) -> None:
        """While both connections last: raises when one is gone."""
        raise NotImplementedError

    def degrade(self, why: BaseException) -> None:
        """There is no connection now, again perhaps."""
        raise NotImplementedError

    def proved(self) -> None:
        """
        The next attempt after this need not wait long.

        To be called some time after the connections were made: one that takes them and then fails is not asked in a
        loop.
        """
        self._attempts = 0

    def _ended(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the link to Redis is given up", failure)

    async def _stay(self) -> None:
        while self.running:
            try:
                await self._connected()
            except Exception as fault:
                # Anything: what is known here is served on, whatever Redis answers.
                why = fault.subFailure.value or fault if isinstance(fault, FirstError) else fault
                if not self.running:
                    return
                self.degrade(why)
            longest = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0 ** min(self._attempts, 10))
            self._attempts += 1
            await deferLater(self._clock, self._random() * longest)

    async def _connected(self) -> None:
        speaking = await self._door.connect()
        try:
            listening = await self._door.connect()
            try:
                await self.serve(speaking, listening)
            finally:
                listening.transport.abortConnection()
        finally:
            speaking.transport.abortConnection()


async def together(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all of them until one ends by a fault, which is raised."""
    tasks = [Deferred.fromCoroutine(part) for part in parts]
    try:
        await DeferredList(tasks, fireOnOneErrback=True, consumeErrors=True)
    finally:
        for task in tasks:
            task.cancel()


class _Connecting(Factory):
    noisy = False

    def __init__(self, new_protocol: Callable[[], Any]) -> None:
        self._new_protocol = new_protocol

    def buildProtocol(self, addr: object) -> Any:
        protocol = self._new_protocol()
        protocol.factory = self
        return protocol
