"""
What is stale and stands in for an answer that does not come, or is an error (RFC 5861 section 4).

An origin that has failed is asked again once a second for each URL, behind what stands in meanwhile: it has enough to
do with coming back, and nobody who can be answered waits for it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from scalekit.cache.front.shelf import Variant
from scalekit.cache.front.sought import Sought
from scalekit.cache.front.telling import NAME
from scalekit.cache.rules import status
from scalekit.cache.rules.stale import covers_error

if TYPE_CHECKING:
    from scalekit.cache.front.front import CacheFront

#: Between two tries: the first requests that it answers are not to be old ones for long.
RETRY_SECONDS = 1.0
#: What nobody has asked for since is not stood in for at once: by then it is perhaps there again.  As `marks`.
FAILING_SECONDS = 10.0
#: Some 200 bytes each; what is beyond it is tried again by each that asks, or by the first of those who ask together.
MOST_FAILING = 10_000


class Failures:
    """Keys whose origin has failed lately, in bounded memory; pure."""

    def __init__(self) -> None:
        self._failed: OrderedDict[bytes, tuple[float, int | None]] = OrderedDict()  # the latest at the end

    def add(self, key: bytes, code: int | None, now: float) -> None:
        """:param code: the status; None: no answer came."""
        self._failed[key] = now, code
        self._failed.move_to_end(key)
        if len(self._failed) > MOST_FAILING:
            self._failed.popitem(last=False)

    def remove(self, key: bytes) -> None:
        """It is there again."""
        self._failed.pop(key, None)

    def since(self, key: bytes, now: float) -> tuple[float, int | None] | None:
        """How many seconds ago it has failed last, and how; None if that is too long ago to count."""
        found = self._failed.get(key)
        return None if found is None or now - found[0] >= FAILING_SECONDS else (now - found[0], found[1])

    def expire(self, now: float) -> None:
        """Forget those that do not count any more."""
        while self._failed and now - next(iter(self._failed.values()))[0] >= FAILING_SECONDS:
            self._failed.popitem(last=False)

    def __len__(self) -> int:
        return len(self._failed)

    def __repr__(self) -> str:
        return f"<Failures {len(self)}>"


class Covering:
    """:param front: whose answers they are."""

    def __init__(self, front: CacheFront) -> None:
        self._front = front
        self.failures = Failures()

    def find(self, sought: Sought, code: int | None) -> Variant | None:
        """What may stand in for an error with this status; None for the status: for no answer at all."""
        kept = self._front.find(sought)
        asked = sought.asked
        stored = None if kept is None else next((one for one in kept.stored if one.suits(asked.head)), None)
        if kept is None or stored is None or not covers_error(stored, asked, code, self._front.wall()):
            return None
        return kept.of(stored)

    def failed(self, sought: Sought, code: int | None) -> Variant | None:
        """The origin has failed; returns what may stand in for its answer."""
        variant = self.find(sought, code)
        if variant is not None:
            self.failures.add(sought.key, code, self._front.seconds())
        return variant

    def is_resting(self, sought: Sought) -> bool:
        """Whether the origin has just failed, and is not to be asked behind an answer yet."""
        found = self.failures.since(sought.key, self._front.seconds())
        return found is not None and found[0] < RETRY_SECONDS

    def cover_failing(self, exchange: Any, sought: Sought) -> bool:
        """Answer without waiting for an origin that has failed lately, if there is something that may stand in."""
        found = self.failures.since(sought.key, self._front.seconds())
        return found is not None and self.cover(exchange, sought, found[1])

    def cover(self, exchange: Any, sought: Sought, code: int | None) -> bool:
        """Answer from what is stale, if there is something that may stand in for an answer like this."""
        variant = self.find(sought, code)
        if variant is None:
            return False
        sought.counts.stale += 1
        exchange.record.cache = "stale"
        said = status.hit(NAME, variant.stored, self._front.wall()) + b'; detail="origin-failed"'
        self._front.answer_with(exchange, sought, variant, said)
        return True

    def __repr__(self) -> str:
        return f"<Covering, {self.failures!r}>"
