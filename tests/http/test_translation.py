"""
What goes on to an app server, read by others: whatever a client sent, by HTTP/1.1 or HTTP/2, it is one request there.

A request that is read as two by whoever comes next has been smuggled (RFC 9112 section 11.2).  Behind each of ours
comes another one, `NEXT`, and h11, httptools and our own reader all have to find these two.
"""

from __future__ import annotations

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http.forwarding import Forwarder, safe_trailers
from scalekit.http.h2.requests import request_head, trailer_fields
from scalekit.http.heads import Client, Fields, RequestHead
from scalekit.http.reader import RequestReader, ResponseReader
from scalekit.http.serializer import CHUNKED, chunk, content_length, last_chunk, response_head
from tests.http.oddities import NEXT
from tests.http.oracles import (
    answer_by_h11,
    answer_by_httptools,
    answer_of,
    by_h11,
    by_httptools,
    our_answer,
    ours,
    plain,
)
from tests.http.sides import SIDES, Side, changed_messages, odd_messages

CLIENT = Client("192.0.2.1", 4711, False, 2000)
FORWARDER = Forwarder(b"a1", (), lambda: 7 << 64 | 8)
#: llhttp knows only registered methods; any token may be one (RFC 9110 section 9.1).
REGISTERED = (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH")

#: What a WSGI server would merge with what counts.
MERGED = (b"content-length", b"transfer-encoding", b"host", b"connection", b"x-forwarded-for", b"x-request-id")

NASTY = st.sampled_from(
    [
        *(
            b"",
            b" ",
            b"\t",
            b"\r",
            b"\n",
            b"\r\n",
            b"\x00",
            b"\x7f",
            b"\xe4",
            b":",
            b",",
            b"a",
            b"/",
            b"?",
            b"#",
            b"@",
            b"%",
        ),
        *(
            b"GET",
            b"HTTP/1.1",
            b"chunked",
            b"Host: b",
            b"a.example",
            b":80",
            b"http://b",
            b"5",
            b"0\r\n\r\n",
            b"//b",
            b"*",
        ),
    ]
)


def nasty(*good: bytes) -> st.SearchStrategy[bytes]:
    """Mostly one of these, else something that is not right put into it."""
    right = st.sampled_from(good)
    wrong = st.builds(lambda text, noise, at: text[:at] + noise + text[at:], right, NASTY, st.integers(0, 9))
    return st.integers(0, 11).flatmap(lambda turn: right if turn else wrong)


FIELD = st.one_of(
    st.tuples(
        nasty(b"x-a", b"x-b", b"cookie", b"x_forwarded_for", b"content_length"), nasty(b"c", b"d e", b"\xe4", b"")
    ),
    st.tuples(st.just(b"te"), nasty(b"trailers")),
    st.tuples(st.just(b"expect"), nasty(b"100-continue")),
    st.tuples(st.just(b"content-length"), nasty(b"5")),
    st.tuples(st.just(b"host"), nasty(b"a.example")),
    st.tuples(nasty(b"x-forwarded-for", b"via", b"trailer", b"x-request-id"), nasty(b"a.example")),
)
HOP_BY_HOP = st.tuples(st.sampled_from([b"transfer-encoding", b"connection", b"upgrade"]), nasty(b"chunked", b"close"))
TRAILER = st.tuples(nasty(b"x-sum", b"content-length", b"x-forwarded-for", b"set-cookie"), nasty(b"5", b""))


def sent_on(head: RequestHead, body: bytes, trailers: Fields) -> bytes:
    """What the app server is sent, as `scalekit.balancer.proxy` puts it together."""
    data = FORWARDER.head(head, CLIENT, b"id-1", b"fall.back")
    if head.length is not None:
        return data + body
    return data + (chunk(body) if body else b"") + last_chunk(safe_trailers(trailers))


class SentOnCase(SynchronousTestCase):
    def check(self, head: RequestHead, body: bytes, trailers: Fields) -> None:
        data = [sent_on(head, body, trailers) + NEXT]
        [following] = ours([NEXT]).taken
        for reader in (ours, by_h11, by_httptools):
            if reader is by_httptools and head.method not in REGISTERED:
                continue
            reading = reader(data)
            self.assertEqual((len(reading.taken), reading.why), (2, ""), (reader, data))
            got, behind = reading.taken
            self.assertEqual(behind, following, (reader, data))
            host = head.host or b"fall.back"
            self.assertEqual((got.start, got.host, got.body), ((head.method, head.target), host, body), (reader, data))
            self.assertEqual(got.trailers, plain(safe_trailers(trailers)) if head.length is None else ())
            names = [name for name, _ in got.fields]
            self.assertEqual(names.count(b"x-forwarded-for"), 1)
            folded = [name.replace(b"_", b"-") for name in names if b"_" in name]
            self.assertEqual([name for name in folded if name in MERGED], [])


class FromHTTP1Tests(SentOnCase):
    def taken(self, side: Side, data: bytes) -> None:
        """Everything in these bytes that our reader takes."""
        assert side is SIDES["requests"]
        reader = RequestReader()
        reader.feed(data)
        try:
            while (head := reader.read_head()) is not None:
                body, trailers = b"", []
                if reader.decoder is not None:
                    body = reader.read_body()
                    if not reader.decoder.is_complete:
                        return
                    trailers = reader.decoder.trailers
                self.check(head, body, trailers)
                if not head.keep_alive:
                    return
        except ClientFault:
            return

    def test_each_oddity(self) -> None:
        side = SIDES["requests"]
        for odd in side.odds:
            for base in [odd.base] if odd.base else side.bases:
                self.taken(side, side.bytes_of(base, odd))

    @settings(max_examples=200)
    @given(odd_messages().filter(lambda message: message[0] is SIDES["requests"]))
    def test_oddities(self, message: tuple[Side, str, list[object], list[int]]) -> None:
        side, base, odds, _ = message
        self.taken(side, side.bytes_of(base, *odds))  # type: ignore[arg-type]

    @settings(max_examples=200)
    @given(changed_messages().filter(lambda message: message[0] is SIDES["requests"]))
    def test_changed_bytes(self, message: tuple[Side, bytes, list[int]]) -> None:
        self.taken(message[0], message[1])


class FromHTTP2Tests(SentOnCase):
    @settings(max_examples=500)
    @given(
        nasty(b"GET", b"POST", b"PUT", b"X-OWN"),
        nasty(b"/", b"/a?b", b"//b"),
        st.one_of(st.just(b"a.example"), nasty(b"a.example", b"[::1]:80"), st.none()),
        st.one_of(st.lists(FIELD, max_size=4), st.lists(st.one_of(FIELD, HOP_BY_HOP), max_size=4)),
        st.lists(TRAILER, max_size=2),
        st.binary(max_size=20),
        st.booleans(),
    )
    @example(b"POST", b"/", b"a.example", [(b"x-a", b"b\r\nTransfer-Encoding: chunked")], [], b"", False)
    @example(b"POST", b"/ HTTP/1.1\r\nHost: b", b"a.example", [], [], b"", False)
    @example(b"GET / HTTP/1.1\r\nX:", b"/", b"a.example", [], [], b"", True)
    @example(b"POST", b"/", None, [(b"host", b"a.example"), (b"content-length", b"5")], [], b"hello", False)
    def test_lists_of_fields(
        self,
        method: bytes,
        path: bytes,
        authority: bytes | None,
        fields: Fields,
        trailers: Fields,
        body: bytes,
        has_ended: bool,
    ) -> None:
        pseudo = [(b":method", method), (b":scheme", b"https"), (b":path", path)]
        if authority is not None:
            pseudo.append((b":authority", authority))
        try:
            head = request_head([*pseudo, *fields], has_ended)
            trailers = trailer_fields(trailers)
        except ClientFault:
            return
        # That DATA is as long as content-length says, libnghttp2 sees to (RFC 9113 section 8.1.1).
        assume(head.length is None or head.length < 50)
        if head.length is not None:
            body = body[: head.length].ljust(head.length, b"x")
        self.check(head, body, trailers)


class AnswersTests(SynchronousTestCase):
    """What an app server answers, and our client gets: one answer, with the same in it."""

    def taken(self, side: Side, data: bytes) -> None:
        assert side is SIDES["answers"]
        reader = ResponseReader()
        reader.feed(data)
        body, trailers = b"", []
        try:
            head = reader.read_head(b"GET")
            if head is None or head.status < 200 or head.status in (204, 304):
                return
            if reader.decoder is not None:
                body = reader.read_body()
                trailers = reader.decoder.trailers if reader.decoder.is_complete else reader.end_of_stream()
        except UpstreamFault:
            return
        trailers = safe_trailers(trailers) if head.length is None else []
        framing = CHUNKED if head.length is None else content_length(head.length)
        coded = body if head.length is not None else (chunk(body) if body else b"") + last_chunk(trailers)
        sent = response_head(head, framing, b"", b"Date: D\r\n", b"id") + coded
        fields = [*head.fields, *([] if head.has_date else [(b"Date", b"D")])]
        for other in (our_answer, answer_by_h11, answer_by_httptools):
            reading = other([sent])
            self.assertEqual(reading.taken, [answer_of(head.status, fields, body, trailers)], (other, sent))
            self.assertEqual(reading.why, "", (other, sent))

    def test_each_oddity(self) -> None:
        side = SIDES["answers"]
        for odd in side.odds:
            for base in [odd.base] if odd.base else side.bases:
                self.taken(side, side.bytes_of(base, odd))

    @settings(max_examples=200)
    @given(changed_messages().filter(lambda message: message[0] is SIDES["answers"]))
    def test_changed_bytes(self, message: tuple[Side, bytes, list[int]]) -> None:
        self.taken(message[0], message[1])
