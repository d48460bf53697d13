"""What the answers of a `WireExchange` look like on the wire."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.errors import ClientFault, OurFault
from scalekit.http.heads import ResponseHead
from scalekit.interfaces import IExchange
from tests.net.conversation import Conversation


def request(method: bytes = b"GET", version: bytes = b"1.1", *lines: bytes) -> bytes:
    extra = b"".join(line + b"\r\n" for line in lines)
    return b"%b / HTTP/%b\r\nHost: a\r\n%b\r\n" % (method, version, extra)


UPGRADE = (b"Connection: upgrade", b"Upgrade: websocket")


class Case(SynchronousTestCase):
    def ask(self, data: bytes = request()) -> tuple[Conversation, Any]:
        it = Conversation()
        it.says(data)
        return it, it.seen[0].exchange


class Whole(Case):
    """`IExchange.answer`."""

    def test_it_provides_its_interface(self) -> None:
        self.assertTrue(verifyObject(IExchange, self.ask()[1]))

    def test_fields_keep_order_case_and_repetition(self) -> None:
        it, exchange = self.ask()
        exchange.answer(ResponseHead(200, [(b"X-b", b"1"), (b"A", b"2"), (b"x-B", b"3")]), b"hi")
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nX-b: 1\r\nA: 2\r\nx-B: 3\r\nContent-Length: 2\r\n\r\nhi")

    def test_a_date_of_its_own_is_the_only_one(self) -> None:
        it, exchange = self.ask()
        exchange.answer(ResponseHead(200, [(b"Date", b"then")], has_date=True))
        self.assertEqual(bytes(it.wire.sent).count(b"Date: "), 1)

    def test_no_content_has_no_length_and_no_body(self) -> None:
        it, exchange = self.ask()
        exchange.answer(ResponseHead(204, []), b"ignored")
        self.assertEqual(it.hears(), b"HTTP/1.1 204 No Content\r\n\r\n")

    def test_head_has_the_length_of_get(self) -> None:
        for head, body in ((ResponseHead(200, [], 5), b""), (ResponseHead(200, []), b"hello")):
            it, exchange = self.ask(request(b"HEAD"))
            exchange.answer(head, body)
            self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            self.assertEqual(exchange.record.sent, 0)

    def test_head_without_a_known_length(self) -> None:
        it, exchange = self.ask(request(b"HEAD"))
        exchange.answer(ResponseHead(200, []))
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\n\r\n")

    def test_not_modified_keeps_the_length_of_what_it_stands_for(self) -> None:
        for length, line in ((None, b""), (7, b"Content-Length: 7\r\n")):
            it, exchange = self.ask()
            exchange.answer(ResponseHead(304, [], length), b"ignored")
            self.assertEqual(it.hears(), b"HTTP/1.1 304 Not Modified\r\n" + line + b"\r\n")

    def test_a_wrong_length_is_our_fault(self) -> None:
        it, exchange = self.ask()
        exchange.answer(ResponseHead(200, [], 3), b"hello")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(it.outcomes, [(b"/", 500, "bad-length")])

    def test_a_field_that_would_break_out_is_our_fault(self) -> None:
        for send in (lambda e, head: e.answer(head), lambda e, head: e.begin(head)):
            it, exchange = self.ask()
            send(exchange, ResponseHead(200, [(b"X", b"1\r\nSet-Cookie: a=b")]))
            heard = it.hears()
            self.assertTrue(heard.startswith(b"HTTP/1.1 500 "))
            self.assertNotIn(b"Set-Cookie", heard)

    def test_only_the_first_answer_counts(self) -> None:
        it, exchange = self.ask()
        exchange.answer(ResponseHead(200, []), b"1")
        exchange.answer(ResponseHead(200, []), b"2")
        exchange.fail(ClientFault(400, "x", "x"))
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
        self.assertEqual(len(it.outcomes), 1)
        self.assertFalse(it.is_over)


class Streamed(Case):
    """`begin`, `write`, `finish`."""

    def stream(self, exchange: Any, length: int | None = None, trailers: Any = ()) -> None:
        exchange.begin(ResponseHead(200, [], length))
        exchange.write(b"hel")
        exchange.write(b"")
        exchange.write(b"lo")
        exchange.finish(trailers)

    def test_by_length(self) -> None:
        it, exchange = self.ask()
        self.stream(exchange, 5)
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        self.assertEqual(exchange.record.sent, 5)
        self.assertFalse(it.is_over)

    def test_in_chunks(self) -> None:
        it, exchange = self.ask()
        self.stream(exchange)
        self.assertEqual(
            it.hears(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
        )
        self.assertEqual(exchange.record.sent, 5)
        it.says(request())
        self.assertEqual(len(it.seen), 2)

    def test_with_trailers(self) -> None:
        it, exchange = self.ask()
        self.stream(exchange, None, [(b"X-Sum", b"1")])
        self.assertTrue(it.hears().endswith(b"0\r\nX-Sum: 1\r\n\r\n"))

    def test_trailers_that_would_break_out_cut_it(self) -> None:
        it, exchange = self.ask()
        self.stream(exchange, None, [(b"X-Sum", b"1\r\n\r\nHTTP/1.1 200 OK")])
        it.wire.settle()
        self.assertTrue(it.was_cut)

    def test_until_the_close_for_http_1_0(self) -> None:
        it, exchange = self.ask(request(b"GET", b"1.0", b"Connection: keep-alive"))
        self.stream(exchange, None, [(b"X-Sum", b"1")])
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        self.assertTrue(it.wire.has_shut)
        it.leaves()
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_without_a_body_where_there_is_none(self) -> None:
        for method, status, length, lines in (
            (b"HEAD", 200, 5, b"Content-Length: 5\r\n"),
            (b"HEAD", 200, None, b""),
            (b"GET", 304, 5, b"Content-Length: 5\r\n"),
            (b"GET", 204, 5, b""),
        ):
            it, exchange = self.ask(request(method))
            exchange.begin(ResponseHead(status, [], length, b"Fine"))
            exchange.write(b"hello")
            exchange.finish([(b"X", b"y")])
            self.assertEqual(it.hears(), b"HTTP/1.1 %d Fine\r\n%b\r\n" % (status, lines))
            self.assertEqual(exchange.record.sent, 0)
            self.assertFalse(it.is_over)

    def test_too_little_and_too_much_cut_it(self) -> None:
        for body in (b"hell", b"hello!"):
            it, exchange = self.ask()
            exchange.begin(ResponseHead(200, [], 5))
            exchange.write(body)
            exchange.finish()
            it.wire.settle()
            self.assertTrue(it.was_cut)
            self.assertEqual(it.outcomes, [(b"/", 200, "bad-length")])
            self.assertFalse(it.hears().endswith(b"!"))

    def test_an_abort_cuts_it(self) -> None:
        for version in (b"1.0", b"1.1"):
            it, exchange = self.ask(request(b"GET", version))
            exchange.begin(ResponseHead(200, []))
            exchange.write(b"hello")
            exchange.abort(OurFault(500, "x", "x"))
            it.wire.settle()
            self.assertTrue(it.was_cut)
            self.assertFalse(it.hears().endswith(b"0\r\n\r\n"))
            self.assertEqual(it.outcomes, [(b"/", 200, "x")])

    def test_failing_in_the_middle_is_an_abort(self) -> None:
        it, exchange = self.ask()
        exchange.begin(ResponseHead(200, []))
        exchange.fail(ZeroDivisionError())
        it.wire.settle()
        self.assertTrue(it.was_cut)
        self.assertEqual(it.outcomes, [(b"/", 200, "internal-error")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_abort_before_it_has_begun_is_a_cut_too(self) -> None:
        it, exchange = self.ask()
        exchange.abort(OurFault(500, "x", "x"))
        it.wire.settle()
        self.assertEqual(it.hears(), b"")
        self.assertTrue(it.was_cut)
        self.assertEqual(it.outcomes, [(b"/", 0, "x")])

    def test_the_first_reason_is_told(self) -> None:
        it, exchange = self.ask()
        exchange.record.reason = "first"
        exchange.abort(OurFault(500, "x", "x"))
        it.wire.settle()
        self.assertEqual(it.outcomes, [(b"/", 0, "first")])

    def test_what_is_no_fault_has_no_reason(self) -> None:
        it, exchange = self.ask()
        exchange.abort(ZeroDivisionError())
        it.wire.settle()
        self.assertTrue(it.was_cut)
        self.assertEqual(it.outcomes, [(b"/", 0, "")])

    def test_a_body_without_a_head_reaches_nobody(self) -> None:
        it, exchange = self.ask()
        exchange.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(it.hears(), b"")
        exchange.finish()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(it.outcomes), 1)


class Interim(Case):
    def test_early_hints_come_before_the_answer(self) -> None:
        it, exchange = self.ask()
        exchange.inform(103, [(b"Link", b"</a.css>")])
        exchange.answer(ResponseHead(204, []))
        exchange.inform(103, [])
        self.assertEqual(
            it.hears(), b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
        )

    def test_not_for_http_1_0_and_not_inside_an_answer(self) -> None:
        it, exchange = self.ask(request(b"GET", b"1.0"))
        exchange.inform(103, [])
        self.assertEqual(it.hears(), b"")
        it, exchange = self.ask()
        exchange.begin(ResponseHead(200, [], 0))
        exchange.inform(103, [])
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


class Failing(Case):
    def test_a_fault_is_told_as_the_client_asks_for_it(self) -> None:
        it, exchange = self.ask(request(b"GET", b"1.1", b"Accept: text/plain"))
        exchange.record.attempts = 2
        exchange.fail(ClientFault(404, "not-here", "It is not here."))
        self.assertIn(b"Content-Type: text/plain", it.hears())
        self.assertEqual(it.outcomes, [(b"/", 404, "not-here")])

    def test_problem_details_name_the_request(self) -> None:
        it, exchange = self.ask()
        exchange.fail(ClientFault(404, "not-here", "It is not here."))
        heard = it.hears()
        self.assertIn(b"Content-Type: application/problem+json\r\n", heard)
        self.assertIn(b'"request_id":"t-1"', heard)

    def test_for_head_without_a_body(self) -> None:
        it, exchange = self.ask(request(b"HEAD"))
        exchange.fail(ClientFault(404, "not-here", "It is not here."))
        self.assertTrue(it.hears().endswith(b"\r\n\r\n"))


class Switching(Case):
    """`IExchange.switch`."""

    def switched(self, *fields: tuple[bytes, bytes]) -> tuple[Conversation, Any, Any]:
        it, exchange = self.ask(request(b"GET", b"1.1", *UPGRADE))
        exchange.switch(ResponseHead(200, list(fields), 5), it.seen[0])
        return it, exchange, it.seen[0]

    def test_the_head_is_a_101(self) -> None:
        it, exchange, _ = self.switched((b"A", b"1"))
        self.assertEqual(
            it.hears(),
            b"HTTP/1.1 101 Switching Protocols\r\nA: 1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        self.assertEqual(exchange.record.status, 101)

    def test_only_if_it_was_asked_for_and_once(self) -> None:
        it, exchange = self.ask()
        exchange.switch(ResponseHead(101, []), it.seen[0])
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))
        it, exchange, seen = self.switched()
        it.hears()
        exchange.switch(ResponseHead(101, []), seen)
        exchange.answer(ResponseHead(200, []), b"x")
        exchange.begin(ResponseHead(200, []))
        exchange.inform(103, [])
        exchange.receive(seen)
        exchange.discard()
        self.assertEqual(it.hears(), b"")

    def test_a_field_that_would_break_out(self) -> None:
        it, _, _ = self.switched((b"A", b"1\r\nB: 2"))
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))

    def test_bytes_and_both_ends(self) -> None:
        it, exchange, seen = self.switched()
        it.hears()
        exchange.write(b"a")
        exchange.write(b"")
        it.says(b"b")
        exchange.finish()
        exchange.write(b"ignored")
        self.assertEqual((it.hears(), exchange.record.sent), (b"a", 1))
        self.assertTrue(it.wire.has_shut)
        it.says(b"c")
        it.leaves()
        self.assertEqual(seen.events, [b"b", b"c", "end"])
        self.assertEqual(it.outcomes, [(b"/", 101, "")])
        self.assertTrue(it.is_over)
        self.assertEqual(it.factory.connections, set())
        exchange.abort(OurFault(500, "late", "Nobody is there."))

    def test_the_listener_ends(self) -> None:
        it, _, seen = self.switched()
        drained = it.factory.drain()
        self.assertEqual(seen.events, ["go away"])
        self.assertNoResult(drained)
        self.assertFalse(it.is_over)

    def test_held(self) -> None:
        it, exchange, seen = self.switched()
        exchange.pause()
        it.says(b"a")
        it.leaves()
        self.assertEqual(seen.events, [])
        exchange.resume()
        it.settle()
        self.assertEqual(seen.events, [b"a", "end"])

    def test_cut(self) -> None:
        it, exchange, seen = self.switched()
        exchange.abort(OurFault(500, "given-up", "Enough."))
        it.settle()
        self.assertTrue(it.was_cut)
        self.assertEqual(it.outcomes, [(b"/", 101, "given-up")])
        self.assertEqual(seen.events, [])

    def test_a_receiver_that_raises(self) -> None:
        for say in ("data", "end"):
            it, _, seen = self.switched()

            def fail(_: Any) -> None:
                raise ValueError("no")

            setattr(seen, say, fail)
            it.says(b"x")
            it.leaves()
            self.assertTrue(it.was_cut)
            self.assertEqual(seen.events[-1], "aborted ValueError")
            self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
            self.assertEqual(it.outcomes, [(b"/", 101, "internal-error")])
