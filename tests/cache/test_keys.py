from urllib.parse import quote_from_bytes, urlencode

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.keys import LONGEST_KEY_BYTES, key_of
from scalekit.errors import ClientFault

GOOD = [
    (b"key=a", b"a"),
    (b"key=Posts", b"Posts"),
    (b"key=posts", b"posts"),
    (b"key=/posts/1", b"/posts/1"),
    (b"key=%2Fposts%2f1", b"/posts/1"),
    (b"key=a%20b", b"a b"),
    (b"key=a+b", b"a b"),
    (b"key=a%2Bb", b"a+b"),
    (b"key=%C3%A9", "é".encode()),
    (b"key=%E9", b"\xe9"),
    (b"key=\xc3\xa9", "é".encode()),
    (b"key=%00%FF", b"\0\xff"),
    (b"key=a=b", b"a=b"),
    (b"key=a;b", b"a;b"),
    (b"key=a%26key%3Db", b"a&key=b"),
    (b"key=%2525", b"%25"),
    (b"%6Bey=a", b"a"),
    (b"x=1&key=a&y=2", b"a"),
    (b"key=" + b"%41" * LONGEST_KEY_BYTES, b"A" * LONGEST_KEY_BYTES),
]

BAD = [
    (b"", 400, "no-key"),
    (b"a", 400, "no-key"),
    (b"Key=a", 400, "no-key"),
    (b"keys=a", 400, "no-key"),
    (b"key", 400, "empty-key"),
    (b"key=", 400, "empty-key"),
    (b"key=a&key=a", 400, "double-key"),
    (b"key=a&key=", 400, "double-key"),
    (b"key=a&%6bey=b", 400, "double-key"),
    (b"key=50%", 400, "bad-key"),
    (b"key=%4", 400, "bad-key"),
    (b"key=%zz", 400, "bad-key"),
    (b"key=" + b"a" * (LONGEST_KEY_BYTES + 1), 413, "key-too-long"),
]


class KeyTests(SynchronousTestCase):
    def test_good(self) -> None:
        for query, expected in GOOD:
            self.assertEqual(key_of(query), expected, query)

    def test_bad(self) -> None:
        for query, status, reason in BAD:
            fault = self.assertRaises(ClientFault, key_of, query)
            self.assertEqual((fault.status, fault.reason), (status, reason), query)

    @given(st.binary(min_size=1, max_size=LONGEST_KEY_BYTES))
    def test_every_key_can_be_asked_for(self, key: bytes) -> None:
        self.assertEqual(key_of(b"key=" + quote_from_bytes(key, safe="").encode()), key)
        self.assertEqual(key_of(urlencode({"other": "1", "key": key}).encode()), key)
