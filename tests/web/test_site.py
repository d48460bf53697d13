"""Site: twisted.web resource trees on our exchange."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock, Cooperator
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import Data, File

from scalekit.errors import ClientFault
from scalekit.http.heads import Client
from scalekit.web.memory import ask
from scalekit.web.site import Site
from tests.web.leaves import Leaf, noted, site


class WholeAnswerTests(SynchronousTestCase):
    """Short answers leave in one write, with their length."""

    def test_returned_bytes_are_one_whole_answer(self) -> None:
        exchange = ask(site(lambda request: b"hello"))
        self.assertEqual((exchange.status, exchange.sent, exchange.is_whole), (200, b"hello", True))
        assert exchange.answer_head is not None
        self.assertEqual(exchange.answer_head.length, 5)
        self.assertTrue(exchange.answer_head.has_date)
        self.assertEqual(exchange.values(b"content-type"), [b"text/html"])
        self.assertEqual(exchange.values(b"content-length") + exchange.values(b"transfer-encoding"), [])

    def test_write_and_finish_in_one_go_is_one_whole_answer(self) -> None:
        def render(request: Any) -> int:
            request.write(b"a")
            request.write(b"b")
            request.finish()
            return NOT_DONE_YET

        exchange = ask(site(render))
        self.assertEqual((exchange.sent, exchange.is_whole, exchange.is_finished), (b"ab", True, True))

    def test_later_answer_of_known_length_is_one_whole_answer(self) -> None:
        held: list[Any] = []
        exchange = ask(site(lambda request: noted(held, request, NOT_DONE_YET)))
        self.assertEqual(exchange.status, 0)
        held[0].setHeader(b"content-length", b"4")
        held[0].write(b"late")
        held[0].finish()
        self.assertEqual((exchange.sent, exchange.is_whole, exchange.is_finished), (b"late", True, True))

    def test_status_reason_and_cookies(self) -> None:
        def render(request: Any) -> bytes:
            request.setResponseCode(418, b"Teapot")
            request.addCookie(b"a", b"1")
            request.addCookie(b"b", b"2")
            return b""

        exchange = ask(site(render))
        assert exchange.answer_head is not None
        self.assertEqual((exchange.status, exchange.answer_head.reason), (418, b"Teapot"))
        self.assertEqual(exchange.values(b"set-cookie"), [b"a=1", b"b=2"])

    def test_it_does_not_say_what_it_is_made_of(self) -> None:
        self.assertEqual(ask(site(lambda request: b"")).values(b"server"), [])
        own = ask(site(lambda request: noted([], request.setHeader(b"server", b"mine"))))
        self.assertEqual(own.values(b"server"), [b"mine"])

    def test_reason_cannot_split_the_answer(self) -> None:
        def render(request: Any) -> bytes:
            request.setResponseCode(200, b"OK\r\nX-Evil: 1")
            return b""

        exchange = ask(site(render))
        assert exchange.answer_head is not None
        self.assertEqual(exchange.answer_head.reason, b"")

    def test_control_characters_in_a_field_are_a_500(self) -> None:
        def render(request: Any) -> bytes:
            request.setHeader(b"x-odd", b"a\x00b")
            return b"body"

        exchange = ask(site(render))
        self.assertEqual((exchange.status, exchange.values(b"x-odd")), (500, []))


class RequestTests(SynchronousTestCase):
    """What resources can ask a request."""

    def test_addresses_and_urls(self) -> None:
        seen: list[Any] = []

        def render(request: Any) -> bytes:
            seen.extend([request.getClientAddress().host, request.getHost().port, request.isSecure()])
            seen.extend([request.prePathURL(), str(request.URLPath()), request.getRequestHostname()])
            return b""

        client = Client("192.0.2.7", 50_000, True, 2001, None, "192.0.2.1")
        ask(site(render), client=client, host=b"example.org:2001")
        address, port, is_secure, url, path, name = seen
        self.assertEqual((address, port, is_secure, name), ("192.0.2.7", 2001, True, b"example.org"))
        self.assertEqual((url, path), (b"https://example.org:2001/", "https://example.org:2001/"))

    def test_unix_and_ipv6_peers(self) -> None:
        seen: list[Any] = []
        for address in ("unix", "2001:db8::1"):
            ask(
                site(lambda request: noted(seen, request.getClientAddress())),
                client=Client(address, 1, False, 0),
            )
        self.assertEqual([type(address).__name__ for address in seen], ["UNIXAddress", "IPv6Address"])

    def test_repeated_fields_stay_in_order(self) -> None:
        seen: list[Any] = []
        fields = [(b"X-A", b"1"), (b"Cookie", b"c=d"), (b"x-a", b"2")]
        ask(
            site(lambda request: noted(seen, (request.requestHeaders.getRawHeaders(b"x-a"), request.getCookie(b"c")))),
            fields=fields,
        )
        self.assertEqual(seen, [([b"1", b"2"], b"d")])

    def test_sessions_last_over_requests(self) -> None:
        def render(request: Any) -> bytes:
            session = request.getSession()
            session.visits = getattr(session, "visits", 0) + 1
            return b"%d" % session.visits

        clock = Clock()
        tree = Site(Leaf(render), reactor=clock)
        first = ask(tree)
        cookie = first.values(b"set-cookie")[0].partition(b";")[0]
        self.assertEqual(ask(tree, fields=[(b"Cookie", cookie)]).sent, b"2")
        clock.advance(901)
        self.assertEqual(ask(tree, fields=[(b"Cookie", cookie)]).sent, b"1")
        clock.advance(901)
        self.assertEqual(tree.stock.sessions, {})


class ErrorTests(SynchronousTestCase):
    """What goes wrong is answered once, logged once, and tells nothing."""

    def test_exception_in_render_is_500_without_a_traceback(self) -> None:
        def render(request: Any) -> bytes:
            request.setHeader(b"etag", b'"x"')
            raise ValueError("secret")

        exchange = ask(site(render))
        self.assertEqual((exchange.status, json.loads(exchange.sent)["reason"]), (500, "internal"))
        self.assertNotIn(b"secret", exchange.sent)
        self.assertEqual(exchange.values(b"etag"), [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_exception_after_the_answer_began_cuts_it(self) -> None:
        def render(request: Any) -> bytes:
            for _ in range(3):
                request.write(b"x" * 40_000)
            raise ValueError("half way")

        exchange = ask(site(render))
        self.assertIsNotNone(exchange.fault)
        self.assertFalse(exchange.is_finished)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_exception_in_get_child_is_500(self) -> None:
        class Broken(Resource):
            def getChild(self, path: bytes, request: Any) -> Any:
                raise KeyError(path)

        exchange = ask(Site(Broken(), reactor=Clock()), target=b"/a")
        self.assertEqual(exchange.status, 500)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_raised_fault_is_its_answer(self) -> None:
        def render(request: Any) -> bytes:
            raise ClientFault(409, "taken", "That name is taken.")

        exchange = ask(site(render))
        told = json.loads(exchange.sent)
        self.assertEqual((exchange.status, told["reason"], told["request_id"]), (409, "taken", "test-1"))
        self.assertEqual(exchange.record.reason, "taken")

    def test_its_head_alone_is_the_same(self) -> None:
        def render(request: Any) -> bytes:
            raise ClientFault(409, "taken", "That name is taken.")

        whole, alone = (ask(site(render), method).answer_head for method in (b"GET", b"HEAD"))
        assert whole is not None and alone is not None
        self.assertEqual((alone.status, alone.fields, alone.length), (whole.status, whole.fields, whole.length))
        self.assertEqual({name.lower() for name, _ in whole.fields}, {b"content-type", b"cache-control"})

    def test_render_that_returns_no_bytes_is_500(self) -> None:
        self.assertEqual(ask(site(lambda request: "text")).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_method_that_is_not_there_is_405_with_allow(self) -> None:
        root = Resource()
        root.putChild(b"", Data(b"x", "text/plain"))
        for method in (b"PUT", b"DELETE", b"FROB"):
            exchange = ask(Site(root, reactor=Clock()), method)
            self.assertEqual((exchange.status, exchange.values(b"allow")), (405, [b"GET, HEAD"]))

    def test_asterisk_form(self) -> None:
        self.assertEqual(ask(site(lambda request: b"x"), b"OPTIONS", b"*").status, 200)

    def test_not_found(self) -> None:
        self.assertEqual(ask(Site(Resource(), reactor=Clock()), target=b"/nothing/here").status, 404)


class HeadAndConditionTests(SynchronousTestCase):
    """HEAD, 304 and ranges."""

    def test_head_has_the_length_that_get_would(self) -> None:
        exchange = ask(site(lambda request: b"hello"), b"HEAD")
        assert exchange.answer_head is not None
        self.assertEqual((exchange.status, exchange.sent, exchange.answer_head.length), (200, b"", 5))

    def test_head_where_only_get_is_there_waits_for_it(self) -> None:
        held: list[Any] = []

        class OnlyGet(Resource):
            isLeaf = True

            def render(self, request: Any) -> Any:
                if request.method != b"GET":
                    raise UnsupportedMethod([b"GET"])
                held.append(request)
                return NOT_DONE_YET

        exchange = ask(Site(OnlyGet(), reactor=Clock()), b"HEAD")
        self.assertEqual(exchange.status, 0)
        held[0].write(b"body")
        held[0].finish()
        self.assertEqual((exchange.status, exchange.sent, exchange.is_finished), (200, b"", True))

    def test_etag_lists_and_weak_forms(self) -> None:
        def render(request: Any) -> bytes:
            return b"" if request.setETag(b'"b"') else b"body"

        for condition, status in ((b'"a", "b", "c"', 304), (b'W/"b"', 304), (b"*", 304), (b'"a"', 200), (b"b", 200)):
            exchange = ask(site(render), fields=[(b"If-None-Match", condition)])
            self.assertEqual((exchange.status, exchange.values(b"etag")), (status, [b'"b"']), condition)
            assert exchange.answer_head is not None
            if status == 304:
                self.assertIsNone(exchange.answer_head.length)

    def test_etag_hit_of_a_post_is_412(self) -> None:
        exchange = ask(
            site(lambda request: request.setETag(b'"b"') and b""), b"POST", fields=[(b"If-None-Match", b'"b"')]
        )
        self.assertEqual(exchange.status, 412)

    def test_static_files_ranges_and_last_modified(self) -> None:
        path = FilePath(self.mktemp())
        path.setContent(b"0123456789" * 100)
        clock = Clock()
        turns = Cooperator(scheduler=lambda call: clock.callLater(1, call))
        root = Resource()
        root.putChild(b"", File(path.path))
        tree = Site(root, reactor=clock, cooperate=turns.cooperate)
        whole = ask(tree)
        clock.pump([1] * 5)
        self.assertEqual((whole.status, len(whole.sent), whole.is_finished), (200, 1000, True))
        part = ask(tree, fields=[(b"Range", b"bytes=5-9")])
        clock.pump([1] * 5)
        self.assertEqual((part.status, part.sent), (206, b"56789"))
        self.assertEqual(part.values(b"content-range"), [b"bytes 5-9/1000"])
        since = whole.values(b"last-modified")[0]
        same = ask(tree, fields=[(b"If-Modified-Since", since)])
        self.assertEqual((same.status, same.is_finished), (304, True))
        head = ask(tree, b"HEAD")
        assert head.answer_head is not None
        self.assertEqual((head.answer_head.length, head.sent), (1000, b""))
