"""The servers that the configuration names: who of them joins, and who leaves since it is named no longer."""

from __future__ import annotations

from collections.abc import Iterable

from scalekit.balancer.directory import Directory
from scalekit.balancer.instance import Endpoint
from scalekit.balancer.turnover import Turnover


class Configured:
    """Their place is before that of whoever has registered at the same address."""

    def __init__(self, directory: Directory, turnover: Turnover) -> None:
        self._directory = directory
        self._turnover = turnover

    def settle(self, service: str, endpoints: Iterable[Endpoint], now: float, reason: str) -> None:
        """See `scalekit.balancer.roster.Roster.settle_static`."""
        wanted = {endpoint.id: endpoint for endpoint in endpoints}
        for member in self._directory.members(service):
            if wanted.get(member.id, member.endpoint) != member.endpoint or (
                member.is_static and member.id not in wanted
            ):
                member.is_static = False
                self._turnover.drain(member, reason, now)
        for endpoint in wanted.values():
            known = self._directory.at(service, endpoint)
            if known is not None and known.id != endpoint.id:
                self._turnover.drain(known, "the configuration names its address", now)
                known = None
            if known is None:
                self._directory.check_room(service)
                known = self._turnover.join(service, endpoint, now, "configured")
            known.is_static = True

    def __repr__(self) -> str:
        return f"<Configured of {self._directory!r}>"
