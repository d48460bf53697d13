"""Requests and answers with oddities or with bytes changed, and what each reader makes of them."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import strategies as st

from tests.http.differences import (
    ANSWER_DIFFERENCES,
    INTERPLAY,
    OTHERWISE,
    REFUSES,
    REQUEST_DIFFERENCES,
    SAME,
    TAKES,
    Table,
)
from tests.http.oddities import ANSWER_BASES, ANSWERS, NEXT, REQUEST_BASES, REQUESTS, Draft, Odd
from tests.http.oracles import (
    Reading,
    answer_by_h11,
    answer_by_httptools,
    by_h11,
    by_httptools,
    our_answer,
    ours,
)


def verdict(our: Reading, their: Reading) -> str:
    """How an oracle's reading differs from ours."""
    if our.taken == their.taken:
        return SAME
    shared = min(len(our.taken), len(their.taken))
    if our.taken[:shared] != their.taken[:shared]:
        return OTHERWISE
    return TAKES if len(their.taken) > shared else REFUSES


class Side:
    """Requests or answers: their oddities, table, readers."""

    def __init__(
        self,
        odds: tuple[Odd, ...],
        bases: dict[str, Callable[[], Draft]],
        table: Table,
        behind: bytes,
        *readers: Callable[[list[bytes]], Reading],
    ) -> None:
        self.odds = odds
        self.bases = bases
        self.listed = {name: verdicts for group in table.values() for name, verdicts in group.items()}
        self.behind = behind
        self.readers = readers

    def bytes_of(self, base: str, *odds: Odd) -> bytes:
        draft = self.bases[base]()
        for odd in odds:
            odd.change(draft)
        return bytes(draft) + self.behind

    def compare(self, pieces: list[bytes]) -> tuple[Reading, str, str]:
        """Our reading, and the verdicts on h11 and httptools."""
        our, *others = (reader(pieces) for reader in self.readers)
        by_h11, by_httptools = (verdict(our, other) for other in others)
        return our, by_h11, by_httptools

    def allowed(self, odds: list[Odd]) -> tuple[set[str], set[str]]:
        """The verdicts that are listed for any of these, by oracle."""
        listed = [self.listed.get(odd.name, (SAME, SAME)) for odd in odds]
        for rows in INTERPLAY.values():
            for one, other, *verdicts in rows:
                if all(any(re.fullmatch(name, odd.name) for odd in odds) for name in (one, other)):
                    listed.append((verdicts[0], verdicts[1]))
        return {SAME, *(h11 for h11, _ in listed)}, {SAME, *(httptools for _, httptools in listed)}


SIDES = {
    "requests": Side(REQUESTS, REQUEST_BASES, REQUEST_DIFFERENCES, NEXT, ours, by_h11, by_httptools),
    "answers": Side(ANSWERS, ANSWER_BASES, ANSWER_DIFFERENCES, b"", our_answer, answer_by_h11, answer_by_httptools),
}
PLACES = st.lists(st.integers(0, 160), max_size=4).map(sorted)


@st.composite
def odd_messages(draw: st.DrawFn) -> tuple[Side, str, list[Odd], list[int]]:
    """A side, one of its bases, oddities for that, and where to cut."""
    side = SIDES[draw(st.sampled_from(sorted(SIDES)))]
    base = draw(st.sampled_from(sorted(side.bases)))
    fitting = [odd for odd in side.odds if odd.base in ("", base)]
    odds = draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=3, unique_by=id))
    return side, base, odds, draw(PLACES)


#: What parsers stumble over.
NOISE = st.one_of(
    st.sampled_from([bytes([octet]) for octet in b'\r\n \t\x00\x01\x7f\x80\xff:,;="015aG/?#%@[]-_.*(\\'] + [b"\r\n"]),
    st.binary(min_size=1, max_size=2),
)
#: Where (of a thousand), how many bytes go, and what comes in their place.
EDITS = st.lists(st.tuples(st.integers(0, 999), st.integers(0, 3), st.one_of(st.just(b""), NOISE)), max_size=3)


@st.composite
def changed_messages(draw: st.DrawFn) -> tuple[Side, bytes, list[int]]:
    """A good message with a few bytes changed."""
    side = SIDES[draw(st.sampled_from(sorted(SIDES)))]
    data = bytearray(side.bytes_of(draw(st.sampled_from(sorted(side.bases)))))
    for place, count, noise in draw(EDITS):
        at = place * len(data) // 1000
        data[at : at + count] = noise
    return side, bytes(data), draw(PLACES)
