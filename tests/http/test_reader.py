"""The table of inputs in every cutting, and messages that follow each other on one connection."""

from collections.abc import Iterable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.http.limits import FIELD_COUNT, HEAD_BYTES
from scalekit.http.reader import RequestReader, ResponseReader
from scalekit.http.serializer import request_head
from tests.http.input_table import Got, conversation, cut_into, head, post, rows, single_bytes

#: Rows up to here are cut at every place.
SHORT_BYTES = 250

#: What a request's reader may stumble over, in any order.
FRAGMENTS = [
    *(
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b"\x00",
        b"\xff",
        b"%",
        b"0",
        b"5",
        b";",
        b",",
        b"a",
        b"hello",
    ),
    *(
        b"GET / HTTP/1.1\r\n",
        b"POST /x HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 5\r\n",
        b"Connection: close\r\n",
    ),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ),
    *(
        head(),
        post(b"Content-Length: 5", body=b"hello"),
        post(b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n0\r\n\r\n"),
    ),
]
STREAMS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=9)), max_size=9).map(b"".join)
PLACES = st.lists(st.integers(0, 400), max_size=6).map(sorted)

HEAD_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
ANSWERS = [
    HEAD_OK + b"hi",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nall of it",
    *(
        b"HTTP/1.1 200\r\n",
        b"X: y\r\n",
        b"Content-Length: 3\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\n",
        b"\x00",
        b"abc",
    ),
]
ANSWER_STREAMS = st.lists(st.one_of(st.sampled_from(ANSWERS), st.binary(max_size=5)), max_size=6).map(b"".join)


def answers(pieces: Iterable[bytes], method: bytes = b"GET") -> list[Any]:
    """What `ResponseReader` makes of these pieces, all of them asked for with this method."""
    seen: list[Any] = []
    reader, body = ResponseReader(), bytearray()
    current = None
    try:
        for piece in pieces:
            reader.feed(piece)
            while True:
                if current is None:
                    current = reader.read_head(method)
                    if current is None:
                        break
                    body = bytearray()
                if reader.decoder is not None:
                    body += reader.read_body()
                    if not reader.decoder.is_complete:
                        break
                trailers = reader.decoder.trailers if reader.decoder is not None else []
                seen.append((current.status, current.fields, current.length, bytes(body), trailers, reader.is_reusable))
                current = None
        if current is not None:
            reader.end_of_stream()
            seen.append((current.status, current.fields, current.length, bytes(body), [], reader.is_reusable))
    except UpstreamFault as fault:
        seen.append(fault.status)
    return seen


class InputTableTests(SynchronousTestCase):
    def check(self, cuttings: Any) -> None:
        wrong = []
        for row in rows():
            for pieces in cuttings(row.sent):
                seen = conversation(pieces)
                if seen != list(row.expected):
                    wrong.append(f"{row.name}: {pieces if len(row.sent) < SHORT_BYTES else ''} gave {seen[:3]}")
                    break
        if wrong:
            self.fail("\n".join(wrong))

    def test_whole(self) -> None:
        self.check(lambda data: [[data]])

    def test_byte_by_byte(self) -> None:
        self.check(lambda data: [single_bytes(data)])

    def test_in_two_at_every_place(self) -> None:
        def cuttings(data: bytes) -> Iterable[list[bytes]]:
            return (cut_into(data, place) for place in range(1, len(data) if len(data) <= SHORT_BYTES else 1))

        self.check(cuttings)

    def test_by_lines(self) -> None:
        self.check(lambda data: [data.splitlines(keepends=True)])


class RequestReaderTests(SynchronousTestCase):
    @given(STREAMS, PLACES)
    @example(b"\r\n\r\n" + head(), [2])
    @example(b"0\r\n\r\n", [1])
    def test_any_cutting_gives_the_same(self, data: bytes, places: list[int]) -> None:
        def taken(seen: list[Got | int]) -> list[Got | str]:
            # Bytes with two faults may be refused for either, by which one shows first.
            return [item if isinstance(item, Got) else "refused" for item in seen]

        whole = taken(conversation([data]))
        for pieces in (cut_into(data, *places), single_bytes(data)):
            seen = taken(conversation(pieces))
            # Where no end is in sight a fault may show earlier in one cutting, but nothing is taken that was not.
            self.assertEqual(
                [item for item in whole if item != "refused"], [item for item in seen if item != "refused"]
            )

    @given(STREAMS)
    def test_nothing_but_client_faults(self, data: bytes) -> None:
        conversation([data])  # raises anything else

    @given(
        st.sampled_from([b"GET", b"HEAD", b"X-Y"]),
        st.binary(max_size=20).map(lambda raw: b"/" + bytes(32 + octet % 95 for octet in raw).translate(None, b" #")),
        st.lists(
            st.tuples(
                st.from_regex(rb"x-[a-z0-9!_]{0,9}", fullmatch=True),
                st.from_regex(rb"([!-~\x80-\xff]([ \t]?[!-~\x80-\xff]){0,9})?", fullmatch=True),
            ),
            max_size=9,
        ),
    )
    def test_what_is_written_is_read(self, method: bytes, target: bytes, fields: list[tuple[bytes, bytes]]) -> None:
        reader = RequestReader()
        reader.feed(request_head(RequestHead(method, target, fields, b"a.example")))
        got = reader.read_head()
        assert got is not None
        self.assertEqual((method, target, fields, b"a.example"), (got.method, got.target, got.fields, got.host))
        self.assertIsNone(reader.decoder)

    def test_a_head_that_repeats_is_the_same_object(self) -> None:
        reader = RequestReader()
        self.assertIsNone(reader.read_whole(head()))
        reader.feed(head())
        first = reader.read_head()
        self.assertIsNotNone(first)
        self.assertIs(reader.read_whole(head()), first)
        self.assertIs(reader.read_whole(head()), first)
        self.assertIsNone(reader.read_whole(head() + b"G"))
        self.assertIsNone(reader.read_whole(post(b"Content-Length: 5")))

    def test_what_waits_is_no_part_of_a_head_that_repeats(self) -> None:
        reader = RequestReader()
        reader.feed(head())
        reader.read_head()
        for piece in (head(), b"GET /"):
            reader.feed(piece)
            self.assertIsNone(reader.read_whole(head()))
            reader.read_head()
        self.assertIsNone(reader.read_whole(head()))

    def test_what_follows_a_head_without_a_body_is_not_its_body(self) -> None:
        reader = RequestReader()
        reader.feed(head() + head())
        reader.read_head()
        self.assertEqual(reader.read_body(), b"")
        self.assertIsNotNone(reader.read_head())

    def test_a_head_with_a_body_is_never_taken_for_one_without(self) -> None:
        with_body = post(b"Content-Length: 5")
        for sent in ([with_body, b"hello", with_body, b"world"], [with_body + b"hello", with_body + b"world"]):
            self.assertEqual([Got(b"POST", body=b"hello"), Got(b"POST", body=b"world")], conversation(sent))
        self.assertEqual([Got(), 400], conversation([head(), head()[:-2], b"X : y\r\n\r\n"]))
        self.assertEqual([Got(), Got()], conversation([head(), b"\r\n" + head()]))
        self.assertEqual([Got(), 400], conversation([head(), b"\r\n", b"\r\n", head()]))

    def test_what_can_be_no_request_is_refused_before_its_line_ends(self) -> None:
        for data in (b"\x16\x03\x01", b"\x00", b"\n", b" G", b"\rG", b"G\x00", b"{", b"M" * 65):
            for pieces in ([data], single_bytes(data)):
                self.assertEqual([400], conversation(pieces), data)

    def test_what_is_held_is_bounded(self) -> None:
        reader = RequestReader()
        most = 0
        with self.assertRaises(ClientFault):
            for piece in single_bytes(b"GET / HTTP/1.1\r\nX: " + b"y" * 2 * HEAD_BYTES):
                reader.feed(piece)
                reader.read_head()
                most = max(most, reader.held_bytes)
        self.assertEqual(HEAD_BYTES + 4, most)

    def test_too_many_fields_are_refused_before_the_head_ends(self) -> None:
        reader = RequestReader()
        taken = 0
        with self.assertRaises(ClientFault) as refused:
            for piece in single_bytes(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000):
                reader.feed(piece)
                reader.read_head()
                taken += 1
        self.assertEqual((431, "too-many-fields"), (refused.exception.status, refused.exception.reason))
        self.assertLess(taken, 7 * (FIELD_COUNT + 3) + 20)


class ResponseReaderTests(SynchronousTestCase):
    @given(ANSWER_STREAMS, PLACES, st.sampled_from([b"GET", b"HEAD"]))
    def test_any_cutting_gives_the_same(self, data: bytes, places: list[int], method: bytes) -> None:
        whole = answers([data], method)
        for pieces in (cut_into(data, *places), single_bytes(data)):
            seen = answers(pieces, method)
            self.assertEqual([item for item in whole if item != 502], [item for item in seen if item != 502])

    @given(ANSWER_STREAMS)
    def test_nothing_but_upstream_faults(self, data: bytes) -> None:
        answers([data])  # raises anything else

    def test_until_the_close(self) -> None:
        reader = ResponseReader()
        reader.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
        self.assertIsNotNone(reader.read_head(b"GET"))
        self.assertEqual(b"ab", reader.read_body())
        self.assertEqual([], reader.end_of_stream())
        self.assertFalse(reader.is_reusable)

    def test_cut(self) -> None:
        for sent in (
            HEAD_OK + b"h",
            HEAD_OK[:-9],
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
            b"",
        ):
            reader = ResponseReader()
            reader.feed(sent)
            if reader.read_head(b"GET") is not None:
                reader.read_body()
            fault = self.assertRaises(UpstreamFault, reader.end_of_stream)
            self.assertEqual("answer-cut", fault.reason)

    def test_a_repeated_head_knows_the_method(self) -> None:
        """The same bytes answer HEAD and GET: with a body once, without one once."""
        reader = ResponseReader()
        for method, body in ((b"GET", b"hi"), (b"HEAD", b""), (b"HEAD", b""), (b"GET", b"ho"), (b"GET", b"ha")):
            reader.feed(HEAD_OK + body)
            got = reader.read_head(method)
            assert got is not None
            self.assertEqual(2, got.length)
            self.assertEqual(body, reader.read_body())
            self.assertEqual(b"", reader.ready)
            if reader.decoder is not None:
                self.assertTrue(reader.decoder.is_complete)

    def test_a_repeated_head_ends_its_body_where_it_did(self) -> None:
        self.assertEqual(
            [(200, [], 2, b"hi", [], True), (200, [], 2, b"ho", [], True), 502],
            answers([HEAD_OK + b"hi", HEAD_OK + b"ho!", HEAD_OK]),
        )

    def test_a_whole_answer_in_one_step(self) -> None:
        reader = ResponseReader()
        self.assertIsNone(reader.read_whole(HEAD_OK + b"hi", b"GET"))
        reader.feed(HEAD_OK + b"hi")
        head = reader.read_head(b"GET")
        self.assertEqual(reader.read_body(), b"hi")
        self.assertEqual(reader.read_whole(HEAD_OK + b"ho", b"GET"), (head, b"ho"))
        other = HEAD_OK.replace(b"OK", b"Ok")
        for data, method in (
            (HEAD_OK, b"GET"),
            (HEAD_OK + b"h", b"GET"),
            (HEAD_OK + b"ho!", b"GET"),
            (other + b"ho", b"GET"),
            (HEAD_OK + b"ho", b"HEAD"),
            (HEAD_OK, b"HEAD"),
        ):
            self.assertIsNone(reader.read_whole(data, method))
        for begun in (HEAD_OK, HEAD_OK[:9]):
            reader.feed(begun)
            if reader.read_head(b"GET") is None:
                reader.feed(HEAD_OK[9:])
                self.assertIsNone(reader.read_whole(HEAD_OK + b"ho", b"GET"))
                self.assertIs(type(reader.read_head(b"GET")), ResponseHead)
            reader.feed(b"ha")
            self.assertIsNone(reader.read_whole(HEAD_OK + b"ho", b"GET"))
            self.assertEqual(reader.read_body(), b"ha")

    def test_a_whole_answer_to_head_in_one_step(self) -> None:
        reader = ResponseReader()
        reader.feed(HEAD_OK)
        head = reader.read_head(b"HEAD")
        self.assertEqual(reader.read_whole(HEAD_OK, b"HEAD"), (head, b""))
        self.assertIsNone(reader.read_whole(HEAD_OK + b"hi", b"HEAD"))

    def test_a_longer_head_with_the_same_beginning(self) -> None:
        longer = HEAD_OK[:-2] + b"X: y\r\n\r\n"
        seen = answers([HEAD_OK + b"hi", longer + b"ho", HEAD_OK + b"ha"])
        self.assertEqual([[], [(b"X", b"y")], []], [item[1] for item in seen])

    def test_an_interim_answer_before_a_repeated_one(self) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        seen = answers([HEAD_OK + b"hi", interim + HEAD_OK + b"ho"])
        self.assertEqual([200, 103, 200], [item[0] for item in seen])

    def test_a_close_said_by_an_interim_answer_holds(self) -> None:
        seen = answers([HEAD_OK + b"hi", b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + HEAD_OK + b"ho"])
        self.assertEqual([True, False, False], [item[5] for item in seen])

    def test_what_is_no_answer_is_refused_at_once(self) -> None:
        for data in (
            b"SSH-2.0-x\r\n",
            b"HTTP/2",
            b"\x15\x03",
            b"HTTP/1.1 200 OK\n",
            b"HTTP/1.1 200 OK\r\nX" + b"y" * 40_000,
        ):
            for pieces in ([data], single_bytes(data)):
                self.assertEqual([502], answers(pieces), data[:20])
