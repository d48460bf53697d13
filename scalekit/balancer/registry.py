"""
The seam between who registers and what keeps it: `IRegistry`.

`scalekit.balancer.roster.Roster`, with a snapshot of it on disk, keeps it for one balancer;
`scalekit.balancer.shared.SharedRegistry` for all that share a Redis.
"""

from __future__ import annotations

from zope.interface import Interface

from scalekit.balancer.instance import Endpoint, Instance, Registration
from scalekit.balancer.routes import Claim

# Methods of an Interface have no self:
# ruff: noqa: N805


class IRegistry(Interface):
    """
    Takes what apps and operators say; what each call means and raises is told in `scalekit.balancer.roster.Roster`.

    Every answer is this balancer's own and there at once, whatever else has to be told of it.
    """

    def register(
        service: str,
        endpoint: Endpoint,
        now: float,
        weight: int = 1,
        claim: Claim | None = None,
        keep_alive: float | None = None,
    ) -> Instance:
        """Add or refresh an instance without a generation and a lease."""

    def enrol(service: str, wanted: Registration, now: float) -> Instance:
        """Add or refresh an instance that has them."""

    def renew(service: str, id: str, generation: int | None, now: float) -> Instance | None:
        """Renew a lease; None: not known."""

    def unregister(
        service: str,
        id: str,
        now: float,
        reason: str = "unregistered",
        generation: int | None = None,
        is_hurried: bool = False,
    ) -> Instance | None:
        """Drain it; None: not known."""

    def reweigh(instance: Instance, weight: int) -> None:
        """Say how much it gets, until it registers anew."""
