"""
Whether it is worth waiting for another's answer: as it was with the last ones.

What was for its client only, nobody waits for, for a while (`scalekit.cache.marks`).  A request with ``Authorization``
or a cookie is often answered for its user alone; who had waited for such an answer to somebody else would get his own
twice as late.  So nobody of these waits before an answer of the kind was for everybody: to the same URL or, of a URL
that is not known yet, in the same first segment of the path.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from scalekit.cache.front.sought import Sought
from scalekit.cache.marks import Marks

#: URLs and first segments together, some 200 bytes each; who was forgotten is asked for by each once more.
MOST_PRECEDENTS = 10_000


class Precedents:
    """What the latest answers to known users were, by URL, in bounded memory."""

    def __init__(self) -> None:
        self._were_shared: OrderedDict[bytes, bool] = OrderedDict()  # what was noted longest ago at the beginning

    def note(self, key: bytes, is_shared: bool) -> None:
        """
        :param key: of the URL; ``is_shared``: whether everybody might have the answer.
        """
        known = self._were_shared
        for place in (key, _area(key)):
            known[place] = is_shared
            known.move_to_end(place)
        while len(known) > MOST_PRECEDENTS:
            known.popitem(last=False)

    def allow_waiting(self, key: bytes) -> bool:
        """Whether the next answer may be expected to be for everybody."""
        found = self._were_shared.get(key)
        return self._were_shared.get(_area(key), False) if found is None else found

    def __repr__(self) -> str:
        return f"<Precedents {len(self._were_shared)}>"


class Prospects:
    """
    :param seconds: tells the store's seconds.

    :ivar marks: keys of which nobody waits, see `Sought`.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.marks = Marks()
        self._precedents = Precedents()
        self._seconds = seconds

    def is_marked(self, sought: Sought) -> bool:
        """Whether the last answer to this was for its client only."""
        return self.marks.has(sought.mark, self._seconds())

    def may_wait(self, sought: Sought) -> bool:
        """Whether who seeks this may wait, as far as he says who he is."""
        return not sought.is_known or self._precedents.allow_waiting(sought.key)

    def mark(self, sought: Sought) -> None:
        """Nobody is to wait for answers to this for a while."""
        self.marks.add(sought.mark, self._seconds())

    def note(self, sought: Sought, is_shared: bool) -> None:
        """An answer to this has come that everybody may have, or nobody else."""
        if is_shared:
            self.marks.remove(sought.mark)
        else:
            self.mark(sought)
        self.set_precedent(sought, is_shared)

    def set_precedent(self, sought: Sought, is_shared: bool) -> None:
        """The same, of which nothing follows for those who do not say who they are."""
        if sought.is_known:
            self._precedents.note(sought.key, is_shared)

    def __repr__(self) -> str:
        return f"<Prospects {self.marks!r} {self._precedents!r}>"


def _area(key: bytes) -> bytes:
    """The URL up to the end of its path's first segment, or of its host; never a key, as it ends in a space."""
    scheme, _, host, *path = key.partition(b"?")[0].split(b"/", 4)
    return b"/".join((scheme, b"", host, *path[: len(path) > 1])) + b" "
