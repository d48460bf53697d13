"""Traces of cache accesses, made by chance from a seed: keys by Zipf's law, with scans of keys asked for only once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from random import Random

from scalekit.cache.store import Store


def zipf(seed: int, count: int, keys: int, skew: float = 0.9) -> Iterator[int]:
    """``count`` numbers below ``keys``; the n-th most popular with a weight of n ** -skew."""
    chance = Random(seed)
    weights = list(accumulate(number**-skew for number in range(1, keys + 1)))
    yield from chance.choices(range(keys), cum_weights=weights, k=count)


def with_scans(seed: int, count: int, keys: int, skew: float = 0.9) -> Iterator[int]:
    """The same, but every fifth access is one of a scan: of a key that nobody has asked for before or will again."""
    for number, key in enumerate(zipf(seed, count, keys, skew)):
        yield key if number % 5 else keys + number


def size_of(key: int) -> int:
    """The bytes of this key's value: 100 to 4,000, always the same ones."""
    return 100 + Random(key).randrange(3900)


def hit_ratio(store: Store, trace: Iterator[int], sizes: list[int]) -> float:
    """What part of the accesses is served, where every miss is followed by a put."""
    data = bytes(4096)
    hits = total = 0
    for number in trace:
        key = b"%d" % number
        total += 1
        if store.get(key, 0.0) is not None:
            hits += 1
        else:
            store.put(key, data[: sizes[number % len(sizes)]], 3600.0, 0.0)
    return hits / total
