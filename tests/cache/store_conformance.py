"""What every `ICacheStore` promises: a function that makes a TestCase, which memory and Redis both pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from scalekit.cache.ageing import Lifetimes
from scalekit.cache.conditions import etag
from scalekit.cache.fills import Fill
from scalekit.cache.keyvalue import Found, Purged
from scalekit.cache.store import Put, Window
from scalekit.interfaces import ICacheStore

HOUR = Lifetimes(3600)
#: Stale from the beginning.
STALE = Lifetimes(0, 3600, 7200)
NEVER = Lifetimes(0)


def make_store_tests(make: Callable[[TestCase], Any]) -> type[TestCase]:
    """
    :param make: gives a store, or a Deferred of one, to a test, which it may have clean up after it.
    """

    class StoreConformance(TestCase):
        timeout = 60

        async def setUp(self) -> None:  # type: ignore[override]
            self.store = await maybeDeferred(make, self)

        async def get(self, key: bytes = b"k", window: Window = Window.FRESH) -> bytes | None:
            entry = await maybeDeferred(self.store.get, key, window)
            return None if entry is None else bytes(entry.value)

        async def put(
            self,
            key: bytes = b"k",
            value: bytes = b"v",
            times: Lifetimes = HOUR,
            tags: tuple[bytes, ...] = (),
            fill: Fill | None = None,
            **more: Any,
        ) -> Put:
            fill = fill or self.store.begin(key)
            outcome: Put = await maybeDeferred(self.store.put, key, value, times, tags, fill, **more)
            return outcome

        async def purge(
            self,
            keys: tuple[bytes, ...] = (),
            tags: tuple[bytes, ...] = (),
            prefix: bytes | None = None,
            soft: bool = False,
        ) -> None:
            outcome = await maybeDeferred(self.store.purge, keys, tags, prefix, soft)
            self.assertIn(outcome, (True, Purged.EVERYWHERE))

        async def ask(self, key: bytes = b"k", seconds: float = 30) -> Found:
            found: Found = await maybeDeferred(self.store.ask, key, seconds)
            return found

        async def lease(self, key: bytes = b"k") -> bytes:
            found = await self.ask(key)
            assert found.lease is not None, found
            return found.lease.token

        def test_interface(self) -> None:
            verifyObject(ICacheStore, self.store)

        async def test_stored_and_replaced(self) -> None:
            self.assertIsNone(await self.get())
            self.assertEqual(await self.put(), Put.CREATED)
            self.assertEqual(await self.put(value=b"\0\r\n\xff" * 1000, tags=(b"t", b"u v", b"t")), Put.REPLACED)
            entry = await maybeDeferred(self.store.get, b"k", Window.FRESH)
            self.assertEqual(entry.value, b"\0\r\n\xff" * 1000)
            self.assertEqual([tag.name for tag in entry.tags], [b"t", b"u v"])
            now = self.store.clock.seconds()
            self.assertLessEqual(entry.stored, now)
            self.assertLessEqual(entry.expires, now + 3600)
            self.assertGreater(entry.expires, now + 3000)

        async def test_any_key(self) -> None:
            for key in (b"\0\n\xff \"'", b"*", b"%41", b"k" * 1024):
                self.assertEqual(await self.put(key, key), Put.CREATED)
                self.assertEqual(await self.get(key), key)

        async def test_windows(self) -> None:
            await self.put(times=STALE)
            await self.put(b"error", times=Lifetimes(0, 0, 3600))
            await self.put(b"never", times=NEVER)
            for window, found in ((Window.FRESH, None), (Window.REVALIDATING, b"v"), (Window.FAILING, b"v")):
                self.assertEqual(await self.get(window=window), found)
            self.assertIsNone(await self.get(b"error", Window.REVALIDATING))
            self.assertEqual(await self.get(b"error", Window.FAILING), b"v")
            self.assertIsNone(await self.get(b"never", Window.FAILING))

        async def test_peek_finds_what_is_stale(self) -> None:
            await self.put(times=Lifetimes(0, 0, 3600))
            self.assertEqual((await maybeDeferred(self.store.peek, b"k")).value, b"v")
            self.assertIsNone(await maybeDeferred(self.store.peek, b"x"))

        async def test_purges(self) -> None:
            await self.put(b"a/1", tags=(b"t", b"u"))
            await self.put(b"a/2", tags=(b"u",))
            await self.put(b"b/1", tags=(b"t",))
            await self.put(b"b/2")
            await self.purge(keys=(b"b/2", b"absent"))
            self.assertIsNone(await self.get(b"b/2", Window.FAILING))
            await self.purge(tags=(b"t", b"absent"))
            self.assertEqual([await self.get(key) for key in (b"a/1", b"a/2", b"b/1")], [None, b"v", None])
            await self.put(b"b/1", tags=(b"t", b"u"))
            await self.purge(prefix=b"a/")
            self.assertEqual([await self.get(key) for key in (b"a/2", b"b/1")], [None, b"v"])
            await self.put(b"a/2")
            self.assertEqual(await self.get(b"a/2"), b"v")
            await self.purge(prefix=b"")
            self.assertEqual([await self.get(key) for key in (b"a/2", b"b/1")], [None, None])
            self.assertEqual(await self.put(b"a/2"), Put.CREATED)
            self.assertEqual(await self.get(b"a/2"), b"v")

        async def test_soft_purges(self) -> None:
            """They make stale what has windows, and remove the rest; what comes later is fresh."""
            times = Lifetimes(3600, 60, 60)
            for purge in ({"keys": (b"k", b"bare")}, {"tags": (b"t",)}, {"prefix": b""}, {"prefix": b"k"}):
                await self.put(times=times, tags=(b"t",))
                await self.put(b"bare", tags=(b"t",))
                await self.put(b"other", times=times)
                await self.purge(soft=True, **purge)
                self.assertIsNone(await self.get())
                self.assertEqual(await self.get(window=Window.REVALIDATING), b"v")
                if purge != {"prefix": b"k"}:
                    self.assertIsNone(await self.get(b"bare", Window.FAILING))
                self.assertEqual(await self.get(b"other"), None if purge == {"prefix": b""} else b"v")
                await self.put(value=b"new", times=times, tags=(b"t",))
                self.assertEqual(await self.get(), b"new")
            await self.purge(soft=True, tags=(b"t",))
            await self.purge(soft=True, tags=(b"t",))
            self.assertEqual(await self.get(window=Window.FAILING), b"new")
            await self.purge(tags=(b"t",))
            self.assertIsNone(await self.get(window=Window.FAILING))

        async def test_the_worst_of_several_purges_counts(self) -> None:
            times = Lifetimes(3600, 60, 60)
            for purges in (((b"", True), (b"k", False)), ((b"k", False), (b"k", True)), ((b"k", True), (b"", False))):
                await self.put(times=times)
                for prefix, is_soft in purges:
                    await self.purge(prefix=prefix, soft=is_soft)
                self.assertIsNone(await self.get(window=Window.FAILING))

        async def test_purged_while_it_was_made(self) -> None:
            for purge in ({"keys": (b"k",)}, {"tags": (b"t",)}, {"prefix": b"k"}, {"prefix": b""}):
                fill = self.store.begin(b"k")
                await self.purge(**purge)
                self.assertEqual(await self.put(tags=(b"t",), fill=fill), Put.PURGED)
                self.assertIsNone(await self.get())
            fill = self.store.begin(b"k")
            await self.purge(keys=(b"x",), tags=(b"x",), prefix=b"x")
            self.assertEqual(await self.put(tags=(b"t",), fill=fill), Put.CREATED)

        async def test_softly_purged_while_it_was_made(self) -> None:
            fill, bare = self.store.begin(b"k"), self.store.begin(b"bare")
            await self.purge(tags=(b"t",), soft=True)
            self.assertEqual(await self.put(times=Lifetimes(3600, 60), tags=(b"t",), fill=fill), Put.CREATED)
            self.assertEqual(await self.put(b"bare", tags=(b"t",), fill=bare), Put.PURGED)
            self.assertIsNone(await self.get())
            self.assertEqual(await self.get(window=Window.REVALIDATING), b"v")

        async def test_expected(self) -> None:
            self.assertEqual(await self.put(expected=etag(b"v")), Put.UNMATCHED)
            self.assertEqual(await self.put(expected=b""), Put.CREATED)
            self.assertEqual(await self.put(value=b"w", expected=b""), Put.UNMATCHED)
            self.assertEqual(await self.put(value=b"w", expected=etag(b"v")), Put.REPLACED)
            self.assertEqual(await self.get(), b"w")

        async def test_too_big(self) -> None:
            value = bytes(self.store.store.largest + 1)
            self.assertEqual(await self.put(value=value), Put.TOO_BIG)

        async def test_a_lease(self) -> None:
            token = await self.lease()
            taken = await self.ask()
            self.assertEqual((taken.entry, taken.lease, taken.is_taken), (None, None, True))
            self.assertEqual(await self.put(token=token), Put.CREATED)
            found = await self.ask()
            assert found.entry is not None
            self.assertEqual((found.entry.value, found.lease, found.is_taken), (b"v", None, False))
            self.assertEqual(await self.put(value=b"twice", token=token), Put.PURGED)
            self.assertEqual(await self.get(), b"v")

        async def test_a_lease_of_another_key_or_nobodys(self) -> None:
            token = await self.lease(b"other")
            for one in (token, b"0123456789abcdef-nobody", b"x"):
                self.assertEqual(await self.put(token=one), Put.PURGED)
            self.assertIsNone(await self.get())

        async def test_a_lease_of_what_is_stale(self) -> None:
            await self.put(times=STALE)
            first, second = await self.ask(), await self.ask()
            assert first.entry is not None
            assert second.entry is not None
            self.assertEqual((first.entry.value, second.entry.value), (b"v", b"v"))
            self.assertEqual((first.lease is None, second.lease, second.is_taken), (False, None, True))

        async def test_a_purge_voids_the_lease(self) -> None:
            for purge in ({"keys": (b"k",)}, {"prefix": b"k"}, {"prefix": b""}):
                token = await self.lease()
                await self.purge(**purge)
                self.assertEqual(await self.put(token=token), Put.PURGED)
                self.assertIsNone(await self.get())
                await maybeDeferred(self.store.release, token)
            token = await self.lease()
            await self.purge(tags=(b"t",))
            self.assertEqual(await self.put(tags=(b"t",), token=token), Put.PURGED)

        async def test_others_stores_end_the_lease(self) -> None:
            token = await self.lease()
            self.assertEqual(await self.put(value=b"other"), Put.CREATED)
            self.assertEqual(await self.put(token=token), Put.PURGED)
            self.assertEqual(await self.get(), b"other")

        async def test_given_back(self) -> None:
            token = await self.lease()
            self.assertTrue(await maybeDeferred(self.store.release, token))
            self.assertFalse(await maybeDeferred(self.store.release, token))
            await self.lease()

        async def test_of_what_cannot_be_kept_nobody_waits(self) -> None:
            token = await self.lease()
            waiting = [self.store.wait(b"k", 30, 50) for _ in range(3)]
            self.assertTrue(await maybeDeferred(self.store.refuse, token))
            self.assertFalse(await maybeDeferred(self.store.refuse, token))
            waiting.append(self.store.wait(b"k", 30, 50))
            found = [await one for one in waiting] + [await self.ask()]
            self.assertEqual({(one.entry, one.lease, one.is_taken) for one in found}, {(None, None, False)})
            self.assertEqual(self.store.waiting, 0)
            # Until somebody has stored one.
            self.assertEqual(await self.put(), Put.CREATED)
            await self.purge(keys=(b"k",))
            await self.lease()

        async def test_waiting(self) -> None:
            """For the value, for a lease that is given back, and in vain."""
            token = await self.lease()
            waiting = [self.store.wait(b"k", 30, 50) for _ in range(2)]
            await self.put(token=token)
            for one in waiting:
                found = await one
                self.assertEqual((found.entry.value, found.has_waited), (b"v", True))

            token = await self.lease(b"b")
            waiting = [self.store.wait(b"b", 30, 50)]
            await maybeDeferred(self.store.release, token)
            found = await waiting[0]
            assert found.lease is not None
            self.assertEqual((found.entry, found.has_waited), (None, True))
            in_vain = await self.store.wait(b"b", 30, 0)
            self.assertEqual((in_vain.entry, in_vain.lease, in_vain.is_taken), (None, None, True))
            self.assertEqual(self.store.waiting, 0)

        async def test_a_purge_gives_the_lease_to_who_waits(self) -> None:
            await self.lease()
            waiting = self.store.wait(b"k", 30, 50)
            await self.purge(keys=(b"k",))
            self.assertIsNotNone((await waiting).lease)

        async def test_who_waits_may_leave(self) -> None:
            token = await self.lease()
            waiting: Deferred[Any] = self.store.wait(b"k", 30, 50)
            waiting.addErrback(lambda failure: None)
            await maybeDeferred(self.store.peek, b"k")
            waiting.cancel()
            self.assertEqual(self.store.waiting, 0)
            self.assertEqual(await self.put(token=token), Put.CREATED)

    return StoreConformance
