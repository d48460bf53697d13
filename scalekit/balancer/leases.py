"""
Leases: who has promised to renew by when, and whether the promises that are broken tell of the apps or of us.

If many leases lapse at once while the probes of those instances pass, nobody has died: renewals do not get through to
us.  Then the instances are kept as they are.  Eureka's "self-preservation" is the same rule, with the same 15 %.
"""

from __future__ import annotations

from typing import NamedTuple

from scalekit.balancer.instance import LEASE_SECONDS, Instance, State

BEAT = 1 / 3  # of a lease: one may be lost
BEAT_JITTER = 0.2  # of a beat either way

#: Of all leases; so many at once tell of the registry.
DOUBTED_SHARE = 0.15
#: One alone is never "many", however few there are.
DOUBTED_LEAST = 2
#: "At once" is within a lease: by then every app has missed its renewals, if none gets through.
AT_ONCE_SECONDS = 15.0


class Lapse(NamedTuple):
    """
    :ivar suspects: those that took requests, and may be dead now.
    :ivar doubt: a sentence for people, when the registry has come under suspicion.
    :ivar is_trusted_again: whether it no longer is.
    """

    suspects: list[Instance]
    doubt: str
    is_trusted_again: bool


def renew_seconds(instance: Instance, chance: float) -> float:
    """
    After how long an instance should renew: a third of its lease, and not all at once.

    :param chance: from 0 to 1.
    """
    seconds = (instance.lease_seconds or LEASE_SECONDS) * BEAT
    return seconds * (1.0 + BEAT_JITTER * (2.0 * chance - 1.0))


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

    def lapse(self, now: float) -> Lapse:
        """What has become of the leases since the last call."""
        was_doubted = self.is_doubted
        missed = self._settle(now)
        doubt = ""
        if self.is_doubted and not was_doubted:
            count, total = len(self._lapsed), len(self._held)
            doubt = f"{count} of {total} leases lapsed at once while probes pass: the instances are kept as they are"
        suspects = [
            one
            for one in missed
            if one.state in (State.WARMING, State.UP) and not (self.is_doubted and one.health.failures == 0)
        ]
        return Lapse(suspects, doubt, was_doubted and not self.is_doubted)

    def _settle(self, now: float) -> list[Instance]:
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

    def __repr__(self) -> str:
        return f"<Leases {len(self._held)} held, {len(self._lapsed)} lapsed{', doubted' if self.is_doubted else ''}>"
