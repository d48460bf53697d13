"""Which instances there are: members of their services by id, and those that are leaving; nothing is decided here."""

from __future__ import annotations

from scalekit.balancer.instance import Endpoint, Instance
from scalekit.errors import ClientFault

# What a registering client can make us keep stays under a few hundred MiB.
INSTANCES_LIMIT = 1000
SERVICES_LIMIT = 1000


class _Service:
    """The instances of one service."""

    __slots__ = ("leaving", "members")

    def __init__(self) -> None:
        self.members: dict[str, Instance] = {}
        self.leaving: list[Instance] = []


class Directory:
    """The instances of all services; a service is there as long as it has one."""

    def __init__(self) -> None:
        self._services: dict[str, _Service] = {}

    def services(self) -> tuple[str, ...]:
        """The names of all services that have an instance, in the order of their first one."""
        return tuple(self._services)

    def members(self, service: str) -> tuple[Instance, ...]:
        """Those that are not leaving."""
        found = self._services.get(service)
        return tuple(found.members.values()) if found else ()

    def instances(self, service: str) -> tuple[Instance, ...]:
        """All instances of a service, those that are leaving last."""
        found = self._services.get(service)
        return (*found.members.values(), *found.leaving) if found else ()

    def leaving(self) -> list[Instance]:
        """Those of all services that are leaving."""
        return [one for service in self._services.values() for one in service.leaving]

    def member(self, service: str, id: str) -> Instance | None:
        """The member of this id."""
        found = self._services.get(service)
        return found.members.get(id) if found else None

    def at(self, service: str, endpoint: Endpoint) -> Instance | None:
        """The member at this address, whatever its id."""
        known = self.member(service, endpoint.id)
        return known or next((one for one in self.members(service) if one.endpoint.id == endpoint.id), None)

    def find(self, service: str, id: str) -> Instance | None:
        """The member of this id; or else the one of the highest generation that is leaving."""
        found = self._services.get(service)
        if found is None:
            return None
        member = found.members.get(id)
        if member is not None:
            return member
        leaving = [old for old in found.leaving if old.id == id]
        return max(leaving, key=lambda old: old.generation, default=None)

    def check_room(self, service: str) -> None:
        """Raise `ClientFault` 403 if there may not be one more instance of this service."""
        found = self._services.get(service)
        if found is None and len(self._services) >= SERVICES_LIMIT:
            raise ClientFault(403, "roster-full", f"there are {SERVICES_LIMIT} services already")
        if found is not None and len(found.members) + len(found.leaving) >= INSTANCES_LIMIT:
            raise ClientFault(403, "roster-full", f"service {service} has {INSTANCES_LIMIT} instances already")

    def add(self, instance: Instance) -> None:
        """It is a member now."""
        self._services.setdefault(instance.service, _Service()).members[instance.id] = instance

    def part(self, instance: Instance) -> None:
        """A member is leaving now."""
        found = self._services[instance.service]
        del found.members[instance.id]
        found.leaving.append(instance)

    def remove(self, instance: Instance) -> None:
        """One that was leaving is gone."""
        found = self._services[instance.service]
        found.leaving.remove(instance)
        if not found.members and not found.leaving:
            del self._services[instance.service]

    def __repr__(self) -> str:
        return f"<Directory {' '.join(repr(one) for name in self._services for one in self.instances(name))}>"
