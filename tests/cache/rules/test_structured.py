from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.structured import dictionary


class DictionaryTests(SynchronousTestCase):
    """RFC 9651 section 4.2.2."""

    def test_members(self) -> None:
        for value, expected in (
            (b"", {}),
            (b"  ", {}),
            (b"max-age=600", {b"max-age": 600}),
            (b" a=1 ,\tb, c=?0 ", {b"a": 1, b"b": True, b"c": False}),
            (b"a=-5, b=1.5, c=tok/en:x", {b"a": -5, b"b": b"1.5", b"c": b"tok/en:x"}),
            (
                b'a="x, y=\\"1\\"";p=1;q, b=:aGk=:, c=@1659578233',
                {b"a": b'"x, y=\\"1\\""', b"b": b":aGk=:", b"c": b"@1659578233"},
            ),
            (b"a=(1 2);p, b=(), c", {b"a": b"(1 2);p", b"b": b"()", b"c": True}),
            (b"a=1, a=2", {b"a": 2}),
            (b"a;x=1, b=2;y", {b"a": True, b"b": 2}),
        ):
            self.assertEqual(dictionary(value), expected, value)

    def test_what_is_none(self) -> None:
        for value in (
            b"MaX-aGe=5",
            b"max-age=5,",
            b",max-age=5",
            b"max-age=5,,a",
            b"max-age=5, &&&&&",
            b"max-age =5",
            b"max-age= 5",
            b"max-age=5 private",
            b'a="x',
            b'a="\\x"',
            b"a=1.5555",
            b"a=1234567890123456",
            b"a=?2",
            b"a=(1 2",
            b"a=\xff",
        ):
            self.assertIsNone(dictionary(value), value)

    @given(st.text('ab=1,;("\\)?: .-*\t', max_size=30))
    def test_anything_is_one_or_none(self, value: str) -> None:
        dictionary(value.encode())
