"""``X-Scalekit-Explain`` and ``Proxy-Status``, through the proxy."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.explained import explanation
from scalekit.balancer.routes import Claim
from scalekit.balancer.sticky import Sticky
from scalekit.http.forwarding import Forwarder
from scalekit.http.heads import Outcome
from tests.balancer.proxied import GET, HELLO, Case, Proxied, get, requests_on, send
from tests.balancer.test_tunnels import AGREE

ASK = b"X-Scalekit-Explain: 1"
AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\naway"


def fields(heard: bytes, name: bytes) -> list[bytes]:
    return re.findall(rb"(?m)^" + name + rb": ([^\r]*)\r$", heard)


def said(heard: bytes) -> dict[str, str]:
    """The one explanation of what was heard."""
    (value,) = fields(heard, b"X-Scalekit-Explain")
    return {name: item.strip('"') for name, _, item in (each.partition("=") for each in value.decode().split(", "))}


class ExplainedCase(Case):
    def proxied(self, *arguments: Any, is_trusted: bool = True, **options: Any) -> Proxied:
        it = Proxied(*arguments, **options)
        trusted = (ip_network("192.0.2.7"),) if is_trusted else ()
        it.proxy.forwarder = Forwarder(b"test", trusted, lambda: 1 << 64 | 2)
        return it


class ExplainedTests(ExplainedCase):
    def test_a_trusted_peer_that_asks(self) -> None:
        it = self.proxied(1, claims=(Claim.of("default", ["a"], "/x"),))
        expected = {"route": "a/x", "service": "default", "instance": it.instances[0].id, "picker": "round-robin"}
        for number, path in enumerate((b"/x/1", b"/x/2", b"/x/2")):  # what came in the same bytes before is asked again
            it.says(get(path, ASK))
            if not number:
                it.accepts()
            it.answers(HELLO)
            heard = it.hears()
            self.assertTrue(heard.endswith(b"hello"))
            self.assertEqual(said(heard), expected | {"attempts": "1"})
            self.assertEqual(fields(heard, b"Proxy-Status"), [b"scalekit-test; received-status=200"])
        self.ends(it, *[(200, "")] * 3)

    def test_nobody_else(self) -> None:
        """Neither who is not trusted, nor who does not ask; and no app server sees the question."""
        for is_trusted, line in ((False, ASK), (True, b"X-Scalekit-Explain: 0"), (True, b"X-Other: 1")):
            it = self.proxied(is_trusted=is_trusted)
            it.says(get(b"/", line))
            it.accepts()
            (received,) = requests_on(it.app.wire)
            self.assertEqual([name for name, _ in received.head.fields if b"Explain" in name], [])
            it.answers(HELLO)
            self.assertEqual(it.hears(), HELLO)

    def test_an_app_server_cannot_answer_it(self) -> None:
        it = self.proxied()
        it.says(get(b"/", ASK))
        it.accepts()
        it.answers(HELLO.replace(b"\r\n\r\n", b"\r\nx-scalekit-explain: evil\r\n\r\n"))
        self.assertNotIn(b"evil", it.hears())

    def test_a_retry(self) -> None:
        it = self.proxied(3)
        it.says(get(b"/", ASK))
        it.accepts()
        it.answers(AWAY)
        it.accepts()
        it.answers(AWAY)
        heard = it.hears()
        self.assertEqual((said(heard)["attempts"], said(heard)["retry"]), ("2", "attempts"))
        self.assertEqual(fields(heard, b"Proxy-Status"), [b"scalekit-test; received-status=503"])

    def test_an_answer_of_ours(self) -> None:
        it = self.proxied(0)
        it.says(get(b"/", ASK))
        heard = it.hears()
        self.assertEqual(
            said(heard), {"route": "*/", "service": "default", "attempts": "0", "reason": "no-app-servers"}
        )
        expected = [b'scalekit-test; error=destination_unavailable; details="no-app-servers"']
        self.assertEqual(fields(heard, b"Proxy-Status"), expected)
        it = self.proxied(claims=(Claim.of("default", ["other"], "/"),))
        it.says(get(b"/", ASK))
        self.assertEqual(said(it.hears()), {"attempts": "0", "reason": "no-route"})

    def test_a_body_of_both(self) -> None:
        it = self.proxied()
        it.says(send(b"POST", 4, ASK) + b"body")
        it.accepts()
        it.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"0\r\n\r\n")
        heard = it.hears()
        self.assertTrue(heard.endswith(b"3\r\nabc\r\n0\r\n\r\n"))
        self.assertEqual(said(heard)["attempts"], "1")
        self.assertEqual(requests_on(it.app.wire)[0].body, b"body")

    def test_an_answer_that_breaks_off(self) -> None:
        it = self.proxied()
        it.says(get(b"/", ASK))
        it.accepts()
        it.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        self.assertEqual(said(it.hears())["attempts"], "1")
        it.closes()
        self.assertTrue(it.was_cut)

    def test_a_tunnel(self) -> None:
        it = self.proxied()
        lines = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
        it.says(get(b"/", ASK, *lines, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="))
        it.accepts()
        it.answers(AGREE)
        heard = it.hears()
        self.assertTrue(heard.startswith(b"HTTP/1.1 101 "))
        self.assertEqual(said(heard)["service"], "default")
        it.wire.lose()

    def test_sticky(self) -> None:
        it = self.proxied()
        sticky = Sticky(b"k" * 32, "default")
        it.says(GET)
        it.accepts()
        it.answers(HELLO)
        it.hears()
        it.proxy.traffic["default"].sticky = sticky
        it.says(get(b"/", ASK, b"Cookie: %b=%b" % (sticky.cookie, sticky.token(it.instances[1]))))
        it.accepts()
        it.answers(HELLO)
        heard = said(it.hears())
        self.assertEqual((heard["picker"], heard["instance"]), ("sticky", it.instances[1].id))


class PassedOnTests(ExplainedCase):
    def test_an_error_that_might_be_ours_says_whose_it_is(self) -> None:
        for status, expected in ((b"503", [b"scalekit-test; received-status=503"]), (b"500", []), (b"505", [])):
            for rest in (b"Content-Length: 4\r\n\r\naway", b"Content-Length: 4\r\n\r\naw"):
                it = self.proxied(1)
                it.says(GET)
                it.accepts()
                it.answers(b"HTTP/1.1 " + status + b" X\r\n" + rest)
                self.assertEqual(fields(it.hears(), b"Proxy-Status"), expected)
                it.wire.lose()

    def test_one_that_a_proxy_of_theirs_has_told_of(self) -> None:
        """Ours comes after it: the list is in the order of the way (RFC 9209 section 2)."""
        it = self.proxied(1)
        it.says(GET)
        it.accepts()
        it.answers(AWAY.replace(b"\r\n\r\n", b"\r\nProxy-Status: inner; error=dns_error\r\n\r\n"))
        expected = [b"inner; error=dns_error", b"scalekit-test; received-status=503"]
        self.assertEqual(fields(it.hears(), b"Proxy-Status"), expected)


class ExplanationTests(SynchronousTestCase):
    @given(st.text(), st.text())
    def test_whatever_it_tells_is_one_line(self, instance: str, reason: str) -> None:
        """Of printable ASCII, in which only our own quotes are bare (RFC 8941 section 3.3.3)."""
        record = Outcome()
        record.instance, record.reason = instance, reason
        value = explanation(record, None, "random")
        self.assertRegex(
            value.decode("ascii"),
            r'\A[a-z]+=(?:\d+|"(?:[ !#-\[\]-~]|\\["\\])*")(?:, [a-z]+=(?:\d+|"(?:[ !#-\[\]-~]|\\["\\])*"))*\Z',
        )
