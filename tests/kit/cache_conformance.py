"""What every `Cache` and `AsyncCache` of the kit does, whatever it keeps things in."""

from __future__ import annotations

from typing import Any

from scalekit.kit.lookup import Look, Looked

LEASE_SECONDS = 60


class Conformance:
    """To be mixed into a TestCase; ``do`` calls a method of the cache, and is told what came of it."""

    assertEqual: Any
    assertTrue: Any

    async def do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def lease(self, key: str) -> str:
        """One that is wanted and given."""
        looked = await self.do("look", Look(key, LEASE_SECONDS))
        self.assertTrue(looked.lease)
        return str(looked.lease)

    async def test_kept_and_deleted(self) -> None:
        self.assertEqual(await self.do("get", "a"), None)
        self.assertTrue(await self.do("put", "a", b"1", 60))
        self.assertTrue(await self.do("put", "b", b"2", 60))
        self.assertEqual(await self.do("get", "a"), b"1")
        self.assertEqual(await self.do("get_many", ["a", "b", "c"]), {"a": b"1", "b": b"2"})
        self.assertTrue(await self.do("delete", "a"))
        self.assertEqual(await self.do("get_many", ["a", "b"]), {"b": b"2"})

    async def test_purged_by_tag_by_prefix_or_all(self) -> None:
        async def left(**purged: Any) -> list[str]:
            await self.do("put", "/posts/1", b"1", 60, tags=["posts"])
            await self.do("put", "/posts/2", b"2", 60, tags=["posts", "new"])
            await self.do("put", "/", b"0", 60)
            self.assertTrue(await self.do("purge", **purged))
            return sorted(await self.do("get_many", ["/", "/posts/1", "/posts/2"]))

        self.assertEqual(await left(tags=["new"]), ["/", "/posts/1"])
        self.assertEqual(await left(prefix="/posts/"), ["/"])
        self.assertEqual(await left(keys=["/", "/posts/2"]), ["/posts/1"])
        self.assertEqual(await left(everything=True), [])

    async def test_one_makes_it(self) -> None:
        token = await self.lease("made")
        self.assertEqual(await self.do("look", Look("made", LEASE_SECONDS)), Looked(None))
        self.assertTrue(await self.do("put", "made", b"it", 60, lease=token))
        self.assertEqual(await self.do("look", Look("made", LEASE_SECONDS)), Looked(b"it"))

    async def test_who_cannot_make_it_gives_it_back(self) -> None:
        token = await self.lease("back")
        self.assertTrue(await self.do("give_back", token))
        await self.lease("back")

    async def test_what_was_purged_meanwhile_is_not_kept(self) -> None:
        for purged in ({"keys": ["old"]}, {"tags": ["olds"]}):
            token = await self.lease("old")
            self.assertTrue(await self.do("purge", **purged))
            self.assertEqual(await self.do("put", "old", b"it", 60, tags=["olds"], lease=token), False)
            self.assertEqual(await self.do("get", "old"), None)

    async def test_stale_while_one_makes_it_anew(self) -> None:
        await self.do("put", "soft", b"then", 60, while_revalidating=60)
        self.assertTrue(await self.do("purge", ["soft"], soft=True))
        looked = await self.do("look", Look("soft", LEASE_SECONDS))
        self.assertEqual(looked.value, b"then")
        self.assertEqual(await self.do("get", "soft"), b"then")
        self.assertEqual(await self.do("look", Look("soft", LEASE_SECONDS)), Looked(b"then"))
        self.assertTrue(await self.do("put", "soft", b"now", 60, lease=looked.lease))
        self.assertEqual(await self.do("get", "soft"), b"now")

    async def test_stale_is_better_than_an_error(self) -> None:
        await self.do("put", "error", b"then", 60, if_error=60)
        await self.do("purge", ["error"], soft=True)
        self.assertEqual(await self.do("get", "error"), None)
        self.assertEqual(await self.do("look", Look("error", takes_stale=True)), Looked(b"then"))
