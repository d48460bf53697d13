"""What stands in Redis: what needs none to be tested; the scripts are held to what they promise in test_shared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.purges import Kind
from scalekit.cache.redis_records import (
    Purge,
    digest_of,
    fields_of,
    pattern_of,
    prefixes_of,
    purge_arguments,
    purge_of,
    reply_of,
)


class RecordTests(SynchronousTestCase):
    def test_a_purge_there_and_back(self) -> None:
        for purge in (Purge(Kind.KEY, b"k", True), Purge(Kind.TAG, b"t"), Purge(Kind.PREFIX, b"")):
            run, kind, name, soft, digest = purge_arguments([purge], b"run")
            self.assertEqual((run, digest), (b"run", digest_of(b"k") if kind == b"key" else b""))
            self.assertEqual(purge_of(fields_of([b"is", kind, b"name", name, b"soft", soft])), purge)
        for other in ([b"is", b"begun"], [b"is", b"stored", b"key", b"k"], []):
            self.assertIsNone(purge_of(fields_of(other)))

    def test_a_reply(self) -> None:
        found = reply_of([b"v", b"1", b"2", b"3", b"4", b"17 \n18 a b\n", b"5"])
        assert found is not None
        self.assertEqual((found.value, found[1:5], found.tags, found.now), (b"v", (1, 2, 3, 4), (b"a b",), 5))
        self.assertIsNone(reply_of([]))

    def test_prefixes(self) -> None:
        row = [b"now", b"17", b"16", b"1000", b"hardab", b"5 6", b"softa", b"7 8"]
        self.assertEqual(prefixes_of(row), [b"hardab", b"5 6", b"softa", b"7 8"])

    @given(st.lists(st.text("ab*?[]\\^-", max_size=4), min_size=1))
    def test_a_pattern_finds_all_that_a_purge_means(self, prefixes: list[str]) -> None:
        swept = [part for prefix in prefixes for part in (b"hard" + prefix.encode(), b"1 2")]
        pattern = pattern_of(b"ns:", swept).decode()
        common = pattern.removeprefix("ns:value:").removesuffix("*").replace("\\\\", "\0").replace("\\", "")
        for prefix in prefixes:
            self.assertTrue(prefix.startswith(common.replace("\0", "\\")))
