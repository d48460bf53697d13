"""
Leases: who has promised to renew by when, and whether the promises that are broken tell of the apps or of us.

If many leases lapse at once while the probes of those instances pass, nobody has died: renewals do not get through to
us.  Then the instances are kept as they are.  Eureka's "self-preservation" is the same rule, with the same 15 %.
"""

from __future__ import annotations

from scalekit.balancer.instance import Instance

#: Of all leases; so many at once tell of the registry.
DOUBTED_SHARE = 0.15
#: One alone is never "many", however few there are.
DOUBTED_LEAST = 2
#: "At once" is within a lease: by then every app has missed its renewals, if none gets through.
AT_ONCE_SECONDS = 15.0


class Leases:
    """
    The leases that run.

    :ivar is_doubted: whether so many have lapsed that the registry itself is suspected.
    """

    def __init__(self) -> None:
        self._held: dict[Instance, None] = {}
        self._lapsed: dict[Instance, float] = {}  # of those whose probes pass, the oldest first
        self.is_doubted = False

    def renew(self, instance: Instance, now: float) -> None:
        """Begin its lease anew; without one there is nothing to begin."""
        if instance.lease_seconds is not None:
            instance.lease_until = now + instance.lease_seconds
            self._held[instance] = None
            self._lapsed.pop(instance, None)

    def forget(self, instance: Instance) -> None:
        """It leaves."""
        instance.lease_until = None
        self._held.pop(instance, None)
        self._lapsed.pop(instance, None)

    def lapse(self, now: float) -> list[Instance]:
        """Those that have missed their lease since the last call, and `is_doubted` brought up to date."""
        missed = [one for one in self._held if one.lease_until is not None and one.lease_until <= now]
        for instance in missed:
            instance.lease_until = None
            if instance.health.failures == 0:
                self._lapsed[instance] = now
        for instance, at in list(self._lapsed.items()):
            if at > now - AT_ONCE_SECONDS:
                break
            del self._lapsed[instance]
        count = len(self._lapsed)
        self.is_doubted = count >= DOUBTED_LEAST and count > DOUBTED_SHARE * len(self._held)
        return missed

    def deadlines(self) -> list[float]:
        """When each of the leases that run ends."""
        return [one.lease_until for one in self._held if one.lease_until is not None]

    def counts(self) -> tuple[int, int]:
        """How many lapsed at once, of how many."""
        return len(self._lapsed), len(self._held)

    def __repr__(self) -> str:
        return f"<Leases {len(self._held)} held, {len(self._lapsed)} lapsed{', doubted' if self.is_doubted else ''}>"
