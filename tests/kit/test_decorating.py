"""`cached` in memory: with a cache that is a dict, sync and async."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit import kit
from scalekit.kit.cache import AsyncCache
from scalekit.kit.lookup import Look, Looked
from scalekit.kit.thread_cache import Cache
from tests.kit.fakes import FakeClient


class Dict:
    """What both kinds of fake share: a dict that gives everybody a lease."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.told: list[Any] = []

    def looked(self, look: Look) -> Looked:
        self.told.append(look)
        value = self.stored.get(look.key)
        return Looked(value, "" if value is not None or not look.lease_seconds else "token")

    def kept(self, key: str, value: bytes, *args: Any, **kwargs: Any) -> bool:
        self.told.append((key, value, *args, kwargs))
        self.stored[key] = value
        return True

    def given_back(self, lease: str) -> bool:
        self.told.append(lease)
        return True

    def dropped(self, key: str) -> bool:
        del self.stored[key]
        return True


class FakeThreadCache(Dict, Cache):
    def __init__(self) -> None:
        Dict.__init__(self)

    look, put, give_back, delete = Dict.looked, Dict.kept, Dict.given_back, Dict.dropped


class FakeAsyncCache(Dict, AsyncCache):
    def __init__(self) -> None:
        Dict.__init__(self)

    def look(self, look: Look) -> Deferred[Looked | None]:
        return succeed(self.looked(look))

    def put(self, *args: Any, **kwargs: Any) -> Deferred[bool]:
        return succeed(self.kept(*args, **kwargs))

    def give_back(self, lease: str) -> Deferred[bool]:
        return succeed(self.given_back(lease))

    def delete(self, key: str) -> Deferred[bool]:
        return succeed(self.dropped(key))


class Point(msgspec.Struct):
    x: int


class CachedTests(SynchronousTestCase):
    """The function counts how often it runs."""

    def setUp(self) -> None:
        self.runs = 0
        self.cache: Any = FakeThreadCache()

    def decorated(self, **options: Any) -> Any:
        @kit.cached(self.cache, max_age=60, **options)
        def newest(count: int, author: str = "all") -> Any:
            """The newest."""
            self.runs += 1
            if count < 0:
                raise ZeroDivisionError
            return [count, author]

        return newest

    def result(self, value: Any) -> Any:
        return value

    def failure(self, function: Any, *args: Any) -> None:
        self.assertRaises(ZeroDivisionError, function, *args)

    def test_made_once(self) -> None:
        newest = self.decorated()
        for _ in range(2):
            self.assertEqual(self.result(newest(3)), [3, "all"])
        self.assertEqual(self.result(newest(3, author="me")), [3, "me"])
        self.assertEqual(self.runs, 2)
        self.assertEqual((newest.__name__, newest.__doc__), ("newest", "The newest."))

    def test_how_it_is_kept(self) -> None:
        options = {
            "tags": lambda count: [f"n:{count}"],
            "key": "newest/{}".format,
            "while_revalidating": 5,
            "if_error": 9,
        }
        newest = self.decorated(**options, lease_seconds=20)
        self.result(newest(3))
        rest = {"tags": ["n:3"], "while_revalidating": 5, "if_error": 9, "lease": "token"}
        self.assertEqual(self.cache.told, [Look("newest/3", 20), ("newest/3", b'[3,"all"]', 60, rest)])

    def test_keys(self) -> None:
        key_of = self.decorated().key_of
        self.assertTrue(key_of(3, author="me").endswith('.newest[[3],[["author","me"]]]'), key_of(3, author="me"))
        self.assertTrue(len(key_of("é" * 1000)) < 300)
        self.assertNotEqual(key_of("é" * 1000), key_of("é" * 1001))
        self.assertRaises(TypeError, key_of, object())
        self.assertTrue(key_of({"1": "a"}).endswith('[[{"1":"a"}],[]]'))
        for same in ({1: "a"}, {True: "a"}, [({"b": {None: 1}},)]):
            self.assertRaises(TypeError, key_of, same)
        self.assertRaises(TypeError, key_of, author={1: "a"})
        # A name of a file that is not UTF-8.
        keys = {key_of(name) for name in ("\udc80", "\udc81", "\\udc80", "?")}
        self.assertEqual((len(keys), len({key.encode() for key in keys})), (4, 4))

    def test_what_fails_is_not_kept(self) -> None:
        newest = self.decorated()
        for _ in range(2):
            self.failure(newest, -1)
        self.assertEqual((self.runs, self.cache.told[1]), (2, "token"))

    def test_what_another_version_has_stored_is_made_anew(self) -> None:
        newest = self.decorated()
        self.cache.stored[newest.key_of(3)] = b"\xff"
        self.assertEqual(self.result(newest(3)), [3, "all"])
        self.assertEqual(self.cache.stored[newest.key_of(3)], b'[3,"all"]')

    def test_other_encodings(self) -> None:
        newest = self.decorated(encode=lambda value: b"%d" % value[0], decode=int)
        self.result(newest(3))
        self.assertEqual(self.result(newest(3)), 3)


class AsyncCachedTests(CachedTests):
    def setUp(self) -> None:
        super().setUp()
        self.cache = FakeAsyncCache()

    def decorated(self, **options: Any) -> Any:
        @kit.cached(self.cache, max_age=60, **options)
        async def newest(count: int, author: str = "all") -> Any:
            """The newest."""
            self.runs += 1
            if count < 0:
                raise ZeroDivisionError
            return [count, author]

        return newest

    def result(self, value: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(value))

    def failure(self, function: Any, *args: Any) -> None:
        self.failureResultOf(Deferred.fromCoroutine(function(*args)), ZeroDivisionError)


class KindTests(SynchronousTestCase):
    def test_types(self) -> None:
        cache = FakeThreadCache()

        @kit.cached(cache, max_age=60, type=Point)
        def point() -> Point:
            return Point(1)

        self.assertEqual([point(), point()], [Point(1), Point(1)])

    def test_the_cache_must_be_of_the_same_kind(self) -> None:
        async def later() -> None:
            """As is."""

        def now() -> None:
            """As is."""

        other = AsyncCache("https://cache:5000", FakeClient(Clock()), Clock())
        threads = Cache("https://cache:5000", "", Clock().seconds)
        self.assertRaises(TypeError, kit.cached(threads, max_age=1), later)
        self.assertRaises(TypeError, kit.cached(other, max_age=1), now)
