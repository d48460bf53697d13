"""
The servers that the configuration names: who of them joins, who leaves since it is named no longer, and whom an
operator has drained.
"""

from __future__ import annotations

from collections.abc import Iterable

from scalekit.balancer.directory import Directory
from scalekit.balancer.instance import Endpoint, Instance, State
from scalekit.balancer.turnover import Turnover


class Configured:
    """Their place is before that of whoever has registered at the same address."""

    def __init__(self, directory: Directory, turnover: Turnover) -> None:
        self._directory = directory
        self._turnover = turnover

    def settle(self, service: str, endpoints: Iterable[Endpoint], now: float, reason: str, is_anew: bool) -> None:
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
            elif known.state is State.DRAINED and is_anew:
                self._turnover.take_back(known, "configured anew", now)
            known.is_static = True

    def hold(self, service: str, id: str, now: float) -> Instance | None:
        """See `scalekit.balancer.roster.Roster.hold`."""
        member = self._directory.member(service, id)
        if member is None or not member.is_static:
            return None
        if member.state is not State.DRAINED:
            self._turnover.drain(member, "drained by an operator", now, heir_state=State.DRAINED)
            return member
        leaving = [one for one in self._directory.instances(service) if one.state is State.DRAINING and one.id == id]
        return leaving[-1] if leaving else member

    def take_back(self, service: str, id: str, now: float) -> Instance | None:
        """See `scalekit.balancer.roster.Roster.take_back`."""
        member = self._directory.member(service, id)
        if member is None or not member.is_static:
            return None
        if member.state is State.DRAINED:
            self._turnover.take_back(member, "taken back by an operator", now)
        return member

    def __repr__(self) -> str:
        return f"<Configured of {self._directory!r}>"
