"""Site: twisted.web resource trees on our exchange."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, Cooperator
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import Data, File

from scalekit.errors import ClientFault
from scalekit.http.heads import Client, RequestHead, ResponseHead
from scalekit.web.memory import MemoryExchange, ask, respond
from scalekit.web.resource import ResponderResource
from scalekit.web.site import Site


class Leaf(Resource):
    """A leaf whose GET and POST are the function it is made with."""

    isLeaf = True

    def __init__(self, render: Any) -> None:
        super().__init__()
        self.render_GET = self.render_POST = render


def noted(seen: list[Any], what: Any, answer: Any = b"") -> Any:
    """Note something and answer."""
    seen.append(what)
    return answer


def site(render: Any, **options: Any) -> Site:
    return Site(Leaf(render), reactor=Clock(), **options)


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


class StreamingTests(SynchronousTestCase):
    """Answers that take their time."""

    def start(self, render: Any, **options: Any) -> tuple[MemoryExchange, Any]:
        held: list[Any] = []

        def keep(request: Any) -> int:
            held.append(request)
            render(request)
            return NOT_DONE_YET

        return ask(site(keep, **options)), held[0]

    def test_pieces_after_the_render_are_sent_as_they_come(self) -> None:
        exchange, request = self.start(lambda request: request.write(b"one"))
        self.assertEqual((exchange.pieces, exchange.is_finished), ([b"one"], False))
        request.write(b"two")
        self.assertEqual(exchange.pieces, [b"one", b"two"])
        request.finish()
        assert exchange.answer_head is not None
        self.assertEqual((exchange.is_finished, exchange.answer_head.length), (True, None))

    def test_an_empty_write_sends_the_head(self) -> None:
        exchange, _ = self.start(lambda request: request.write(b""))
        self.assertEqual((exchange.status, exchange.sent, exchange.is_finished), (200, b"", False))

    def test_much_written_during_the_render_is_not_held_back(self) -> None:
        exchange, _ = self.start(lambda request: [request.write(b"x" * 40_000) for _ in range(2)])
        self.assertEqual(len(exchange.sent), 80_000)
        self.assertFalse(exchange.is_whole)

    def test_client_gone_fails_notify_finish_and_drops_later_writes(self) -> None:
        exchange, request = self.start(lambda request: None)
        gone = request.notifyFinish()
        exchange.leave()
        self.failureResultOf(gone)
        request.write(b"too late")
        self.assertEqual(exchange.sent, b"")
        self.assertRaises(RuntimeError, request.finish)

    def test_finishing_calls_notify_finish_back(self) -> None:
        _, request = self.start(lambda request: None)
        done = request.notifyFinish()
        request.finish()
        self.assertIsNone(self.successResultOf(done))

    def test_push_producer_feels_the_client(self) -> None:
        calls: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                calls.append("pause")

            def resumeProducing(self) -> None:
                calls.append("resume")

            def stopProducing(self) -> None:
                calls.append("stop")

        exchange, request = self.start(lambda request: request.registerProducer(Producer(), True))
        exchange.hold()
        exchange.release()
        exchange.leave()
        self.assertEqual(calls, ["pause", "resume", "stop"])
        self.assertTrue(request._disconnected)

    def test_pull_producer_produces_only_while_there_is_room(self) -> None:
        class Producer:
            def __init__(self, request: Any) -> None:
                self.request = request
                self.count = 0

            def resumeProducing(self) -> None:
                self.count += 1
                self.request.write(b"%d" % self.count)
                if self.count == 4:
                    self.request.unregisterProducer()
                    self.request.finish()

            def stopProducing(self) -> None:
                """Not reached."""

        clock = Clock()
        turns = Cooperator(
            terminationPredicateFactory=lambda: lambda: True, scheduler=lambda call: clock.callLater(1, call)
        )
        exchange, _ = self.start(
            lambda request: request.registerProducer(Producer(request), False), cooperate=turns.cooperate
        )
        clock.pump([1, 1])
        self.assertEqual(exchange.sent, b"12")
        exchange.hold()
        clock.pump([1, 1])
        self.assertEqual(exchange.sent, b"12")
        exchange.release()
        clock.pump([1, 1])
        self.assertEqual((exchange.sent, exchange.is_finished), (b"1234", True))

    def test_a_failing_pull_producer_cuts_the_answer_and_logs_once(self) -> None:
        class Producer:
            def resumeProducing(self) -> None:
                raise ValueError("broken disk")

            def stopProducing(self) -> None:
                """Nothing to clear up."""

        clock = Clock()
        turns = Cooperator(
            terminationPredicateFactory=lambda: lambda: True, scheduler=lambda call: clock.callLater(1, call)
        )

        def begin(request: Any) -> None:
            request.write(b"x")
            request.registerProducer(Producer(), False)

        exchange, _ = self.start(begin, cooperate=turns.cooperate)
        clock.advance(1)
        self.assertIsNotNone(exchange.fault)
        self.assertFalse(exchange.is_finished)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_lose_connection_cuts_a_begun_answer(self) -> None:
        exchange, request = self.start(lambda request: request.write(b"x"))
        request.loseConnection()
        self.assertIsNotNone(exchange.fault)


class BodyTests(SynchronousTestCase):
    """Request bodies: collected, limited, parsed as twisted.web does."""

    def test_content_and_its_length(self) -> None:
        seen: list[Any] = []
        exchange = MemoryExchange(RequestHead(b"POST", b"/", [], length=None), b"ab", is_ended=False)
        respond(
            site(lambda request: noted(seen, (request.content.read(), request.getHeader(b"content-length")))),
            exchange,
        )
        exchange.feed(b"cd")
        self.assertEqual(seen, [])
        exchange.end()
        self.assertEqual(seen, [(b"abcd", b"4")])

    def test_declared_too_big_is_413_before_anything_is_read(self) -> None:
        exchange = MemoryExchange(RequestHead(b"POST", b"/", [], length=11), is_ended=False)
        respond(site(lambda request: b"", limit=10), exchange)
        self.assertEqual(exchange.status, 413)
        self.assertIsNone(exchange._receiver)

    def test_counted_too_big_is_413_at_once(self) -> None:
        exchange = MemoryExchange(RequestHead(b"POST", b"/", [], length=None), b"x" * 8, is_ended=False)
        respond(site(lambda request: b"", limit=10), exchange)
        self.assertEqual(exchange.status, 0)
        exchange.feed(b"x" * 3)
        self.assertEqual(exchange.status, 413)
        exchange.feed(b"x" * 100)
        exchange.end()
        self.assertEqual(exchange.record.reason, "body-too-big")

    def test_big_bodies_are_spooled(self) -> None:
        seen: list[Any] = []
        body = b"x" * (1024 * 1024 + 1)
        ask(
            site(lambda request: noted(seen, (request.content._rolled, request.content.read() == body))),
            b"PUT",
            body=body,
        )
        self.assertEqual(seen, [])  # Leaf has no PUT: the resource was not called
        ask(
            site(lambda request: noted(seen, (request.content._rolled, request.content.read() == body))),
            b"POST",
            body=body,
        )
        self.assertEqual(seen, [(True, True)])

    def test_client_gone_while_sending_forgets_the_body(self) -> None:
        exchange = MemoryExchange(RequestHead(b"POST", b"/", [], length=5), b"ab", is_ended=False)
        respond(site(lambda request: self.fail("rendered")), exchange)
        exchange.leave()
        self.assertEqual(exchange.status, 0)

    def test_form_fields_and_query(self) -> None:
        seen: list[Any] = []
        fields = [(b"Content-Type", b"application/x-www-form-urlencoded")]
        ask(
            site(lambda request: noted(seen, request.args)),
            b"POST",
            b"/?q=1&q=2",
            fields,
            b"title=a+b&body=%C3%A4",
        )
        self.assertEqual(seen, [{b"q": [b"1", b"2"], b"title": [b"a b"], b"body": ["ä".encode()]}])

    def test_multipart(self) -> None:
        seen: list[Any] = []
        fields = [(b"Content-Type", b"multipart/form-data; boundary=xx")]
        body = b'--xx\r\nContent-Disposition: form-data; name="f"\r\n\r\nvalue\r\n--xx--\r\n'
        ask(site(lambda request: noted(seen, request.args)), b"POST", b"/", fields, body)
        self.assertEqual(seen, [{b"f": [b"value"]}])

    def test_malformed_multipart_is_400(self) -> None:
        fields = [(b"Content-Type", b"multipart/form-data")]
        exchange = ask(site(lambda request: b""), b"POST", b"/", fields, b"nonsense")
        self.assertEqual((exchange.status, exchange.record.reason), (400, "bad-form"))

    def test_a_form_of_too_many_fields_is_413(self) -> None:
        fields = [(b"Content-Type", b"application/x-www-form-urlencoded")]
        exchange = ask(site(lambda request: b""), b"POST", b"/", fields, b"a&" * 10_001)
        self.assertEqual((exchange.status, exchange.record.reason), (413, "form-too-big"))

    def test_forms_are_left_alone_where_bytes_are_wanted(self) -> None:
        seen: list[Any] = []
        fields = [(b"Content-Type", b"application/x-www-form-urlencoded")]
        tree = site(lambda request: noted(seen, (request.args, len(request.content.read()))), parse_forms=False)
        self.assertEqual(ask(tree, b"POST", b"/", fields, b"a&" * 10_001).status, 200)
        self.assertEqual(seen, [({}, 20_002)])


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


class StreamedChildTests(SynchronousTestCase):
    """A child that is made of a responder gets the exchange, and the body as it comes."""

    def setUp(self) -> None:
        self.exchanges: list[Any] = []
        self.root = Resource()

    def respond(self, exchange: Any) -> None:
        self.exchanges.append(exchange)
        exchange.answer(ResponseHead(200, []), b"ok")

    def test_child_by_put_child(self) -> None:
        self.root.putChild(b"api", ResponderResource(self))  # type: ignore[arg-type]
        exchange = MemoryExchange(RequestHead(b"POST", b"/api/x?y", [], length=10**9), is_ended=False)
        respond(Site(self.root, reactor=Clock()), exchange)
        self.assertIs(self.exchanges[0], exchange)
        self.assertEqual(exchange.sent, b"ok")

    def test_stripped_prefix(self) -> None:
        self.root.putChild(b"a b", ResponderResource(self, strip_prefix=True))  # type: ignore[arg-type]
        tree = Site(self.root, reactor=Clock())
        for target, seen in ((b"/a%20b/x/y?q=1", b"/x/y?q=1"), (b"/a%20b", b"/"), (b"/a%20b/", b"/")):
            self.assertEqual(ask(tree, target=target).sent, b"ok")
            self.assertEqual(self.exchanges[-1].head.target, seen)

    def test_path_that_only_its_spelling_leads_here_is_refused(self) -> None:
        self.root.putChild(b"api", ResponderResource(self))  # type: ignore[arg-type]
        head = RequestHead(b"GET", b"/api/../private", [], normal_path=b"/private")
        exchange = MemoryExchange(head)
        respond(Site(self.root, reactor=Clock()), exchange)
        self.assertEqual((exchange.status, exchange.record.reason), (400, "ambiguous-path"))

    def test_behind_a_get_child_of_its_own_the_body_is_collected(self) -> None:
        bodies: list[bytes] = []
        child = ResponderResource(self)  # type: ignore[arg-type]

        class Dynamic(Resource):
            def getChild(self, path: bytes, request: Any) -> Any:
                bodies.append(request.content.read())
                request.content.seek(0)
                return child

        exchange = ask(Site(Dynamic(), reactor=Clock()), b"POST", b"/x", body=b"abc")
        self.assertEqual((exchange.sent, bodies), (b"ok", [b"abc"]))
        self.assertEqual(self.exchanges[0].request_id, b"test-1")

    def test_later_answers_work_too(self) -> None:
        waiting: Deferred[bytes] = Deferred()

        def render(request: Any) -> int:
            def answer(body: bytes) -> None:
                request.write(body)
                request.finish()

            waiting.addCallback(answer)
            return NOT_DONE_YET

        exchange = ask(site(render))
        waiting.callback(b"later")
        self.assertEqual((exchange.sent, exchange.is_finished), (b"later", True))
