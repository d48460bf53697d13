from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.storing import Refusal
from scalekit.cache.rules.vary import STAR, nominated, variant_of
from tests.cache.rules.asking import fields, get, kept, planned


class VaryTests(SynchronousTestCase):
    """RFC 9111 section 4.1."""

    def test_names(self) -> None:
        self.assertEqual(nominated([b"Foo, bar", b"FOO"]), (b"bar", b"foo"))
        self.assertEqual(nominated([]), ())
        self.assertEqual(nominated([b" , "]), ())

    def test_star_anywhere(self) -> None:
        for values in ([b"*"], [b"*, *"], [b"*", b"*"], [b", *"], [b"Foo, *"], [b"*, Foo"], [b"Foo", b" * "]):
            self.assertIs(nominated(values), STAR, values)
        self.assertEqual(planned("Cache-Control: max-age=9", "Vary: a, *"), Refusal.VARY)

    def test_who_it_is_for(self) -> None:
        stored = kept("Cache-Control: max-age=9", "Vary: Foo, Bar", asked=get("Foo: 1", "Baz: 2"))
        for lines, suits in (
            (("Foo: 1",), True),
            (("foo: 1", "Baz: 3"), True),
            (("Foo: 2",), False),
            ((), False),
            (("Foo: 1", "Bar: "), False),
            (("Foo: 1", "Foo: 2"), False),
        ):
            self.assertEqual(stored.suits(get(*lines).head), suits, lines)

    def test_what_means_the_same(self) -> None:
        for name, one, other in (
            ("Foo", ["1, 2"], ["1", "2"]),
            ("Foo", ["1,2"], [" 1 ,\t2 "]),
            ("Accept-Language", ["en, de"], ["de, en"]),
            ("Accept-Language", ["en, de"], ["eN", "De"]),
            ("Accept-Encoding", ["gzip;q=1.0, br"], ["br, gzip"]),
            ("Accept-Encoding", ["gzip; q=0.5"], ["GZIP;q=0.5"]),
        ):
            variants = [
                variant_of((name.lower().encode(),), fields(*(f"{name}: {value}" for value in values)))
                for values in (one, other)
            ]
            self.assertEqual(variants[0], variants[1], (one, other))

    def test_what_does_not(self) -> None:
        for name, one, other in (
            ("Foo", "1, 2", "2, 1"),
            ("Foo", "a", "A"),
            ("Foo", '"1, 2"', '"1,2"'),
            ("Accept-Language", "en;q=0.5, de", "en, de;q=0.5"),
            ("Accept-Encoding", "gzip", "gzip;q=0"),
        ):
            names = (name.lower().encode(),)
            self.assertNotEqual(
                variant_of(names, fields(f"{name}: {one}")), variant_of(names, fields(f"{name}: {other}")), (one, other)
            )

    @given(st.lists(st.text('ab ,;q="01.', min_size=1, max_size=8), max_size=3))
    def test_normal_is_normal(self, values: list[str]) -> None:
        for name in (b"foo", b"accept-language"):
            (once,) = variant_of((name,), [(name, value.strip().encode()) for value in values])
            if once is not None:
                self.assertEqual(variant_of((name,), [(name, once)]), (once,))
