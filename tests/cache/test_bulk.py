"""Purging, reading many at once, and the counters."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache import bulk
from scalekit.cache.store import Store
from tests.cache.asking import Answer, Asking


class PurgeTests(Asking, SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.hurried = 0

        def hurry() -> None:
            self.hurried += 1

        self.open(Store(1 << 20), hurry=hurry)
        self.put("/a", Surrogate_Key="posts", cache="max-age=60, stale-while-revalidate=60")
        self.put("/b", Surrogate_Key="posts news")
        self.put("c")

    def purge(self, **asked: Any) -> Answer:
        return self.ask("POST", "/v1/purge", {}, msgspec.json.encode(asked))

    def left(self) -> list[str]:
        return [key for key in ("/a", "/b", "c") if self.ask("GET", f"/?key={key}").status == 200]

    def test_hard(self) -> None:
        for asked, left in (
            ({"keys": ["/a", "x"]}, ["/b", "c"]),
            ({"tags": ["news"]}, ["/a", "c"]),
            ({"tags": ["posts"]}, ["c"]),
            ({"prefix": "/"}, ["c"]),
            ({"all": True}, []),
            ({"keys": ["c"], "tags": ["news"]}, ["/a"]),
        ):
            self.setUp()
            answer = self.purge(**asked)
            self.assertEqual(
                (answer.status, answer.json), (200, {"purge": len(asked) + (asked.get("keys") == ["/a", "x"])})
            )
            self.assertEqual(self.left(), left, asked)
            self.assertEqual(self.hurried, int("keys" not in asked or "tags" in asked), asked)

    def test_soft(self) -> None:
        self.purge(tags=["posts"], soft=True)
        self.assertEqual(self.left(), ["c"])
        self.assertEqual([self.get(key).status for key in ("/a", "/b")], [200, 404])

    def test_what_is_refused(self) -> None:
        for body, status, reason in (
            (b"", 400, "bad-body"),
            (b"[]", 400, "bad-body"),
            (b'{"key":["a"]}', 400, "bad-body"),
            (b"{}", 400, "nothing-named"),
            (b'{"prefix":""}', 400, "empty-prefix"),
            (b'{"tags":[""]}', 400, "bad-tag"),
            (b'{"keys":["a"],"tags":["\\u00e9"]}', 400, "bad-tag"),
            (msgspec.json.encode({"keys": ["a"] * 1001}), 413, "too-many-names"),
        ):
            answer = self.ask("POST", "/v1/purge", {}, body)
            self.assertEqual((answer.status, answer.reason), (status, reason), body[:50])
        self.assertEqual(len(self.left()), 3)

    def test_too_many_prefixes(self) -> None:
        answers = [self.purge(prefix=f"x{number}") for number in range(65)]
        self.assertEqual((answers[-1].status, answers[-1].reason), (503, "purging"))
        self.assertEqual(answers[-1].fields["retry-after"], "1")

    def test_a_get_purges_nothing(self) -> None:
        self.assertEqual(self.ask("GET", "/v1/purge").status, 405)


class GetManyTests(Asking, SynchronousTestCase):
    def ask_for(self, *keys: str) -> Any:
        answer = self.ask("POST", "/v1/keys:get", {}, msgspec.json.encode({"keys": keys}))
        self.assertEqual(answer.status, 200)
        return answer.json

    def test_many(self) -> None:
        etag = self.put("a", b"\0\xff", cache="max-age=2, stale-while-revalidate=9").fields["etag"]
        self.put("%C3%A9", b"2")
        self.clock.advance(3)
        found = self.ask_for("a", "b", "é", "a")
        self.assertEqual((found["missing"], found["left_out"]), (["b"], []))
        self.assertEqual(b64decode(found["values"]["a"].pop("value")), b"\0\xff")
        self.assertEqual(found["values"]["a"], {"etag": etag, "age": 3, "max_age": 0, "stale": True})
        self.assertEqual(found["values"]["é"]["max_age"], 57)

    def test_what_one_answer_cannot_hold(self) -> None:
        self.patch(bulk, "MOST_BYTES", 10)
        for key in ("a", "b", "c"):
            self.put(key, b"12345")
        self.assertEqual(self.ask_for("a", "b", "c", "d")["left_out"], ["c"])

    def test_what_is_refused(self) -> None:
        for body in (b"{}", b'{"keys":[""]}', b'{"keys":[1]}'):
            self.assertEqual(self.ask("POST", "/v1/keys:get", {}, body).status, 400, body)


class StatsTests(Asking, SynchronousTestCase):
    def test_counters(self) -> None:
        self.put(Surrogate_Key="t")
        self.get()
        self.get("b", Cache_Lease="request")
        numbers = self.ask("GET", "/v1/stats").json
        expected = {"hits": 1, "misses": 1, "stored": 1, "entries": 1, "tags": 1, "fills": 1, "leases": 1, "waiting": 0}
        self.assertEqual({name: numbers[name] for name in expected}, expected)

    def test_hottest(self) -> None:
        self.put("a")
        self.put("%FF")
        for key in ("a", "a", "%FF", "a"):
            self.get(key)
        hottest = [{"key": "a", "share": 0.75}, {"key": "\\xff", "share": 0.25}]
        self.assertEqual(self.ask("GET", "/v1/stats").json["hottest"], hottest)
