"""Keys of which nobody is to wait for another's answer, as the last one was for its client only (hit-for-miss)."""

from __future__ import annotations

from collections import OrderedDict

#: Then one is asked for all again: perhaps it can be shared by now.  Varnish has 120 s; a page that is private for who
#: has logged in, and the same for all others, should not be that long.
MARK_SECONDS = 10.0
#: Each takes some 300 bytes; without its mark a key is only asked for once before it is marked again.
MOST_MARKS = 10_000


class Marks:
    """Keys, each for so long."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()  # what ends first at the beginning

    def add(self, key: bytes, now: float) -> None:
        """From now on, for `MARK_SECONDS`."""
        self._until[key] = now + MARK_SECONDS
        self._until.move_to_end(key)
        if len(self._until) > MOST_MARKS:
            self._until.popitem(last=False)

    def remove(self, key: bytes) -> None:
        """It can be shared after all."""
        self._until.pop(key, None)

    def has(self, key: bytes, now: float) -> bool:
        """Whether this key is marked."""
        until = self._until.get(key)
        if until is None:
            return False
        if until <= now:
            del self._until[key]
            return False
        return True

    def expire(self, now: float) -> None:
        """Forget those whose time is over."""
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    def __len__(self) -> int:
        return len(self._until)

    def __repr__(self) -> str:
        return f"<Marks {len(self)}>"
