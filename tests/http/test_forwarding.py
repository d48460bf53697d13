from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.http import forwarding
from scalekit.http.forwarding import Forwarder, is_last_hop, safe_trailers
from scalekit.http.heads import Client, Fields, RequestHead, values_of
from scalekit.http.requests import parse_request_head
from tests.http.input_table import head, post, rows

CLIENT = Client("192.0.2.1", 4711, False, 2000)
PROXY = Client("10.0.0.1", 4711, False, 2000)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NEW_TRACE = b"00-%032x-%016x-00" % (7, 8)


def parse(data: bytes) -> RequestHead:
    return parse_request_head(data, data.index(b"\r\n\r\n"))


class ForwardingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.forwarder = Forwarder(b"a1", (), lambda: 7 << 64 | 8)
        self.trusting = Forwarder(b"a1", (ip_network("10.0.0.0/8"),), lambda: 7 << 64 | 8)

    def raw(self, data: bytes, client: Client = CLIENT) -> bytes:
        return self.trusting.head(parse(data), client, b"id-1", b"fall.back")

    def forwarded(self, *lines: bytes, client: Client = CLIENT) -> Fields:
        """The fields that arrive at the app server, as our own parser reads them."""
        return parse(self.raw(head(*lines), client)).fields

    def values(self, name: bytes, *lines: bytes, client: Client = CLIENT) -> list[bytes]:
        return values_of(self.forwarded(*lines, client=client), name)


class HeadTests(ForwardingTestCase):
    def test_whole(self) -> None:
        self.assertEqual(
            b"GET /x?y HTTP/1.1\r\nHost: a.example\r\nB: c\r\nb: d\r\n"
            b'Forwarded: for=192.0.2.1;host="a.example";proto=http\r\nX-Forwarded-For: 192.0.2.1\r\n'
            b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: a.example\r\nX-Forwarded-Port: 2000\r\n"
            b"Via: 1.1 scalekit-a1\r\nX-Request-ID: id-1\r\ntraceparent: " + NEW_TRACE + b"\r\n\r\n",
            self.raw(head(b"B: c", b"b: d", start=b"GET /x?y HTTP/1.1")),
        )

    def test_the_session_of_the_registration_port_is_not_for_apps(self) -> None:
        """A browser sends it to all ports of the host."""
        session = b"__Host-scalekit-session=1.x.y"
        for line, expected in ((b"a=b; " + session + b"; c=d", [b"a=b; c=d"]), (session, []), (b"", [b""])):
            self.assertEqual(self.values(b"cookie", b"Cookie: " + line), expected)

    def test_framing_is_one_and_ours(self) -> None:
        for data, expected in (
            (post(b"Content-Length: 0005"), b"Content-Length: 5\r\n"),
            (post(b"Content-Length: 0"), b"Content-Length: 0\r\n"),
            (post(), b"Content-Length: 0\r\n"),
            (post(b"transfer-encoding: CHUNKED"), b"Transfer-Encoding: chunked\r\n"),
            (head(), b""),
            (head(b"Content-Length: 0"), b""),
            (head(b"Content-Length: 5"), b"Content-Length: 5\r\n"),
        ):
            sent = self.raw(data)
            self.assertIn(expected, sent)
            self.assertEqual(bool(expected), b"ontent-" in sent or b"ransfer-" in sent)

    def test_the_host_is_the_one_that_counts(self) -> None:
        sent = self.raw(head(start=b"GET http://b.example/x HTTP/1.1"))
        self.assertTrue(sent.startswith(b"GET /x HTTP/1.1\r\nHost: b.example\r\n"))
        self.assertNotIn(b"a.example", sent)

    def test_http_1_0_without_host(self) -> None:
        sent = self.raw(head(start=b"GET / HTTP/1.0", host=None))
        self.assertIn(b"\r\nHost: fall.back\r\n", sent)
        self.assertNotIn(b"X-Forwarded-Host", sent)
        self.assertIn(b"\r\nVia: 1.0 scalekit-a1\r\n", sent)

    def test_a_peer_is_judged_once(self) -> None:
        judged: list[str] = []
        self.patch(forwarding, "is_within", lambda address, networks: bool(judged.append(address)) or address == "a")
        forwarder = Forwarder(b"a1", (ip_network("10.0.0.0/8"),), lambda: 7 << 64 | 8)
        for address in "abab":
            self.assertEqual(forwarder.is_trusted(Client(address, 1, False, 2)), address == "a")
        self.assertEqual(judged, ["a", "b"])

    def test_a_repeated_head_gets_its_own_id_and_trace(self) -> None:
        traces = iter([1 << 64 | 2, 3 << 64 | 4])
        forwarder = Forwarder(b"a1", (), lambda: next(traces))
        request = parse(head())
        first, second = (forwarder.head(request, CLIENT, name, b"") for name in (b"r1", b"r2"))
        self.assertIn(b"r1\r\ntraceparent: 00-%032x-%016x-00" % (1, 2), first)
        self.assertIn(b"r2\r\ntraceparent: 00-%032x-%016x-00" % (3, 4), second)

    def test_a_head_made_for_one_client_is_not_another_s(self) -> None:
        request = parse(head())
        self.forwarder.head(request, CLIENT, b"r", b"")
        self.assertIn(b"For: 10.0.0.1\r\n", self.forwarder.head(request, PROXY, b"r", b""))

    def test_a_fallback_host_is_not_kept(self) -> None:
        request = parse(head(start=b"GET / HTTP/1.0", host=None))
        for fallback in (b"one", b"two"):
            self.assertIn(b"Host: " + fallback, self.forwarder.head(request, CLIENT, b"r", fallback))


class DroppedTests(ForwardingTestCase):
    def test_one_hop_only(self) -> None:
        for line in (
            b"Connection: X-A",
            b"Keep-Alive: x",
            b"Proxy-Connection: x",
            b"Proxy-Authorization: x",
            b"Proxy-Authenticate: x",
            b"TE: gzip",
            b"Trailer: x",
            b"Upgrade: h2c",
            b"HTTP2-Settings: x",
            b"Expect: 100-continue",
            b"Proxy: evil",
        ):
            name = line.partition(b":")[0].lower()
            self.assertEqual([], self.values(name, line), line)

    def test_what_connection_nominates(self) -> None:
        self.assertEqual([], self.values(b"x-a", b"x-A: 1", b"Connection: X-a, X-B", b"X-A: 2"))

    def test_what_connection_may_not_nominate(self) -> None:
        names = b"cookie, Authorization, X-Forwarded-For, Forwarded, Via, X-Request-ID, traceparent, X-Forwarded-Proto"
        fields = self.forwarded(b"Cookie: a=b", b"Authorization: c", b"traceparent: " + TRACE, b"Connection: " + names)
        for name in names.lower().split(b", "):
            self.assertEqual(1, len(values_of(fields, name)), name)

    def test_forged(self) -> None:
        ours = self.forwarded()
        for name in (
            b"Forwarded",
            b"X-Forwarded-For",
            b"X-Forwarded-Proto",
            b"X-Forwarded-Host",
            b"X-Forwarded-Port",
            b"X-Forwarded-Prefix",
            b"X-Forwarded-Anything",
            b"X-Real-IP",
            b"X-Request-ID",
        ):
            for spelt in (name, name.lower(), name.upper(), name.replace(b"-", b"_"), name.replace(b"-", b"_", 1)):
                self.assertEqual(ours, self.forwarded(spelt + b": evil"), spelt)

    def test_names_that_fold_to_ours(self) -> None:
        for name in (
            b"X-Real_IP",
            b"X_Real-IP",
            b"X.Forwarded.For",
            b"X-Forwarded!For",
            b"Content_Length",
            b"Transfer_Encoding",
            b"Transfer-Encoding_"[:-1].replace(b"-", b"~"),
            b"max_forwards",
            b"Keep_Alive",
            b"Proxy_Authorization",
        ):
            self.assertEqual([], self.values(name.lower(), name + b": evil"), name)

    def test_others_stay(self) -> None:
        for line in (b"Cookie: a", b"cookie: b", b"X-Forward: a", b"X_Own: a", b"Accept: x", b"Range: bytes=0-1"):
            name, _, value = line.partition(b": ")
            self.assertIn((name, value), self.forwarded(line))


class ChainTests(ForwardingTestCase):
    def test_a_stranger_is_not_believed(self) -> None:
        self.assertEqual([b"192.0.2.1"], self.values(b"x-forwarded-for", b"X-Forwarded-For: 1.1.1.1"))

    def test_a_trusted_peer_is(self) -> None:
        self.assertEqual(
            [b"1.1.1.1, 10.0.0.1"], self.values(b"x-forwarded-for", b"X-Forwarded-For: 1.1.1.1", client=PROXY)
        )
        self.assertEqual([b"https"], self.values(b"x-forwarded-proto", b"X-Forwarded-Proto: https", client=PROXY))

    def test_request_id(self) -> None:
        def given_id(*lines: bytes, client: Client = PROXY) -> bytes | None:
            return self.trusting.request_id(parse(head(*lines)), client)

        self.assertEqual(b"abc-1", given_id(b"X-Request-ID: abc-1"))
        self.assertIsNone(given_id(b"X-Request-ID: abc-1", client=CLIENT))
        for lines in (
            [],
            [b"X-Request-ID: a b"],
            [b"X-Request-ID: "],
            [b"X-Request-ID: a"] * 2,
            [b"X-Request-ID: " + b"a" * 129],
        ):
            self.assertIsNone(given_id(*lines))
        self.assertIsNone(self.forwarder.request_id(parse(head(b"X-Request-ID: a")), PROXY))

    def test_traceparent(self) -> None:
        self.assertEqual([TRACE], self.values(b"traceparent", b"Traceparent: " + TRACE))
        for lines in (
            [b"traceparent: x"],
            [b"traceparent: " + TRACE.upper()],
            [b"traceparent: " + TRACE.replace(b"00-", b"ff-", 1)],
            [b"traceparent: 00-" + b"0" * 32 + TRACE[35:]],
            [b"traceparent: " + TRACE + b"-x"],
            [b"traceparent: " + TRACE] * 2,
            [b"traceparent: " + TRACE] * 3,
        ):
            self.assertEqual([NEW_TRACE], self.values(b"traceparent", *lines), lines)
            self.assertEqual([], self.values(b"tracestate", b"tracestate: a=b", *lines, b"Tracestate: c=d"), lines)

    def test_tracestate_belongs_to_a_trace(self) -> None:
        """W3C Trace Context section 3.3."""
        trace = b"traceparent: " + TRACE
        for lines in ((trace, b"tracestate: a=b", b"Tracestate: c=d"), (b"tracestate: a=b", trace, b"Tracestate: c=d")):
            self.assertEqual([b"a=b", b"c=d"], self.values(b"tracestate", *lines))
        self.assertEqual([], self.values(b"tracestate", b"tracestate: a=b"))
        self.assertEqual([], self.values(b"tracestate", trace, b"tracestate: a=b", b"Connection: tracestate"))

    def test_via_grows(self) -> None:
        self.assertEqual(
            [b"1.0 fred, 1.1 p.example (Apache), 1.1 scalekit-a1"],
            self.values(b"via", b"Via: 1.0 fred", b"via: 1.1 p.example (Apache)"),
        )

    def test_a_loop(self) -> None:
        for value in (
            b"1.1 scalekit-a1",
            b"1.0 x, 1.1 scalekit-a1, 1.1 y",
            b"1.1 scalekit-a1 (us)",
            b"1.1\tscalekit-a1,1.1 z",
        ):
            fault = self.assertRaises(ClientFault, self.forwarded, b"Via: " + value)
            self.assertEqual((508, "loop"), (fault.status, fault.reason))
        self.assertRaises(ClientFault, self.forwarded, b"Via: 1.1 x", b"VIA: 1.1 scalekit-a1", b"Connection: via")

    def test_names_like_ours_are_no_loop(self) -> None:
        for value in (b"1.1 scalekit-a12", b"1.1 scalekit-a", b"1.1 xscalekit-a1", b"1.1 scalekit-a1.example"):
            self.assertEqual([value + b", 1.1 scalekit-a1"], self.values(b"via", b"Via: " + value))

    def test_max_forwards(self) -> None:
        for start, value, expected, is_last in (
            (b"OPTIONS / HTTP/1.1", b"1", b"0", False),
            (b"TRACE / HTTP/1.1", b"10", b"9", False),
            (b"OPTIONS / HTTP/1.1", b"0", b"0", True),
            (b"GET / HTTP/1.1", b"0", b"0", False),
            (b"OPTIONS / HTTP/1.1", b"x", b"x", False),
        ):
            data = head(b"Max-Forwards: " + value, start=start)
            self.assertEqual([expected], values_of(parse(self.raw(data)).fields, b"max-forwards"))
            self.assertEqual(is_last, is_last_hop(parse(data)))
        self.assertFalse(is_last_hop(parse(head(start=b"OPTIONS / HTTP/1.1"))))

    def test_te_is_written_anew(self) -> None:
        self.assertIn(
            b"\r\nTE: trailers\r\nConnection: TE\r\n", self.raw(head(b"te: gzip;q=1, Trailers", b"Connection: te"))
        )
        for value in (b"gzip", b"xtrailers", b"trailers x"):
            self.assertNotIn(b"TE:", self.raw(head(b"TE: " + value)))

    def test_expectation(self) -> None:
        self.assertIn(b"\r\nExpect: 100-continue\r\n", self.raw(post(b"Content-Length: 5", b"expect: 100-Continue")))
        self.assertNotIn(b"Expect", self.raw(head(b"Expect: 100-continue")))


class AllInputsTests(ForwardingTestCase):
    """What we send on is, for our own strict parser, one request with one framing."""

    def check(self, data: bytes) -> None:
        try:
            request = parse(data)
        except (ClientFault, ValueError):
            return
        try:
            sent = self.trusting.head(request, CLIENT, b"id-1", b"fall.back")
        except ClientFault as fault:
            self.assertEqual(508, fault.status)
            return
        self.assertEqual(len(sent) - 4, sent.index(b"\r\n\r\n"))
        names = [line.partition(b":")[0].lower() for line in sent.split(b"\r\n")[1:-2]]
        self.assertLessEqual(names.count(b"content-length") + names.count(b"transfer-encoding"), 1)
        for name in (
            b"host",
            b"forwarded",
            b"via",
            b"x-request-id",
            b"traceparent",
            b"x-forwarded-for",
            b"x-forwarded-proto",
        ):
            self.assertEqual(1, names.count(name), name)
        folded = [name.replace(b"_", b"-") for name in names]
        self.assertEqual(
            sorted(n for n in names if n.startswith(b"x-forwarded")),
            sorted(n for n in folded if n.startswith(b"x-forwarded")),
        )
        self.assertNotIn(b"evil", sent)
        if len(sent) < 32_768 and len(names) <= 128:
            got = parse(sent)
            self.assertEqual((request.method, request.target, request.length), (got.method, got.target, got.length))
            self.assertEqual(request.host or b"fall.back", got.host)

    def test_the_table(self) -> None:
        for row in rows():
            self.check(row.sent)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    [
                        *(
                            b"Forwarded",
                            b"X-Forwarded-For",
                            b"x_forwarded_for",
                            b"X-Real-IP",
                            b"X-Real_IP",
                            b"X_REQUEST-ID",
                        ),
                        *(b"Via", b"TE", b"Proxy", b"Upgrade", b"Keep-Alive", b"Content_Length", b"transfer_encoding"),
                    ]
                ),
                st.sampled_from([b"evil", b"evil, 1", b" evil ", b'"evil"']),
            ).filter(lambda field: field[0] != b"Via"),
            max_size=6,
        ),
        st.lists(
            st.sampled_from(
                [
                    *(
                        b"Connection: close, x-forwarded-for",
                        b"Connection: via,forwarded",
                        b"Content-Length: 3",
                        b"TE: trailers",
                    ),
                    *(
                        b"Transfer-Encoding: chunked",
                        b"Via: 1.1 x",
                        b"Via: 1.1 scalekit-a1",
                        b"Expect: 100-continue",
                        b"Cookie: a",
                    ),
                ]
            ),
            max_size=5,
        ),
        st.sampled_from([b"GET / HTTP/1.1", b"POST /x?y HTTP/1.0", b"OPTIONS * HTTP/1.1", b"PUT http://b/ HTTP/1.1"]),
    )
    def test_forged_and_doubled(self, forged: Fields, lines: list[bytes], start: bytes) -> None:
        self.check(head(*(name + b":" + value for name, value in forged), *lines, start=start))


class TrailerTests(SynchronousTestCase):
    def test_only_what_may_come_late(self) -> None:
        kept = [(b"Grpc-Status", b"0"), (b"Server-Timing", b"x"), (b"ETag", b'"x"'), (b"X-Sum", b"1")]
        dropped = [
            (name, b"x")
            for name in (
                *(
                    b"Content-Length",
                    b"transfer-ENCODING",
                    b"Host",
                    b"Connection",
                    b"Trailer",
                    b"TE",
                    b"Upgrade",
                    b"Cookie",
                ),
                *(
                    b"Authorization",
                    b"Proxy-Authorization",
                    b"WWW-Authenticate",
                    b"Set-Cookie",
                    b"Content-Type",
                    b"Expect",
                ),
                *(
                    b"Content-Encoding",
                    b"Content-Range",
                    b"Cache-Control",
                    b"X-Forwarded-For",
                    b"x_forwarded_host",
                    b"Age",
                ),
                *(
                    b"Content_Length",
                    b"X-Request-ID",
                    b"Via",
                    b"Forwarded",
                    b"Location",
                    b"Range",
                    b"Max-Forwards",
                    b"Date",
                ),
            )
        ]
        self.assertEqual(kept, safe_trailers([*dropped, *kept, *dropped]))
