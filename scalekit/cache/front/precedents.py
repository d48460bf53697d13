"""
Whether users who are known to the app may wait for each other's answers: as it was with the last ones.

A request with ``Authorization`` or a cookie is often answered for its user alone; who had waited for such an answer to
somebody else would get his own twice as late.  So nobody of these waits before an answer of the kind was for everybody:
to the same URL or, of a URL that is not known yet, in the same first segment of the path.
"""

from __future__ import annotations

from collections import OrderedDict

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


def _area(key: bytes) -> bytes:
    """The URL up to the end of its path's first segment, or of its host; never a key, as it ends in a space."""
    scheme, _, host, *path = key.partition(b"?")[0].split(b"/", 4)
    return b"/".join((scheme, b"", host, *path[: len(path) > 1])) + b" "
