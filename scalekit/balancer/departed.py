"""
What services claimed that nobody serves any more: kept for a while, so that no other service answers in their place.

A shop whose last app server crashes must get 503 until it is back, and not the pages of ``default`` or of whoever has
the shorter path, which browsers and caches would keep.  These claims count after all that are made by somebody, so a
new one takes their place at once; and only while nobody of their service claims anything: what is there speaks for
itself.
"""

from __future__ import annotations

from collections.abc import Collection

from scalekit.balancer.routes import DEFAULT_SERVICE, Claim

#: A crash that somebody has to wake up for, a machine that boots, a deploy that is rolled back: longer, and it was
#: meant.  As long as drained generations are remembered.
KEPT_SECONDS = 600.0
#: As many as a service may have instances; at 64 names each, which few have, 16 MiB.  Beyond it the oldest is let go.
CLAIMS_LIMIT = 1000


class Departed:
    """Each claim whose last instance has left, and when that was."""

    def __init__(self) -> None:
        self._claims: dict[Claim, float] = {}  # the oldest first

    def add(self, claim: Claim, now: float) -> None:
        """One who claimed this is gone.  ``default`` gets what is left over in any case."""
        if claim.service == DEFAULT_SERVICE:
            return
        self._claims.pop(claim, None)
        self._claims[claim] = now
        if len(self._claims) > CLAIMS_LIMIT:
            del self._claims[next(iter(self._claims))]

    def claims(self, speaking: Collection[str]) -> list[Claim]:
        """
        Those that count.

        :param speaking: the services of which somebody claims something.
        """
        return [claim for claim in self._claims if claim.service not in speaking]

    def left_at(self, service: str) -> float | None:
        """When the last one who claimed something for this service was gone; None: nothing is kept of it."""
        return max((at for claim, at in self._claims.items() if claim.service == service), default=None)

    def forget(self, service: str) -> None:
        """Keep nothing of this service."""
        self._claims = {claim: at for claim, at in self._claims.items() if claim.service != service}

    def expire(self, now: float) -> bool:
        """Let go of what is long ago; whether there was any."""
        before = len(self._claims)
        while self._claims:
            claim, at = next(iter(self._claims.items()))
            if now - at < KEPT_SECONDS:
                break
            del self._claims[claim]
        return len(self._claims) < before

    def next_deadline(self) -> float | None:
        """When the next one is let go."""
        return next((at + KEPT_SECONDS for at in self._claims.values()), None)

    def items(self) -> list[tuple[Claim, float]]:
        """Each, and since when; the oldest first."""
        return list(self._claims.items())

    def __repr__(self) -> str:
        return f"<Departed {len(self._claims)}>"
