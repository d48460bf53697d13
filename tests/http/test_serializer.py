from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import OurFault
from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.http.reader import ResponseReader
from scalekit.http.serializer import (
    CHUNKED,
    CLOSE,
    chunk,
    content_length,
    field_lines,
    interim_head,
    last_chunk,
    request_head,
    response_head,
    status_line,
    whole_answer,
)

DATE = b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"


class HeadTests(SynchronousTestCase):
    def test_answer(self) -> None:
        self.assertEqual(
            b"HTTP/1.1 200 OK\r\nA: b\r\nA: c\r\n"
            + DATE
            + b"X-Request-ID: r\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
            response_head(ResponseHead(200, [(b"A", b"b"), (b"A", b"c")]), content_length(5), CLOSE, DATE, b"r"),
        )

    def test_a_date_of_its_own(self) -> None:
        head = ResponseHead(200, [(b"Date", b"x")], has_date=True)
        self.assertEqual(1, response_head(head, CHUNKED, b"", DATE, b"r").count(b"Date:"))

    def test_a_whole_answer_is_its_head_and_its_body(self) -> None:
        for has_date in (False, True):
            for connection in (b"", CLOSE):
                for body in (b"", b"hello"):
                    head = ResponseHead(200, [(b"A", b"b")], has_date=has_date)
                    self.assertEqual(
                        response_head(head, content_length(len(body)), connection, DATE, b"r") + body,
                        whole_answer(head, connection, DATE, b"r", body),
                    )
        with self.assertRaises(OurFault):
            whole_answer(ResponseHead(200, [(b"A", b"b\r\nC: d")]), b"", DATE, b"r", b"")

    def test_lines_are_made_once(self) -> None:
        head = ResponseHead(200, [(b"A", b"b")])
        first = response_head(head, b"", b"", DATE, b"1")
        self.assertEqual(first.replace(b"ID: 1", b"ID: 2"), response_head(head, b"", b"", DATE, b"2"))

    def test_status_lines(self) -> None:
        for status, reason, expected in (
            (404, b"", b"404 Not Found"),
            (404, b"Gone Fishing", b"404 Gone Fishing"),
            (599, b"", b"599 "),
        ):
            self.assertEqual(b"HTTP/1.1 " + expected + b"\r\n", status_line(status, reason))

    def test_request(self) -> None:
        self.assertEqual(
            b"GET /x HTTP/1.1\r\nHost: a:1\r\nB: c\r\nConnection: close\r\n\r\n",
            request_head(RequestHead(b"GET", b"/x", [(b"B", b"c")], b"a:1", keep_alive=False)),
        )

    def test_interim(self) -> None:
        self.assertEqual(b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", interim_head(103, [(b"A", b"b")]))

    def test_no_field_becomes_two_lines(self) -> None:
        for evil in (b"a\r\nB: c", b"a\rB: c", b"a\nB: c", b"a\0", b"\r\n", b"\n", b"\r"):
            for field in ((b"A", evil), (evil, b"a")):
                for fields in ([field], [(b"X", b"y"), field]):
                    self.assertRaises(OurFault, field_lines, fields)
                    self.assertRaises(OurFault, last_chunk, fields)
                    self.assertRaises(OurFault, interim_head, 103, fields)
            self.assertRaises(OurFault, status_line, 200, evil)

    @given(st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5)), max_size=4))
    def test_as_many_lines_as_fields(self, fields: list[tuple[bytes, bytes]]) -> None:
        try:
            block = field_lines(fields)
        except OurFault:
            self.assertTrue(any(set(name + value) & {0, 10, 13} for name, value in fields))
        else:
            self.assertEqual(len(fields), len(block.splitlines()) if b"\x0b" not in block else block.count(b"\r\n"))

    @given(
        st.integers(200, 599).filter(lambda status: status not in (204, 304)),
        st.lists(
            st.tuples(
                st.from_regex(rb"y-[a-z0-9!_]{0,9}", fullmatch=True),
                st.from_regex(rb"([!-~\x80-\xff]([ \t]?[!-~\x80-\xff]){0,9})?", fullmatch=True),
            ),
            max_size=9,
        ),
        st.binary(max_size=50),
        st.booleans(),
    )
    def test_what_is_written_is_read(
        self, status: int, fields: list[tuple[bytes, bytes]], body: bytes, is_chunked: bool
    ) -> None:
        framing = CHUNKED if is_chunked else content_length(len(body))
        coded = (chunk(body) if body else b"") + last_chunk(fields) if is_chunked else body
        reader = ResponseReader()
        reader.feed(response_head(ResponseHead(status, fields), framing, b"", DATE, b"r") + coded)
        got = reader.read_head(b"GET")
        assert got is not None
        self.assertEqual((status, [*fields, (b"Date", DATE[6:-2])]), (got.status, got.fields))
        self.assertEqual(body, reader.read_body())
        if reader.decoder is not None:
            self.assertTrue(reader.decoder.is_complete)
            self.assertEqual(fields if is_chunked else [], reader.decoder.trailers)


class ChunkTests(SynchronousTestCase):
    def test_chunks(self) -> None:
        self.assertEqual(b"a\r\n0123456789\r\n", chunk(b"0123456789"))
        self.assertEqual(b"0\r\n\r\n", last_chunk([]))
        self.assertEqual(b"0\r\nA: b\r\n\r\n", last_chunk([(b"A", b"b")]))
