"""Tests of `scalekit.kit.client`."""

from __future__ import annotations

from typing import Any

import trustme
from OpenSSL import SSL
from treq.testing import StubTreq
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.ssl import ContextFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from scalekit.kit import client as module
from scalekit.kit.client import Client, Unreachable, make_client, trust


class Echo(Resource):
    isLeaf = True

    def render(self, request: Any) -> Any:
        if request.path == b"/silent":
            return NOT_DONE_YET
        if request.path == b"/redirect":
            request.redirect(b"/elsewhere")
            return b""
        request.setHeader(b"x-method", request.method)
        return request.uri + b" " + request.content.read()


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = Client(StubTreq(Echo()), self.clock)

    def test_a_whole_answer(self) -> None:
        answer = self.successResultOf(self.client.fetch("POST", "http://a/b?c=d", seconds=1, body=b"body"))
        self.assertEqual((answer.status, answer.body), (200, b"/b?c=d body"))
        self.assertEqual(answer.get("X-Method"), "POST")
        self.assertIsNone(answer.get("x-other"))

    def test_the_deadline_is_over_all_of_it(self) -> None:
        asked = self.client.fetch("GET", "http://a/silent", seconds=0.05)
        self.clock.advance(0.049)
        self.assertNoResult(asked)
        self.clock.advance(0.002)
        failure = self.failureResultOf(asked, Unreachable)
        self.assertEqual(failure.value.detail, "http://a/silent: no answer within 0.05 s")

    def test_redirects_are_answers(self) -> None:
        answer = self.successResultOf(self.client.fetch("GET", "http://a/redirect", seconds=1))
        self.assertEqual((answer.status, answer.get("location")), (302, "/elsewhere"))

    def test_an_answer_too_big_is_not_read(self) -> None:
        self.patch(module, "BODY_LIMIT", 10)
        failure = self.failureResultOf(self.client.fetch("GET", "http://a/long-enough", seconds=1), Unreachable)
        self.assertIn("longer than 10 bytes", failure.value.detail)


class _Fixed(ContextFactory):
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def getContext(self) -> SSL.Context:
        return self._context


class TrustTests(TestCase):
    """Over real sockets: only there are certificates verified."""

    def serve(self, ca: trustme.CA, name: str) -> int:
        pem = self.mktemp()
        ca.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(pem)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(pem)
        context.use_privatekey_file(pem)
        port: Any = reactor.listenSSL(0, Site(Echo()), _Fixed(context), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def client_for(self, ca_path: str) -> Client:
        client = make_client(reactor, ca_path)
        self.addCleanup(client._treq._agent._pool.closeCachedConnections)
        return client

    def written(self, ca: trustme.CA) -> str:
        path = str(self.mktemp())
        ca.cert_pem.write_to_path(path)
        return path

    async def test_an_ip_address_that_the_local_ca_vouches_for(self) -> None:
        ca = trustme.CA()
        port = self.serve(ca, "127.0.0.1")
        client = self.client_for(self.written(ca))
        answer = await client.fetch("GET", f"https://127.0.0.1:{port}/x", seconds=10)
        self.assertEqual(answer.body, b"/x ")

    async def test_another_name_and_another_ca_are_refused(self) -> None:
        ca = trustme.CA()
        port = self.serve(ca, "127.0.0.2")
        for path in (self.written(ca), self.written(trustme.CA())):
            with self.assertRaises(Unreachable):
                await self.client_for(path).fetch("GET", f"https://127.0.0.1:{port}/x", seconds=10)

    def test_a_ca_that_comes_later_is_found_then(self) -> None:
        path = self.mktemp()
        policy = trust(path)
        self.assertRaises(OSError, policy.creatorForNetloc, b"localhost", 443)
        trustme.CA().cert_pem.write_to_path(path)
        creator = policy.creatorForNetloc(b"localhost", 443)
        self.assertIs(policy.creatorForNetloc(b"localhost", 443), creator)

    async def test_a_ca_that_is_not_there_is_unreachable(self) -> None:
        client = self.client_for(self.mktemp())
        with self.assertRaises(Unreachable):
            await client.fetch("GET", "https://127.0.0.1:1/", seconds=10)

    def test_canceling_does_not_pretend_to_be_a_deadline(self) -> None:
        asked: Deferred[Any] = Client(StubTreq(Echo()), Clock()).fetch("GET", "http://a/silent", seconds=1)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
