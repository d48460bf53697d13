"""
A registry that is shared: what is said here is told to others, what others are told is said here.

No socket and no clock: `scalekit.balancer.redis_link` carries between this and Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec
from twisted.logger import Logger
from zope.interface import implementer

from scalekit.balancer.addresses import judge, literal
from scalekit.balancer.generations import RETIRED_SECONDS, Key
from scalekit.balancer.instance import LEAVING, Endpoint, Instance, Registration
from scalekit.balancer.redis_records import (
    Record,
    Saying,
    is_worth_repeating,
    read_record,
    record_of,
    saying_of,
    stamp_of,
)
from scalekit.balancer.registering import Listeners
from scalekit.balancer.registry import IRegistry
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Claim
from scalekit.balancer.snapshot import Remembered, registration_of
from scalekit.errors import ClientFault

# What Redis has not been told yet, one for each instance: as many as were drained and are remembered. Beyond it the
# oldest are forgotten; what is registered is repeated in any case once Redis is back.
UNSAID_LIMIT = 10_000


@implementer(IRegistry)
class SharedRegistry:
    """
    :param listeners: of this balancer: nobody may tell it to send itself requests.
    :param is_local: whether Redis is on this machine, by a loopback address or a unix socket. Only then others who
        share it are here too, and a loopback address means the same to all.
    :ivar on_unsaid: called when there is something to tell.
    """

    def __init__(self, roster: Roster, listeners: Listeners, is_local: bool) -> None:
        self._roster = roster
        self._listeners = listeners
        self._is_local = is_local
        self._unsaid: dict[Key, Saying] = {}
        self._refused: set[Key] = set()
        self._touched: set[Key] = set()  # since all was asked for: what comes of that is older
        self._log = Logger()
        self.on_unsaid: Callable[[], None] = lambda: None

    # What apps and operators say here.

    def register(
        self,
        service: str,
        endpoint: Endpoint,
        now: float,
        weight: int = 1,
        claim: Claim | None = None,
        keep_alive: float | None = None,
    ) -> Instance:
        instance = self._roster.register(service, endpoint, now, weight, claim, keep_alive)
        self._say(instance)
        return instance

    def enrol(self, service: str, wanted: Registration, now: float) -> Instance:
        instance = self._roster.enrol(service, wanted, now)
        self._say(instance)
        return instance

    def renew(self, service: str, id: str, generation: int | None, now: float) -> Instance | None:
        instance = self._roster.renew(service, id, generation, now)
        if instance is not None and instance.state not in LEAVING:
            self._say(instance, is_news=False)
        return instance

    def unregister(
        self,
        service: str,
        id: str,
        now: float,
        reason: str = "unregistered",
        generation: int | None = None,
        is_hurried: bool = False,
    ) -> Instance | None:
        instance = self._roster.unregister(service, id, now, reason, generation, is_hurried)
        if instance is not None:
            self._say(instance, is_drained=True)
        return instance

    def reweigh(self, instance: Instance, weight: int) -> None:
        self._roster.reweigh(instance, weight)
        if not instance.has_lapsed and instance.state not in LEAVING:
            self._say(instance)

    # What Redis is to be told.

    @property
    def unsaid(self) -> int:
        """How much Redis has not been told yet."""
        return len(self._unsaid)

    def next_saying(self) -> Saying | None:
        """The oldest that Redis has not been told; None: nothing is left."""
        return next(iter(self._unsaid.values()), None)

    def was_said(self, saying: Saying, held: bytes, local: str, now: float) -> None:
        """
        Redis has been told.

        :param held: what it holds instead; empty: it has taken it.
        :param local: our own address towards Redis.
        """
        key = saying.service, saying.id
        if self._unsaid.get(key) is saying:
            del self._unsaid[key]
        if held:
            self.held(saying.service, saying.id, held, local, now)

    def held(self, service: str, id: str, held: bytes, local: str, now: float) -> None:
        """
        What Redis holds of an instance now.

        It must have been asked on the connection by which it is told: then this is older than what is still to be said,
        and newer than all that was.
        """
        # How much of its lease is left will be told; until then it is as good as new.
        self._touched.add((service, id))
        self._take(service, id, held, None, local, now, self._refused)

    def renewed(self, service: str, id: str, generation: int, now: float) -> None:
        """At another balancer."""
        if generation == 0:
            return  # it has no lease, and is only kept in Redis
        try:
            self._roster.renew(service, id, generation, now)
        except ClientFault:
            pass  # of a generation that is over here; reconciling tells the others

    def begin_reconcile(self) -> None:
        """Redis is about to be asked for all that it holds."""
        self._touched.clear()

    def reconcile(self, found: Iterable[tuple[str, bytes, float]], local: str, now: float) -> None:
        """
        Make us and Redis agree.

        :param found: all that it holds: service, value, and the seconds left of its lease.
        """
        refused: set[Key] = set()
        stamps: dict[Key, str] = {}
        for service, held, seconds_left in found:
            record = self._take(service, None, held, seconds_left, local, now, refused)
            if record is not None:
                stamps[service, record.one.id] = record.stamp
        self._refused = refused
        self._repeat(stamps, now)

    def _repeat(self, stamps: Mapping[Key, str], now: float) -> None:
        for service in self._roster.services():
            for instance in self._roster.instances(service):
                if instance.state in LEAVING or instance.key in self._touched or not is_worth_repeating(instance):
                    continue
                # Those without a lease are kept for as long as somebody does not find them down.
                if instance.lease_seconds is None or stamps.get(instance.key, "") < stamp_of(
                    instance.generation, False
                ):
                    left = None if instance.lease_until is None else max(0.0, instance.lease_until - now)
                    self._say(instance, is_news=False, keep_seconds=left)
        for (service, id), generation, at in self._roster.retired.items():
            stamp, keep = stamp_of(generation, True), RETIRED_SECONDS - (now - at)
            if keep > 0 and stamps.get((service, id), "") < stamp:
                # Nothing of it is left but its name; port 9 is that of "discard".
                gone = Remembered(service, id, "http", "0.0.0.0", 9, generation=generation, lease_seconds=1.0)
                self._put(Saying(service, id, stamp, msgspec.json.encode(gone), keep, False))

    # Inside.

    def _is_shared(self, address: str) -> bool:
        literally = literal(address)
        return literally is not None and (self._is_local or not literally.is_loopback)

    def _say(
        self,
        instance: Instance,
        is_drained: bool = False,
        is_news: bool = True,
        keep_seconds: float | None = None,
    ) -> None:
        if not instance.is_static and self._is_shared(instance.address):
            self._put(saying_of(instance, is_drained, is_news, keep_seconds))

    def _put(self, saying: Saying) -> None:
        key = saying.service, saying.id
        before = self._unsaid.pop(key, None)
        if before is not None and before.is_news and before.stamp >= saying.stamp and not saying.is_news:
            saying = before  # a renewal says less
        self._unsaid[key] = saying
        self._touched.add(key)
        if len(self._unsaid) > UNSAID_LIMIT:
            del self._unsaid[next(iter(self._unsaid))]
        self.on_unsaid()

    def _take(
        self,
        service: str,
        id: str | None,
        held: bytes,
        seconds_left: float | None,
        local: str,
        now: float,
        refused: set[Key],
    ) -> Record | None:
        """
        Say here what others have said.

        :param id: None: whatever stands in it.
        :param seconds_left: None: the whole lease.
        :return: None if it is none, or not for us.
        """
        try:
            record = read_record(held, 0.0 if seconds_left is None else seconds_left)
            one = record.one
            if one.service != service or id not in (None, one.id):
                raise ValueError(f"{one.service} {one.id} stands where {service} {id or ''} belongs")
            if (service, one.id) in self._unsaid or (seconds_left is not None and (service, one.id) in self._touched):
                return record
            if record.is_drained:
                self._drain(one, RETIRED_SECONDS if seconds_left is None else seconds_left, now)
            elif seconds_left is None or seconds_left > 0:
                self._admit(one, local, now)
            return record
        except (ValueError, ClientFault) as why:
            key = service, id or held[:200].decode("latin-1")
            if key not in self._refused:
                self._log.warn("refused what Redis holds of service {service}: {why}", service=service, why=str(why))
            refused.add(key)
            return None

    def _drain(self, one: Remembered, seconds_left: float, now: float) -> None:
        known = self._roster.find(one.service, one.id)
        if known is not None and known.state not in LEAVING:
            if known.is_static or known.generation > one.generation:
                return
            self._roster.unregister(one.service, one.id, now, "drained at another balancer")
        if one.generation > self._roster.retired.last((one.service, one.id)):
            self._roster.retire(one.service, one.id, one.generation, now - (RETIRED_SECONDS - seconds_left))

    def _admit(self, one: Remembered, local: str, now: float) -> None:
        if not self._is_shared(one.host):
            return
        verdict = judge(one.host, one.port, one.host, local, self._listeners(), is_operator=True)
        if not verdict.is_allowed:
            raise ClientFault(403, verdict.reason, verdict.detail)
        registration = registration_of(one)
        known = self._roster.find(one.service, one.id)
        if known is not None and (
            known.is_static
            or known.generation > one.generation
            or (known.generation == one.generation > 0 and known.state in LEAVING)
        ):
            return
        if known is not None and known.state not in LEAVING and record_of(known) == one:
            # Nothing new but its lease; one that is down by our own probes stays so until they pass.
            if one.generation:
                self._roster.renew(one.service, one.id, one.generation, now)
            return
        if one.generation == 0:
            self._roster.register(
                one.service, registration.endpoint, now, one.weight, registration.claim, one.keep_alive
            )
            return
        try:
            self._roster.enrol(one.service, registration, now)
        except ClientFault as fault:
            if fault.status != 409:
                raise  # 409: drained here, which the others are being told

    def __repr__(self) -> str:
        return f"<SharedRegistry {self._roster!r} unsaid={len(self._unsaid)}>"
