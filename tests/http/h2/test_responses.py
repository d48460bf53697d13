"""Answers' heads as field lists, and read again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import OurFault
from scalekit.http.h2.answers import answer_head
from scalekit.http.h2.responses import plain_fields, response_fields
from scalekit.http.heads import Fields, ResponseHead

NAMES = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
ANY = st.lists(
    st.tuples(
        st.one_of(
            NAMES, st.sampled_from([b"Connection", b"Keep-Alive", b"Transfer-Encoding", b"upgrade", b"Set-Cookie"])
        ),
        st.binary(max_size=12),
    ),
    max_size=6,
)


class FieldListTests(SynchronousTestCase):
    def test_whole(self) -> None:
        head = ResponseHead(200, [(b"Content-Type", b"a/b"), (b"Connection", b"close")])
        self.assertEqual(
            response_fields(head, 5, b"D", b"id"),
            [
                (b":status", b"200"),
                (b"content-type", b"a/b"),
                (b"content-length", b"5"),
                (b"x-request-id", b"id"),
                (b"date", b"D"),
            ],
        )

    def test_a_head_that_comes_again_with_another_length(self) -> None:
        head = ResponseHead(200, [], has_date=True)
        for length in (5, 5, 6, None, 5):
            fields = dict(response_fields(head, length, b"D", b"id"))
            self.assertEqual(fields.get(b"content-length"), None if length is None else b"%d" % length)

    @given(ANY)
    def test_no_line_breaks_no_connection_fields_lower_case(self, fields: Fields) -> None:
        try:
            plain = plain_fields(fields)
        except OurFault as fault:
            self.assertEqual(fault.status, 500)
            self.assertTrue(any(set(value) & {0, 10, 13} for _, value in fields))
            return
        gone = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
        self.assertEqual(plain, [(name.lower(), value) for name, value in fields if name.lower() not in gone])
        self.assertFalse(any(set(value) & {0, 10, 13} for _, value in plain))

    @given(
        st.integers(200, 599).filter(lambda status: status != 204),
        st.lists(st.tuples(NAMES.map(lambda name: b"x-" + name.lower()), st.just(b"v")), max_size=6),
        st.one_of(st.none(), st.integers(0, 10**18)),
    )
    def test_what_is_written_is_read(self, status: int, fields: Fields, length: int | None) -> None:
        fields = [field for field in fields if field[0] != b"x-request-id"]
        head = ResponseHead(status, fields, length)
        for _ in range(2):  # the second time from what was made the first time
            got = answer_head(response_fields(head, length, b"D", b"id"))
            self.assertEqual((got.status, got.length, got.fields), (status, length, [*fields, (b"date", b"D")]))
