"""ResponderResource: responders as children of a stock twisted.web.server.Site."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from scalekit.errors import ClientFault, OurFault, UpstreamFault
from scalekit.http.heads import Outcome, RequestHead, ResponseHead
from scalekit.interfaces import IExchange, IResponder
from scalekit.web.memory import MemoryExchange
from scalekit.web.resource import RequestExchange, ResponderResource
from scalekit.web.wrapping import WrappedExchange


class Wire:
    """A stock Site with a responder at /api, and one connection to it."""

    def __init__(self, responder: Any, **options: Any) -> None:
        root = Resource()
        root.putChild(b"api", ResponderResource(responder, **options))
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.9", 4000))
        self.channel: Any = Site(root, reactor=Clock()).buildProtocol(self.transport.getPeer())
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    @property
    def received(self) -> bytes:
        return bytes(self.transport.value())

    def answer(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of the one answer so far."""
        head, _, body = self.received.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), head, body

    def hang_up(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))


class Recorder:
    """Receives bodies, hears of answers, and does what the test says with each exchange."""

    def __init__(self, act: Any = None) -> None:
        self.act = act
        self.body = b""
        self.heard: list[Any] = []
        self.exchange: Any = None

    def respond(self, exchange: Any) -> None:
        self.exchange = exchange
        exchange.observe(self)
        if self.act is not None:
            self.act(exchange)

    def data(self, piece: bytes) -> None:
        self.body += piece
        self.heard.append(len(piece))

    def end(self, trailers: Any) -> None:
        self.heard.append("end")
        hello(self.exchange)

    def aborted(self, fault: Exception) -> None:
        self.heard.append("aborted")

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")


def hello(exchange: Any) -> None:
    exchange.answer(ResponseHead(200, [(b"Content-Type", b"text/plain")]), b"hello")


class RequestTests(SynchronousTestCase):
    """What the responder is given."""

    def head(self, request: bytes, **options: Any) -> RequestHead:
        recorder = Recorder(hello)
        wire = Wire(recorder, **options)
        wire.send(request)
        self.assertEqual(wire.answer()[0], 200, wire.received)
        head: RequestHead = recorder.exchange.head
        return head

    def test_head(self) -> None:
        head = self.head(
            b"GET /api/x?y=1 HTTP/1.1\r\nHost: a:80\r\nX-A: 1\r\nX-B: 2\r\nx-a: 3\r\nConnection: x-b\r\n\r\n"
        )
        self.assertEqual((head.method, head.target, head.path, head.query), (b"GET", b"/api/x?y=1", b"/api/x", b"y=1"))
        self.assertEqual((head.host, head.version, head.length, head.keep_alive), (b"a:80", 11, 0, True))
        self.assertEqual((head.get(b"x-a"), head.get(b"host"), head.hop), (b"1, 3", None, {b"x-b"}))

    def test_client(self) -> None:
        recorder = Recorder(hello)
        Wire(recorder).send(b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n")
        client = recorder.exchange.client
        self.assertEqual((client.address, client.port, client.is_secure), ("192.0.2.9", 4000, False))
        self.assertTrue(recorder.exchange.request_id)

    def test_stripped_prefix(self) -> None:
        for target, seen in ((b"/api/x/y?z", b"/x/y?z"), (b"/api", b"/"), (b"/api/", b"/"), (b"/%61pi/x", b"/x")):
            head = self.head(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target, strip_prefix=True)
            self.assertEqual(head.target, seen)

    def test_absolute_form_counts_more_than_host(self) -> None:
        """Only a root of its own gets these: a stock site finds no child for them."""
        for target, seen, host in (
            (b"http://b:81/x?y", b"/x?y", b"b:81"),
            (b"HTTPS://b", b"/", b"b"),
            (b"http://b?y", b"/?y", b"b"),
        ):
            recorder = Recorder(hello)
            channel: Any = Site(ResponderResource(recorder), reactor=Clock()).buildProtocol(None)  # type: ignore[arg-type]
            channel.makeConnection(StringTransport())
            channel.dataReceived(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            self.assertEqual((recorder.exchange.head.target, recorder.exchange.head.host), (seen, host))

    def test_http_1_0_without_host(self) -> None:
        head = self.head(b"GET /api HTTP/1.0\r\n\r\n")
        self.assertEqual((head.host, head.version, head.keep_alive), (b"", 10, False))

    def test_refused_as_on_our_own_wire(self) -> None:
        for request, reason in (
            (b"GET /api HTTP/1.1\r\n\r\n", "bad-host"),
            (b"GET /api HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "bad-host"),
            (b"GET /api HTTP/1.1\r\nHost: a b\r\n\r\n", "bad-host"),
            (b"GET /api HTTP/1.1\r\nHost: u@a\r\n\r\n", "bad-host"),
            (b"GET /api HTTP/1.1\r\nHost: a:65536\r\n\r\n", "bad-host"),
            (b"GET /api HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad-host"),
            (b"GET /api HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", "bad-field"),
            (b"GET /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "bad-transfer-encoding"),
            (b"GET /api HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "bad-transfer-encoding"),
            (b"GET /api/../x HTTP/1.1\r\nHost: a\r\n\r\n", "ambiguous-path"),
            (b"GET /api/%2e%2E HTTP/1.1\r\nHost: a\r\n\r\n", "ambiguous-path"),
            (b"G@T /api HTTP/1.1\r\nHost: a\r\n\r\n", None),  # refused by the stock site
        ):
            recorder = Recorder(hello)
            wire = Wire(recorder)
            wire.send(request)
            self.assertIsNone(recorder.exchange, request)
            status, _, body = wire.answer()
            self.assertEqual(status, 400, request)
            if reason is not None:
                self.assertEqual(json.loads(body)["reason"], reason, request)

    def test_paths_that_stay_below_the_mount_are_the_responders_to_judge(self) -> None:
        for path, normal in ((b"/api/%61%2fb", b"/a%2Fb"), (b"/api/a\\b", b"/a\\b"), (b"/api/a/../b", b"/b")):
            head = self.head(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path, strip_prefix=True)
            self.assertEqual((head.path, head.normal_path), (path[4:], normal))


class BodyTests(SynchronousTestCase):
    def test_a_body_comes_after_the_responder_has_returned(self) -> None:
        recorder = Recorder()
        recorder.act = lambda exchange: [exchange.receive(recorder), recorder.heard.append("returned")]
        Wire(recorder).send(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(recorder.heard, ["returned", 3, "end"])
        self.assertEqual(recorder.exchange.head.length, 3)

    def test_a_chunked_body_has_a_length_by_now(self) -> None:
        recorder = Recorder()
        recorder.act = lambda exchange: exchange.receive(recorder)
        Wire(recorder).send(
            b"POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        self.assertEqual((recorder.body, recorder.exchange.head.length), (b"abcde", 5))
        self.assertIsNone(recorder.exchange.head.get(b"transfer-encoding"))

    def test_pause_and_resume(self) -> None:
        recorder = Recorder()
        recorder.act = lambda exchange: [exchange.receive(recorder), exchange.pause()]
        Wire(recorder).send(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000)
        self.assertEqual(recorder.heard, [])
        recorder.exchange.resume()
        self.assertEqual(recorder.heard, [65536, 100_000 - 65536, "end"])

    def test_received_later(self) -> None:
        recorder = Recorder()
        Wire(recorder).send(b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        self.assertEqual(recorder.heard, [])
        recorder.exchange.receive(recorder)
        self.assertEqual(recorder.heard, [1, "end"])


class AnswerTests(SynchronousTestCase):
    REQUEST = b"GET /api HTTP/1.1\r\nHost: a\r\n\r\n"

    def wire(self, act: Any = None, request: bytes = REQUEST) -> tuple[Wire, Recorder]:
        recorder = Recorder(act)
        wire = Wire(recorder)
        wire.send(request)
        return wire, recorder

    def test_whole(self) -> None:
        wire, _ = self.wire(hello)
        status, head, body = wire.answer()
        self.assertEqual((status, body), (200, b"hello"))
        self.assertIn(b"Content-Length: 5", head)
        self.assertEqual(head.count(b"Date:"), 1)
        self.assertNotIn(b"TwistedWeb", head)

    def test_fields_are_the_responders(self) -> None:
        fields = [(b"Set-Cookie", b"a"), (b"Server", b"mine"), (b"Set-Cookie", b"b"), (b"Date", b"then")]
        wire, _ = self.wire(lambda exchange: exchange.answer(ResponseHead(404, fields, 0, b"Gone Fishing", True)))
        _, head, _ = wire.answer()
        lines = head.split(b"\r\n")
        self.assertEqual(lines[0], b"HTTP/1.1 404 Gone Fishing")
        self.assertEqual([line for line in lines if b"Cookie" in line], [b"Set-Cookie: a", b"Set-Cookie: b"])
        self.assertEqual([line for line in lines if b"Date" in line], [b"Date: then"])
        self.assertEqual([line for line in lines if b"Server" in line], [b"Server: mine"])
        self.assertNotIn(b"Content-Type", head)

    def test_streamed(self) -> None:
        wire, recorder = self.wire(lambda exchange: exchange.begin(ResponseHead(200, [])))
        self.assertIn(b"Transfer-Encoding: chunked", wire.received)
        recorder.exchange.write(b"abc")
        recorder.exchange.finish([(b"X-Trailer", b"dropped")])
        self.assertEqual(wire.answer()[2], b"3\r\nabc\r\n0\r\n\r\n")
        self.assertEqual((recorder.exchange.record.status, recorder.exchange.record.sent), (200, 3))

    def test_the_connection_serves_the_next_request(self) -> None:
        wire, _ = self.wire(hello)
        wire.transport.clear()
        wire.send(self.REQUEST)
        self.assertEqual(wire.answer()[2], b"hello")

    def test_head_204_and_304_have_no_body(self) -> None:
        wire, _ = self.wire(hello, b"HEAD /api HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((wire.answer()[0], wire.answer()[2]), (200, b""))
        for status in (204, 304):
            wire, _ = self.wire(lambda exchange, status=status: exchange.answer(ResponseHead(status, [])))
            self.assertEqual((wire.answer()[0], wire.answer()[2]), (status, b""))
            self.assertNotIn(b"Content-Length", wire.received)

    def test_back_pressure(self) -> None:
        wire, recorder = self.wire(lambda exchange: exchange.begin(ResponseHead(200, [])))
        wire.channel._channel.pauseProducing()  # as its transport does
        wire.channel._channel.resumeProducing()
        self.assertEqual(recorder.heard, ["pause", "resume"])

    def test_client_gone(self) -> None:
        wire, recorder = self.wire(lambda exchange: exchange.begin(ResponseHead(200, [])))
        wire.hang_up()
        recorder.exchange.write(b"x")
        recorder.exchange.finish()
        self.assertEqual(recorder.heard, ["aborted"])

    def test_interim_answers_are_dropped(self) -> None:
        def act(exchange: Any) -> None:
            exchange.inform(103, [(b"Link", b"</x>")])
            hello(exchange)

        wire, _ = self.wire(act)
        self.assertEqual(wire.answer()[0], 200)

    def test_faults_before_the_answer(self) -> None:
        def raising(exchange: Any) -> None:
            raise ClientFault(400, "x", "y")

        for act, status in (
            (lambda exchange: exchange.fail(UpstreamFault(503, "no-app-servers", "No app servers found")), 503),
            (raising, 400),
        ):
            wire, _ = self.wire(act)
            self.assertEqual((wire.answer()[0], json.loads(wire.answer()[2])["status"]), (status, status))

    def test_an_exception_is_logged_and_500(self) -> None:
        wire, _ = self.wire(lambda exchange: 1 / 0)
        self.assertEqual(wire.answer()[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_cannot_be_made_right_is_cut(self) -> None:
        for go_wrong in (
            lambda exchange: exchange.fail(OurFault(500, "x", "y")),
            lambda exchange: exchange.abort(OurFault(500, "x", "y")),
            lambda exchange: exchange.finish(),
            lambda exchange: exchange.write(b"too much"),
        ):
            wire, recorder = self.wire(lambda exchange: exchange.begin(ResponseHead(200, [], 5)))
            recorder.exchange.write(b"abc")
            self.assertFalse(wire.transport.disconnected)
            go_wrong(recorder.exchange)
            self.assertTrue(wire.transport.disconnected or wire.transport.disconnecting)
            self.assertEqual(wire.answer()[2], b"abc")


class SeamTests(SynchronousTestCase):
    """All that claim to be exchanges have what the seam asks for."""

    def test_interfaces(self) -> None:
        memory = MemoryExchange(RequestHead(b"GET", b"/", []))
        recorder = Recorder(hello)
        Wire(recorder).send(AnswerTests.REQUEST)
        self.assertIsInstance(recorder.exchange, RequestExchange)
        for exchange in (memory, WrappedExchange(memory), recorder.exchange):
            verifyObject(IExchange, exchange)
            self.assertIsInstance(exchange.record, Outcome)

    def test_responders(self) -> None:
        from twisted.internet.defer import succeed

        from scalekit.web import site
        from scalekit.web.compress import Compress
        from scalekit.web.guard import Guard

        inner: Any = Recorder()
        for responder in (site.Site(Resource(), reactor=Clock()), Compress(inner, Clock(), succeed), Guard(inner)):
            verifyObject(IResponder, responder)
