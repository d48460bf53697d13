"""Heads that go on, as field lists."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.forwarding import Forwarder
from scalekit.http.h2.outgoing import connect_fields, request_fields, trailer_list
from scalekit.http.h2.requests import request_head
from scalekit.http.h2.session import Unindexed
from scalekit.http.heads import Client, Fields, RequestHead
from scalekit.http.upgrade import handshake_of

CLIENT = Client("192.0.2.1", 4711, False, 2000)
NAMES = st.from_regex(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}", fullmatch=True)
VALUES = st.from_regex(
    rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?", fullmatch=True
)


def forwarded(head: RequestHead) -> bytes:
    return Forwarder(b"t", (), lambda: 7 << 64 | 8).head(head, CLIENT, b"id", b"fall.back")


class RequestTests(SynchronousTestCase):
    def fields(self, *fields: tuple[bytes, bytes], method: bytes = b"GET", length: int | None = 0) -> Fields:
        return request_fields(
            forwarded(RequestHead(method, b"/x?y", list(fields), b"a.example", length=length)), b"http"
        )

    def test_pseudo_fields_come_first(self) -> None:
        self.assertEqual(
            self.fields(method=b"PUT")[:4],
            [(b":method", b"PUT"), (b":scheme", b"http"), (b":authority", b"a.example"), (b":path", b"/x?y")],
        )

    def test_names_are_lower_case_and_repetition_is_kept(self) -> None:
        self.assertEqual(self.fields((b"X-One", b"1"), (b"x-one", b"2"))[4:6], [(b"x-one", b"1"), (b"x-one", b"2")])

    def test_framing(self) -> None:
        self.assertIn((b"content-length", b"5"), self.fields(method=b"POST", length=5))
        names = [name for name, _ in self.fields(method=b"POST", length=None)]
        self.assertNotIn(b"content-length", names)
        self.assertNotIn(b"transfer-encoding", names)

    def test_trailers_are_wanted_where_the_client_wants_them(self) -> None:
        fields = self.fields((b"TE", b"gzip, trailers"))
        self.assertIn((b"te", b"trailers"), fields)
        self.assertNotIn(b"connection", dict(fields))
        self.assertNotIn(b"te", dict(self.fields((b"TE", b"gzip"))))

    def test_what_differs_each_time_is_not_indexed(self) -> None:
        kinds = {field[0]: type(field) for field in self.fields()}
        self.assertIs(kinds[b"x-request-id"], Unindexed)
        self.assertIs(kinds[b"traceparent"], Unindexed)
        self.assertIs(kinds[b"via"], tuple)

    @given(st.lists(st.tuples(NAMES, VALUES), max_size=10))
    def test_our_own_server_reads_what_http_1_would_have_been_sent(self, fields: Fields) -> None:
        for kept in (fields, []):
            data = forwarded(RequestHead(b"GET", b"/", kept, b"a"))
            lines = [line.partition(b": ")[::2] for line in data[:-4].split(b"\r\n")[2:]]
            read = request_head(request_fields(data, b"http"), True)
            # Cookies become one field again there.
            expected = [(name.lower(), value) for name, value in lines if name.lower() != b"cookie"]
            self.assertEqual([tuple(field) for field in read.fields if field[0] != b"cookie"], expected)
            self.assertEqual((read.host, read.target), (b"a", b"/"))


class ConnectTests(SynchronousTestCase):
    def test_a_handshake(self) -> None:
        head = RequestHead(
            b"GET",
            b"/chat",
            [
                (b"Upgrade", b"websocket"),
                (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
                (b"Sec-WebSocket-Version", b"13"),
            ],
            b"a",
            upgrade=b"websocket",
        )
        handshake = handshake_of(head, b"id")
        assert handshake is not None
        data = Forwarder(b"t", (), lambda: 7 << 64 | 8).head(head, CLIENT, b"id", b"a", handshake.lines)
        fields = connect_fields(request_fields(data, b"https"))
        self.assertEqual(
            fields[:5],
            [
                (b":method", b"CONNECT"),
                (b":protocol", b"websocket"),
                (b":scheme", b"https"),
                (b":authority", b"a"),
                (b":path", b"/chat"),
            ],
        )
        names = [name for name, _ in fields]
        self.assertIn(b"sec-websocket-version", names)
        for name in (b"sec-websocket-key", b"upgrade", b"connection"):
            self.assertNotIn(name, names)
        self.assertEqual(request_head(fields, False).upgrade, b"websocket")

    def test_a_length_would_be_that_of_a_body(self) -> None:
        start = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
        fields = connect_fields([*start, (b"content-length", b"0"), (b"x-some", b"1")])
        self.assertEqual(fields[5:], [(b"x-some", b"1")])


class TrailerTests(SynchronousTestCase):
    def test_lower_case(self) -> None:
        self.assertEqual(trailer_list([(b"X-Sum", b"A")]), [(b"x-sum", b"A")])
