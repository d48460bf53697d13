"""The store beside a plain dict: whatever is done in whatever order, it serves what that would."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import ENTRY_OVERHEAD_BYTES, TAG_OVERHEAD_BYTES, charge_of
from scalekit.cache.eviction import Eviction, LeastRecentlyUsed, Sieve
from scalekit.cache.fills import Fill
from scalekit.cache.s3fifo import S3FIFO
from scalekit.cache.store import Put, Store, Window

# Ten entries fit at most, so that there is something to evict; an entry of over some 60 bytes is refused.
KEYS = st.sampled_from(
    [*(bytes((number,)) for number in b"abcdefghijk"), b"aa", b"ab", b"a longer key than the others"]
)
TAGS = st.lists(st.sampled_from([b"t", b"u"]), max_size=2)
WINDOWS = st.sampled_from([0, 0, 1, 5])
MAX_BYTES = 8 * (ENTRY_OVERHEAD_BYTES + 2 * TAG_OVERHEAD_BYTES + 60)


class Kept(NamedTuple):
    value: bytes
    expires: float
    revalidates: float
    leaves: float
    tags: frozenset[bytes]

    def softened(self, now: float) -> Kept:
        early = max(0.0, self.expires - now)
        return self._replace(
            expires=self.expires - early, revalidates=self.revalidates - early, leaves=self.leaves - early
        )


class Making(NamedTuple):
    fill: Fill
    purges: list[tuple[str, bytes, bool]]  # those that came since


class StoreMachine(RuleBasedStateMachine):
    """The model may hold more (the store evicts), never less or else."""

    def make_eviction(self) -> Eviction:
        return S3FIFO(MAX_BYTES)

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(MAX_BYTES, self.make_eviction())
        self.now = 0.0
        self.model: dict[bytes, Kept] = {}
        self.making: list[Making] = []

    def forget_evicted(self) -> None:
        held = {entry.key for entry in self.store.entries()}
        self.model = {key: kept for key, kept in self.model.items() if key in held or kept.leaves <= self.now}

    def is_left(self, key: bytes) -> bool:
        return key in self.model and self.model[key].leaves > self.now

    @rule(seconds=st.sampled_from([0.25, 1, 1, 2, 3, 100, 4095, 4096, 1 << 24]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        key=KEYS,
        size=st.integers(0, 60),
        max_age=st.sampled_from([0, 1, 2, 3, 60, 5000, 1 << 25]),
        tags=TAGS,
        revalidate=WINDOWS,
        error=WINDOWS,
        made=st.none() | st.integers(0, 3),
    )
    def put(
        self, key: bytes, size: int, max_age: int, tags: list[bytes], revalidate: int, error: int, made: int | None
    ) -> None:
        value = (b"%d" % size * size)[:size]
        making = self.making.pop(made) if made is not None and made < len(self.making) else None
        if making is not None:
            key = making.fill.key
        was_left = self.is_left(key)
        outcome = self.store.put(
            key,
            value,
            max_age,
            self.now,
            tags=tuple(tags),
            while_revalidating=revalidate,
            if_error=error,
            fill=making and making.fill,
        )
        meant = [
            is_soft
            for kind, name, is_soft in (making.purges if making else [])
            if (kind == "key" and name == key)
            or (kind == "tag" and name in tags)
            or (kind == "prefix" and key.startswith(name))
        ]
        if not all(meant) or (meant and not revalidate and not error):
            assert outcome is Put.PURGED
            return
        charge = charge_of(key, value, tuple(set(tags)))
        if charge > MAX_BYTES // 8:
            assert outcome is Put.TOO_BIG
            return
        if charge + self.store.stats().reserved_bytes > MAX_BYTES:
            assert outcome is Put.NO_ROOM
            return
        assert outcome is (Put.REPLACED if was_left else Put.CREATED)
        expires = self.now + (0 if meant else max_age)
        self.model[key] = Kept(value, expires, expires + revalidate, expires + max(revalidate, error), frozenset(tags))
        self.forget_evicted()
        assert key in self.model

    @rule(key=KEYS)
    def begin(self, key: bytes) -> None:
        if len(self.making) < 4:
            self.making.append(Making(self.store.begin(key), []))

    @precondition(lambda self: self.making)
    @rule(number=st.integers(0, 3), length=st.integers(0, 1400))
    def reserve(self, number: int, length: int) -> None:
        self.store.reserve(self.making[number % len(self.making)].fill, length)
        self.forget_evicted()

    @precondition(lambda self: self.making)
    @rule(number=st.integers(0, 3))
    def abandon(self, number: int) -> None:
        self.store.abandon(self.making.pop(number % len(self.making)).fill)

    @rule(key=KEYS, window=st.sampled_from(Window))
    def get(self, key: bytes, window: Window) -> None:
        entry = self.store.get(key, self.now, window)
        kept = self.model.get(key)
        until = {Window.FRESH: "expires", Window.REVALIDATING: "revalidates", Window.FAILING: "leaves"}[window]
        if kept is None or getattr(kept, until) <= self.now:
            assert entry is None
        else:
            assert entry is not None
            assert (entry.value, entry.expires, entry.revalidates, entry.leaves) == kept[:4]
            assert {tag.name for tag in entry.tags} == kept.tags

    def purged(self, kind: str, name: bytes, is_soft: bool) -> None:
        for making in self.making:
            making.purges.append((kind, name, is_soft))
        for key, kept in list(self.model.items()):
            if (
                (kind == "key" and name == key)
                or (kind == "tag" and name in kept.tags)
                or (kind == "prefix" and key.startswith(name))
            ):
                if is_soft:
                    self.model[key] = kept.softened(self.now)
                else:
                    del self.model[key]

    @rule(key=KEYS, is_soft=st.booleans())
    def purge_key(self, key: bytes, is_soft: bool) -> None:
        assert self.store.purge_key(key, self.now, is_soft) is self.is_left(key)
        self.purged("key", key, is_soft)

    @rule(name=st.sampled_from([b"t", b"u", b"other"]), is_soft=st.booleans())
    def purge_tag(self, name: bytes, is_soft: bool) -> None:
        self.store.purge_tag(name, self.now, is_soft)
        self.purged("tag", name, is_soft)

    @rule(name=st.sampled_from([b"", b"a", b"b"]), is_soft=st.booleans())
    def purge_prefix(self, name: bytes, is_soft: bool) -> None:
        assert self.store.purge_prefix(name, self.now, is_soft)
        self.purged("prefix", name, is_soft)

    @rule(budget=st.sampled_from([1, 2, 20, 1000]))
    def sweep(self, budget: int) -> None:
        self.store.sweep(self.now, budget)
        if budget == 1000:
            assert self.store.is_swept
            held = {entry.key for entry in self.store.entries()}
            assert all(key in self.model for key in held), "left what was purged"

    @rule(budget=st.sampled_from([1, 2, 1000]))
    def expire(self, budget: int) -> None:
        before = {entry.key for entry in self.store.entries()}
        removed = self.store.expire(self.now, budget)
        left = {entry.key for entry in self.store.entries()}
        assert len(before - left) == removed <= budget
        assert not any(self.is_left(key) for key in before - left), "removed what was there"
        if budget == 1000 and self.store.is_swept:
            assert all(self.model[key].leaves > self.now - 1 for key in left), "left what had expired"

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        held = {entry.key for entry in self.store.entries()}
        assert {key for key in self.model if self.is_left(key)} <= held

    @invariant()
    def bytes_are_the_sum(self) -> None:
        stats = self.store.stats()
        entries = self.store.entries()
        assert stats.bytes == sum(entry.charge for entry in entries)
        assert stats.reserved_bytes == sum(making.fill.reserved for making in self.making)
        assert stats.bytes + stats.reserved_bytes <= MAX_BYTES
        held = self.store._held
        assert stats.entries == len(self.store) == len(held.eviction) == len(held.wheel) == len(entries)

    @invariant()
    def both_sides_of_the_tags_sum_alike(self) -> None:
        by_tag = {id(tag): tag for tag in [*self.store._held.tags._tags.values(), *self.store._unswept.tags]}
        pairs = {(entry.key, id(tag)) for entry in self.store.entries() for tag in entry.tags}
        assert pairs == {(key, name) for name, tag in by_tag.items() for key in tag.keys}
        assert all(tag.keys for tag in self.store._held.tags._tags.values()), "a row that nobody is in"

    @invariant()
    def every_entry_left_by_one_way(self) -> None:
        stats = self.store.stats()
        assert stats.entries == stats.stored - stats.replaced - stats.expired - stats.evicted - stats.invalidated

    @invariant()
    def purges_are_remembered_as_long_as_they_are_needed(self) -> None:
        if not self.making:
            assert len(self.store._purges) == 0


class SieveMachine(StoreMachine):
    def make_eviction(self) -> Eviction:
        return Sieve()


class LeastRecentlyUsedMachine(StoreMachine):
    def make_eviction(self) -> Eviction:
        return LeastRecentlyUsed()


class MachineTests(SynchronousTestCase):
    def test_s3fifo(self) -> None:
        run_state_machine_as_test(StoreMachine)

    # Only what leaves is another; a third of the examples is enough for that.

    def test_sieve(self) -> None:
        run_state_machine_as_test(SieveMachine, settings=settings(max_examples=30))

    def test_least_recently_used(self) -> None:
        run_state_machine_as_test(LeastRecentlyUsedMachine, settings=settings(max_examples=30))
