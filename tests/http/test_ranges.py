from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.ranges import UnsatisfiableRange, byte_range


class ByteRangeTests(SynchronousTestCase):
    def test_one_range_of_ten_bytes(self) -> None:
        for value, expected in (
            (b"bytes=0-3", (0, 3)),
            (b"Bytes = 0-3", None),
            (b"BYTES=0-3", (0, 3)),
            (b" bytes=, 2-3 ,", (2, 3)),
            (b"bytes=4-", (4, 9)),
            (b"bytes=4-99999999", (4, 9)),
            (b"bytes=9-9", (9, 9)),
            (b"bytes=-3", (7, 9)),
            (b"bytes=-30", (0, 9)),
        ):
            self.assertEqual(byte_range(value, 10), expected, value)

    def test_what_is_left_aside(self) -> None:
        for value in (b"", b"bytes", b"bytes=", b"bytes=-", b"bytes=3-1", b"bytes=0-1,4-5", b"lines=0-1", b"bytes=a-b"):
            self.assertIs(byte_range(value, 10), None, value)

    def test_what_cannot_be_satisfied(self) -> None:
        for value, length in ((b"bytes=10-", 10), (b"bytes=10-12", 10), (b"bytes=-0", 10), (b"bytes=0-", 0)):
            self.assertRaises(UnsatisfiableRange, byte_range, value, length)

    @given(st.binary(max_size=30) | st.from_regex(rb"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True), st.integers(0, 200))
    def test_always_within(self, value: bytes, length: int) -> None:
        try:
            found = byte_range(value, length)
        except UnsatisfiableRange:
            return
        assert found is None or 0 <= found[0] <= found[1] < length
