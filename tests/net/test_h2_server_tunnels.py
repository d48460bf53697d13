"""Tunnels on streams: extended CONNECT, RFC 8441."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.owner import ErrorCode
from scalekit.net.deadlines import Timeouts
from tests.net.h2_conversation import GET, OK, H2Conversation, head, say_hello


class Tunnels(SynchronousTestCase):
    """Extended CONNECT, RFC 8441."""

    CONNECT = ((b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:])

    def test_bytes_both_ways(self) -> None:
        it = H2Conversation()
        stream = it.asks((b"sec-websocket-version", b"13"), start=self.CONNECT, ends=False)
        seen = it.seen[0]
        self.assertEqual((seen.exchange.head.method, seen.exchange.head.upgrade), (b"GET", b"websocket"))
        seen.exchange.switch(head(101, (b"Sec-WebSocket-Accept", b"x"), (b"Sec-WebSocket-Protocol", b"chat")), seen)
        self.assertEqual(it.hears(), [("answered", stream, [OK, (b"sec-websocket-protocol", b"chat")], False)])
        it.client.send_data(stream, b"ping")
        it.talk()
        seen.exchange.write(b"pong")
        self.assertEqual(it.hears(), [("data", stream, b"pong", False)])
        self.assertEqual(seen.events, [b"ping"])
        seen.exchange.finish()
        self.assertEqual(it.hears(), [("data", stream, b"", True)])
        self.assertEqual(it.outcomes, [])
        it.client.end(stream)
        self.assertEqual(it.hears(), [("closed", stream, 0)])
        self.assertEqual(seen.events, [b"ping", "end"])
        self.assertEqual(it.outcomes, [(b"/", 101, "")])

    def test_the_client_ends_first(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=self.CONNECT, ends=False)
        seen = it.seen[0]
        seen.exchange.switch(head(101), seen)
        it.client.end(stream)
        it.talk()
        seen.exchange.write(b"last")
        seen.exchange.finish()
        self.assertIn(("data", stream, b"last", True), it.hears())
        self.assertEqual(it.outcomes, [(b"/", 101, "")])

    def test_the_listener_ends(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=self.CONNECT, ends=False)
        it.asks()
        tunnel, other = it.seen
        tunnel.exchange.switch(head(101), tunnel)
        it.hears()
        it.factory.drain()
        self.assertEqual((tunnel.events, other.events), (["go away"], []))
        tunnel.exchange.write(b"bye")
        self.assertIn(("data", stream, b"bye", False), it.hears())

    def test_it_may_be_refused(self) -> None:
        it = H2Conversation(lambda seen: seen.exchange.answer(head(403), b"no"))
        it.asks(start=self.CONNECT, ends=False)
        events = it.hears()
        self.assertEqual((events[0][2][0], events[1][2]), ((b":status", b"403"), b"no"))

    def test_a_page_instead_would_be_taken_for_a_tunnel(self) -> None:
        for then in (say_hello, lambda seen: seen.exchange.begin(head())):
            it = H2Conversation(then)
            it.asks(start=self.CONNECT, ends=False)
            self.assertEqual(it.hears()[0][2][0], (b":status", b"501"))

    def test_a_quiet_one_is_no_slow_body(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=self.CONNECT, ends=False)
        it.seen[0].exchange.switch(head(101), it.seen[0])
        it.waits(100)
        it.seen[0].exchange.write(b"x")
        self.assertIn(("data", stream, b"x", False), it.hears())

    def test_one_that_is_quiet_for_too_long_is_cut(self) -> None:
        it = H2Conversation(timeouts=Timeouts(tunnel_idle=60))
        stream = it.asks(start=self.CONNECT, ends=False)
        seen = it.seen[0]
        seen.exchange.switch(head(101), seen)
        for _ in range(3):
            it.waits(50)
            seen.exchange.write(b"x")
            it.waits(50)
            it.client.send_data(stream, b"y")
            it.talk()
        it.waits(70)
        self.assertEqual(it.hears()[-1], ("closed", stream, ErrorCode.CANCEL))
        self.assertEqual(seen.events[-1], "aborted tunnel-idle")

    def test_nobody_switches_unasked(self) -> None:
        it = H2Conversation(lambda seen: seen.exchange.switch(head(101), seen))
        it.asks()
        self.assertEqual(it.hears()[0][2][0], (b":status", b"500"))
