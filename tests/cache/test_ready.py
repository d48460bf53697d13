"""Heads that are ready: the same until something in them changes."""

from __future__ import annotations

from hypothesis import given, strategies
from msgspec.structs import astuple
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache import ready
from scalekit.cache.entry import Entry
from scalekit.cache.ready import TYPE, ReadyHeads, hit_fields, sought
from scalekit.cache.store import Window
from scalekit.http.heads import RequestHead


def entry(key: bytes = b"k", stored: float = 10.25, expires: float = 70.75) -> Entry:
    return Entry(key, b"value", stored, expires, expires, expires, 600, 0)


class ReadyHeadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.heads = ReadyHeads()

    def test_the_same_for_as_long_as_it_says_the_same(self) -> None:
        one = entry()
        first = self.heads.of(one, 10.5)
        self.assertIs(self.heads.of(one, 10.7), first)
        later = self.heads.of(one, 11.0)
        self.assertIsNot(later, first)
        self.assertEqual((later.get(b"age"), later.get(b"cache-control")), (b"0", b"max-age=59"))

    def test_of_another_value_under_this_key(self) -> None:
        first = self.heads.of(entry(), 10.5)
        self.assertIsNot(self.heads.of(entry(), 10.5), first)

    def test_made_stale_a_little_later(self) -> None:
        one = entry()
        self.heads.of(one, 10.5)
        one.expires = 10.8
        self.assertEqual(self.heads.of(one, 10.6).get(b"cache-control"), b"max-age=0")

    def test_bounded(self) -> None:
        self.patch(ready, "MOST_HEADS", 3)
        for number in range(10):
            self.heads.of(entry(b"%d" % number), 10.5)
        self.assertEqual(repr(self.heads), "<ReadyHeads 1>")

    @given(strategies.lists(strategies.floats(0.0, 3.0), min_size=1, max_size=20), strategies.floats(0.5, 50.0))
    def test_always_what_would_be_made_now(self, steps: list[float], lifetime: float) -> None:
        heads, one, now = ReadyHeads(), entry(expires=10.25 + lifetime), 10.25
        for step in steps:
            now += step
            if now >= one.expires:
                break
            self.assertEqual(heads.of(one, now).fields, TYPE + hit_fields(one, now))


class SoughtTests(SynchronousTestCase):
    def test_what_a_request_is_about(self) -> None:
        def about(*fields: tuple[bytes, bytes]) -> tuple[object, ...]:
            return astuple(sought(RequestHead(b"GET", b"/v1/keys/k", list(fields)), b"k"))[1:]

        self.assertEqual(about((b"Accept", b"*/*")), (True, True, None, Window.REVALIDATING))
        self.assertEqual(about((b"If-None-Match", b"*")), (False, False, None, Window.REVALIDATING))
        fields = (b"Cache-Lease", b"request"), (b"Cache-Control", b"stale-if-error")
        self.assertEqual(about(*fields), (False, True, b"request", Window.FAILING))
