"""
Taking in what apps say of themselves: who is new, who is the same again, and who takes whose place.
"""

from __future__ import annotations

from math import inf

from scalekit.balancer.directory import Directory
from scalekit.balancer.generations import Retired, stale
from scalekit.balancer.instance import LEAVING, Endpoint, Instance, Registration
from scalekit.balancer.judging import Judge
from scalekit.balancer.leases import Leases
from scalekit.balancer.routes import Claim
from scalekit.balancer.telling import Telling
from scalekit.balancer.turnover import Turnover
from scalekit.errors import ClientFault


class Enrolment:
    """What each of these does and raises is told in `scalekit.balancer.roster.Roster`."""

    def __init__(
        self,
        directory: Directory,
        telling: Telling,
        turnover: Turnover,
        judge: Judge,
        leases: Leases,
        retired: Retired,
    ) -> None:
        self._directory = directory
        self._telling = telling
        self._turnover = turnover
        self._judge = judge
        self._leases = leases
        self._retired = retired

    def register(
        self, service: str, endpoint: Endpoint, now: float, weight: int, claim: Claim | None, keep_alive: float | None
    ) -> Instance:
        known = self._directory.at(service, endpoint)
        if known is not None and (known.is_static or known.endpoint == endpoint):
            instance = known
            self._judge.registered_again(known, now)
        else:
            self._directory.check_room(service)
            if known is not None:
                self._turnover.drain(known, "replaced by one of another scheme or name", now)
            instance = self._turnover.join(service, endpoint, now, "registered")
        if keep_alive is not None and keep_alive != instance.keep_alive:
            instance.keep_alive = keep_alive
            self._telling.revision += 1
        self._settle_claim(instance, weight, claim)
        return instance

    def enrol(self, service: str, wanted: Registration, now: float) -> Instance:
        id, endpoint = wanted.id, wanted.endpoint
        if ":" in id and id != endpoint.id:
            raise ClientFault(400, "bad-id", f"id: {id} found, a name or its own address {endpoint.id} expected.")
        known, neighbour = self._directory.member(service, id), self._directory.at(service, endpoint)
        if (known is not None and known.is_static) or (neighbour is not None and neighbour.is_static):
            raise ClientFault(403, "static-server", f"{endpoint.id} stands in the configuration of service {service}.")
        self._retired.check(self._directory.find(service, id), (service, id), wanted.generation)
        if known is not None and known.generation == wanted.generation and known.endpoint == endpoint:
            instance = known
            self._judge.registered_again(known, now)
        else:
            if known is None and neighbour is None:
                self._directory.check_room(service)
            if known is not None:
                self._turnover.drain(known, f"replaced by generation {wanted.generation}", now)
            if neighbour is not None and neighbour is not known:
                self._turnover.drain(neighbour, f"replaced by {id} at the same address", now)
            instance = self._turnover.join(service, endpoint, now, "registered", id)
            instance.generation = wanted.generation
            instance.secret = wanted.secret
            instance.has_consented = not wanted.secret
        self._settle(instance, wanted, wanted.lease_seconds, now)
        return instance

    def renew(self, service: str, id: str, generation: int | None, now: float) -> Instance | None:
        instance = self._directory.find(service, id)
        if generation is not None:
            self._retired.check(instance, (service, id), generation, is_asking=True)
        if instance is None or (generation is not None and generation > instance.generation):
            return None
        if instance.state not in LEAVING:
            self._leases.renew(instance, now)
            self._judge.renewed(instance, now)
        return instance

    def recall(
        self,
        service: str,
        registration: Registration,
        now: float,
        lease_seconds: float | None,
        has_consented: bool,
        was_well: bool,
    ) -> Instance:
        id, endpoint = registration.id, registration.endpoint
        if self._directory.member(service, id) is not None or self._directory.at(service, endpoint) is not None:
            raise ClientFault(409, "there-already", f"{id} or {endpoint.id} is in service {service} already.")
        self._directory.check_room(service)
        instance = self._turnover.join(service, endpoint, now, "from the snapshot", id)
        instance.generation = registration.generation
        instance.secret = registration.secret
        instance.has_consented = has_consented
        self._settle(instance, registration, lease_seconds, now)
        if was_well:
            self._judge.suspect(instance, "from the snapshot", now)
        return instance

    def retire(self, service: str, id: str, generation: int, now: float) -> None:
        self._telling.revision += 1
        self._retired.add((service, id), generation, now)

    def unregister(
        self, service: str, id: str, now: float, reason: str, generation: int | None, is_hurried: bool
    ) -> Instance | None:
        instance = self._directory.find(service, id)
        if instance is None:
            return None
        if instance.is_static:
            raise ClientFault(403, "static-server", f"{id} stands in the configuration of service {service}")
        if generation is not None and generation != instance.generation:
            if generation > instance.generation:
                return None
            raise stale(id, generation, instance.generation)
        if instance.generation:
            self.retire(service, id, instance.generation, now)
        if instance.state not in LEAVING:
            self._turnover.drain(instance, reason, now, is_hurried)
        elif is_hurried:
            self._turnover.hurry(instance, now)
        return instance

    def _settle(self, instance: Instance, wanted: Registration, lease_seconds: float | None, now: float) -> None:
        """What may be another thing each time that it registers."""
        most = inf if wanted.max_in_flight is None else wanted.max_in_flight
        said = (lease_seconds, wanted.meta, wanted.keep_alive, most)
        if (instance.lease_seconds, instance.meta, instance.keep_alive, instance.max_in_flight) != said:
            self._telling.revision += 1
            instance.lease_seconds, instance.meta, instance.keep_alive, instance.max_in_flight = said
        self._leases.renew(instance, now)
        self._settle_claim(instance, wanted.weight, wanted.claim)

    def _settle_claim(self, instance: Instance, weight: int, claim: Claim | None) -> None:
        if instance.weight != weight:
            instance.weight = weight
            self._telling.revision += 1
        if instance.claim != claim:
            instance.claim = claim
            self._telling.touch_claims()
            self._telling.revision += 1

    def __repr__(self) -> str:
        return f"<Enrolment into {self._directory!r}>"
