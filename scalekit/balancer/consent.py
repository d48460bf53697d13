"""
Whether who answers at an address wants to be sent requests: a challenge with each probe.

The app is given a secret when it registers, and answers ``X-Scalekit-Challenge: NONCE`` with
``X-Scalekit-Challenge-Response: HEX``, which is HMAC-SHA256 of the nonce with that secret, both as they are written.
So nobody can have requests sent to a server that knows nothing of it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from scalekit.balancer.health import HealthRules
from scalekit.balancer.prober import PingAnswer
from scalekit.errors import UpstreamFault
from scalekit.http.heads import values_of

CHALLENGE = b"X-Scalekit-Challenge"
RESPONSE = b"X-Scalekit-Challenge-Response"


def response_to(nonce: str, secret: str) -> bytes:
    """What answers this nonce: lower-case hexadecimal."""
    return hmac.new(secret.encode(), nonce.encode(), "sha256").hexdigest().encode("ascii")


class ConsentAnswer(PingAnswer):
    """What comes back for a ping with a challenge: it passes only if the challenge was answered."""

    def __init__(self, cut: Callable[[], None], rules: HealthRules, nonce: str, secret: str) -> None:
        super().__init__(cut, rules)
        self._wanted = response_to(nonce, secret)
        self._has_consented = False

    def began(self, head: Any) -> None:
        found = values_of(head.fields, RESPONSE.lower())
        self._has_consented = len(found) == 1 and hmac.compare_digest(found[0].lower(), self._wanted)
        super().began(head)

    def ended(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if self._rules.is_well(self._status) and not self._has_consented:
            self.failed(UpstreamFault(502, "no-consent", f"{CHALLENGE.decode()} was not answered"))
        else:
            super().ended(trailers)
