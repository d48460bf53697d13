from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http.bodies import ChunkedDecoder, CloseDecoder, Decoder, LengthDecoder
from scalekit.http.heads import ResponseHead
from scalekit.http.responses import as_malformed, parse_response_head


def parse(
    *lines: bytes, start: bytes = b"HTTP/1.1 200 OK", method: bytes = b"GET"
) -> tuple[ResponseHead, Decoder | None, bool]:
    data = b"\r\n".join([start, *lines, b"", b""])
    return parse_response_head(data, len(data) - 4, method)


class ResponseHeadTests(SynchronousTestCase):
    def test_framing(self) -> None:
        for lines, decoder, reusable in (
            ([b"Content-Length: 5"], LengthDecoder, True),
            ([b"Content-Length: 0"], type(None), True),
            ([b"Transfer-Encoding: Chunked"], ChunkedDecoder, True),
            ([], CloseDecoder, False),
            ([b"Content-Length: 5", b"Connection: close"], LengthDecoder, False),
            ([b"Content-Length: 5", b"Connection: Keep-Alive"], LengthDecoder, True),
            ([b"Content-Length: 5", b"Connection: close", b"Connection: keep-alive"], LengthDecoder, False),
        ):
            _, found, is_reusable = parse(*lines)
            self.assertIs(decoder, type(found), lines)
            self.assertEqual(reusable, is_reusable, lines)

    def test_which_protocol_it_switches_to(self) -> None:
        start = b"HTTP/1.1 101 Switching Protocols"
        agreed = (b"Upgrade: WebSocket", b"Connection: upgrade")
        got, decoder, _ = parse(*agreed, b"Sec-WebSocket-Accept: x", start=start)
        self.assertEqual((got.upgrade, got.fields, decoder), (b"websocket", [(b"Sec-WebSocket-Accept", b"x")], None))
        self.assertEqual(parse(*agreed[:1], start=start)[0].upgrade, b"")
        self.assertEqual(parse(*agreed[1:], start=start)[0].upgrade, b"")
        self.assertEqual(parse(*agreed)[0].upgrade, b"")
        for twice in ((b"Upgrade: a", b"Upgrade: a"), (b"Upgrade:", b"Upgrade: a")):
            self.assertIn(b",", parse(*twice, b"Connection: upgrade", start=start)[0].upgrade)

    def test_http_1_0(self) -> None:
        start = b"HTTP/1.0 200 OK"
        self.assertFalse(parse(b"Content-Length: 1", start=start)[2])
        self.assertTrue(parse(b"Content-Length: 1", b"Connection: keep-alive", start=start)[2])
        for lines in ([b"close", b"keep-alive"], [b"keep-alive", b"close"], [b"keep-alive, close"]):
            self.assertFalse(parse(b"Content-Length: 1", *(b"Connection: " + line for line in lines), start=start)[2])

    def test_no_body_whatever_the_framing_says(self) -> None:
        """RFC 9112 section 6.3, rule 1."""
        for start, method, length in (
            (b"HTTP/1.1 200 OK", b"HEAD", 5),
            (b"HTTP/1.1 304 Not Modified", b"GET", 5),
            (b"HTTP/1.1 204 No Content", b"GET", None),
        ):
            got, decoder, _ = parse(b"Content-Length: 5", start=start, method=method)
            self.assertIsNone(decoder)
            self.assertEqual(length, got.length)
            self.assertIsNone(parse(b"Transfer-Encoding: chunked", start=start, method=method)[1])
            self.assertIsNone(parse(start=start, method=method)[1])

    def test_a_framed_204_may_be_followed_by_its_body(self) -> None:
        start = b"HTTP/1.1 204 No Content"
        self.assertTrue(parse(start=start)[2])
        self.assertTrue(parse(b"Content-Length: 0", start=start)[2])
        self.assertFalse(parse(b"Content-Length: 5", start=start)[2])
        self.assertFalse(parse(b"Transfer-Encoding: chunked", start=start)[2])

    def test_interim(self) -> None:
        got, decoder, reusable = parse(b"Link: </x>", start=b"HTTP/1.1 103 Early Hints")
        self.assertEqual((103, [(b"Link", b"</x>")]), (got.status, got.fields))
        self.assertIsNone(decoder)
        self.assertTrue(reusable)
        parse(b"Content-Length: 0", start=b"HTTP/1.1 100 Continue")

    def test_fields_for_one_hop_are_dropped(self) -> None:
        got, _, _ = parse(
            b"Keep-Alive: timeout=5",
            b"Connection: X-Hop, keep-alive",
            b"x-hop: 1",
            b"Upgrade: h2c",
            b"Trailer: X",
            b"TE: x",
            b"Proxy-Connection: x",
            b"X-Request-ID: theirs",
            b"Content-Length: 1",
            b"Set-Cookie: a=b",
            b"set-cookie: c=d",
        )
        self.assertEqual([(b"Set-Cookie", b"a=b"), (b"set-cookie", b"c=d")], got.fields)

    def test_date(self) -> None:
        self.assertTrue(parse(b"Date: x")[0].has_date)
        self.assertFalse(parse()[0].has_date)
        self.assertEqual([(b"date", b"x")], parse(b"date: x", b"Date: y")[0].fields)
        self.assertFalse(parse(b"Date: x", b"Connection: date")[0].has_date)

    def test_reasons(self) -> None:
        for start, reason in (
            (b"HTTP/1.1 200", b""),
            (b"HTTP/1.1 200 ", b""),
            (b"HTTP/1.1 200 All is \xe4", b"All is \xe4"),
        ):
            self.assertEqual(reason, parse(start=start)[0].reason)

    def test_malformed(self) -> None:
        for start in (
            b"HTTP/1.1 600 x",
            b"HTTP/1.1 099 x",
            b"HTTP/1.1 20 x",
            b"HTTP/1.1 2000 x",
            b"HTTP/1.1  200 OK",
            b"HTTP/1.1\t200 OK",
            b"HTTP/1.2 200 OK",
            b"HTTP/2 200",
            b"http/1.1 200 OK",
            b"HTTP/1.1 200 a\x00b",
            b"HTTP/1.1 200 a\rb",
            b"HTTP/1.1 +20 OK",
            b" HTTP/1.1 200 OK",
            b"",
        ):
            self.assertRaises(UpstreamFault, parse, start=start)
        for lines in (
            [b"Content-Length: 5", b"Content-Length: 5"],
            [b"Content-Length: 5, 5"],
            [b"Content-Length: +5"],
            [b"Content-Length: -1"],
            [b"Content-Length:"],
            [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
            [b"Transfer-Encoding: gzip, chunked"],
            [b"Transfer-Encoding: identity"],
            [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
            [b"Connection: a b"],
            [b"X: a\x00b"],
            [b"X: a\rb"],
            [b"X: a\nb"],
            [b"X : y"],
            [b" X: y"],
            [b"X: y", b" folded"],
            [b"X"],
            [b": y"],
            [b"X: y"] * 129,
        ):
            self.assertEqual(502, self.assertRaises(UpstreamFault, parse, *lines).status)
        self.assertRaises(UpstreamFault, parse, b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK")
        self.assertRaises(UpstreamFault, parse, b"Content-Length: 5", start=b"HTTP/1.1 103 Early Hints")
        self.assertRaises(UpstreamFault, parse, b"Transfer-Encoding: chunked", start=b"HTTP/1.1 100 Continue")

    def test_a_body_s_fault_is_the_server_s(self) -> None:
        fault = as_malformed(ClientFault(400, "bad-chunk", "No chunk."))
        self.assertEqual((502, "malformed-answer"), (fault.status, fault.reason))
        self.assertIn("No chunk.", fault.detail)


class AnyBytesTests(SynchronousTestCase):
    @given(
        st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 304 x", b"HTTP/1.1 103", b"HTTP/1.1 204 "]),
        st.lists(
            st.one_of(
                st.sampled_from(
                    [
                        *(
                            b"Content-Length: 5",
                            b"Content-Length: 0",
                            b"Transfer-Encoding: chunked",
                            b"Connection: close",
                        ),
                        *(b"Connection: x-a, keep-alive", b"X-A: 1", b"Date: d", b"TE: x", b"Upgrade: a", b" folded"),
                    ]
                ),
                st.binary(max_size=12),
            ),
            max_size=5,
        ),
        st.sampled_from([b"GET", b"HEAD"]),
    )
    def test_a_head_in_order_or_502(self, start: bytes, lines: list[bytes], method: bytes) -> None:
        try:
            head, decoder, is_reusable = parse(*lines, start=start, method=method)
        except UpstreamFault as fault:
            self.assertEqual((fault.status, fault.reason), (502, "malformed-answer"))
            return
        hidden = {b"content-length", b"transfer-encoding", b"connection", b"te", b"upgrade", b"x-request-id"}
        self.assertEqual([name for name, _ in head.fields if name.lower() in hidden], [])
        self.assertLessEqual(sum(name.lower() == b"date" for name, _ in head.fields), 1)
        is_bodiless = method == b"HEAD" or head.status < 200 or head.status in (204, 304)
        if is_bodiless:
            self.assertIsNone(decoder)
        elif decoder is not None:
            self.assertEqual(isinstance(decoder, LengthDecoder), head.length is not None)
        else:
            self.assertEqual(head.length, 0)
        if isinstance(decoder, CloseDecoder) or b"Connection: close" in lines:
            self.assertFalse(is_reusable)
