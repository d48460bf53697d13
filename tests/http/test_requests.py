from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.http import requests
from scalekit.http.heads import RequestHead
from scalekit.http.requests import parse_request_head
from tests.http.input_table import head


def parse(data: bytes) -> RequestHead:
    return parse_request_head(data, data.index(b"\r\n\r\n"))


class RequestHeadTests(SynchronousTestCase):
    """What a head says beyond what the table of inputs looks at."""

    def test_the_fields_in_order_without_host_and_framing(self) -> None:
        got = parse(head(b"B: 1", b"Content-Length: 0", b"a:2", b"b:  3 "))
        self.assertEqual([(b"B", b"1"), (b"a", b"2"), (b"b", b"3")], got.fields)
        self.assertEqual(0, got.length)
        self.assertIsNone(parse(head(b"Transfer-Encoding: chunked")).length)

    def test_path_and_query(self) -> None:
        for target, path, query, normal in (
            (b"/a/b", b"/a/b", None, b"/a/b"),
            (b"/a?", b"/a", b"", b"/a"),
            (b"/a?b?c", b"/a", b"b?c", b"/a"),
            (b"/%7ea/./b/../c?../x", b"/%7ea/./b/../c", b"../x", b"/~a/c"),
        ):
            got = parse(head(start=b"GET %b HTTP/1.1" % target))
            self.assertEqual((target, path, query, normal), (got.target, got.path, got.query, got.normal_path))

    def test_versions(self) -> None:
        self.assertEqual(11, parse(head()).version)
        self.assertEqual(10, parse(head(start=b"GET / HTTP/1.0")).version)

    def test_what_connection_nominates(self) -> None:
        got = parse(head(b"Connection: X-A, close", b"connection: ,x-b,"))
        self.assertEqual(frozenset((b"x-a", b"x-b", b"close")), got.hop)
        self.assertFalse(got.keep_alive)

    def test_expectation(self) -> None:
        self.assertTrue(parse(head(b"Expect: 100-CONTINUE")).expects_continue)
        self.assertFalse(parse(head()).expects_continue)
        self.assertFalse(parse(head(b"Expect: 100-continue", start=b"GET / HTTP/1.0")).expects_continue)

    def test_upgrade(self) -> None:
        nominated = b"Connection: keep-alive, uPGRADE"
        for protocol in (b"WebSocket", b"h2c", b"HTTP/2.0", b"a" * 64):
            for lines in (
                (nominated, b"Upgrade: " + protocol),
                (b"upgrade:  %b " % protocol, b"Content-Length: 0", b"Connection: x", nominated),
            ):
                self.assertEqual(parse(head(*lines)).upgrade, protocol.lower())
        for value in (b"", b",", b"a, b", b"a,", b"a b", b"a/b/c", b"/a", b"a/", b'"a"', b"a" * 65):
            self.assertEqual(parse(head(nominated, b"Upgrade: " + value)).upgrade, b"")
        plain = head(nominated, b"Upgrade: a")
        self.assertIn((b"Upgrade", b"a"), parse(plain).fields)
        for wrong in (
            (nominated,),
            (b"Upgrade: a",),
            (b"Connection: close", b"Upgrade: a"),
            (nominated, b"Upgrade: a", b"Upgrade: a"),
            (nominated, b"Upgrade:", b"Upgrade: a"),
            (nominated, b"Upgrade: a", b"Content-Length: 1"),
            (nominated, b"Upgrade: a", b"Transfer-Encoding: chunked"),
        ):
            self.assertEqual(parse(head(*wrong)).upgrade, b"", wrong)
        self.assertEqual(parse(head(nominated, b"Upgrade: a", start=b"GET / HTTP/1.0")).upgrade, b"")

    def test_spellings_that_are_kept_are_bounded(self) -> None:
        self.addCleanup(requests._kinds.clear)
        for number in range(3000):
            parse(head(b"x-spelling-%d: y" % number))
        parse(head(b"y" * 5000 + b": z"))
        self.assertLessEqual(len(requests._kinds), 1024)
        self.assertLess(max(map(len, requests._kinds)), 64)

    @given(st.binary(max_size=120), st.integers(0, 140))
    def test_any_change_of_one_place_is_a_head_or_a_client_fault(self, noise: bytes, place: int) -> None:
        good = head(b"Content-Length: 5", b"Connection: close", b"Expect: 100-continue")
        data = good[:place] + noise + good[place + len(noise) :] + b"\r\n\r\n"
        try:
            parse(data)
        except ClientFault as fault:
            self.assertIn(fault.status, (400, 405, 414, 417, 431, 501, 505))
