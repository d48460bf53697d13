"""Site: answers and bodies of requests in pieces, and children that take bodies so."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, Cooperator
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.web.memory import MemoryExchange, ask, respond
from scalekit.web.resource import ResponderResource
from scalekit.web.site import Site
from tests.web.leaves import noted, site


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

    def test_lose_connection_answers_where_none_has_begun(self) -> None:
        exchange, request = self.start(lambda request: None)
        request.loseConnection()
        self.assertEqual((exchange.status, exchange.record.reason), (500, "given-up"))
        self.assertTrue(exchange.is_finished)


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

    def test_ahead_of_the_tree(self) -> None:
        """What its place says is not looked for; any other spelling goes through the tree."""
        tree = Site(self.root, reactor=Clock(), ahead=((b"/api/", self),))  # type: ignore[arg-type]
        self.assertEqual(ask(tree, b"PUT", b"/api/x/y", body=b"abc").sent, b"ok")
        for target in (b"/api", b"/%61pi/x", b"/other"):
            self.assertEqual(ask(tree, target=target).status, 404)
        exchange = MemoryExchange(RequestHead(b"GET", b"/api/../private", [], normal_path=b"/private"))
        respond(tree, exchange)
        self.assertEqual((exchange.status, len(self.exchanges)), (404, 1))

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
