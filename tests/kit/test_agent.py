"""Tests of `scalekit.kit.agent`, over real sockets: only there are certificates verified."""

from __future__ import annotations

from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.ssl import ContextFactory
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from scalekit.kit.agent import trust
from scalekit.kit.client import Client, Unreachable, make_client
from tests.kit.test_client import Echo


class _Fixed(ContextFactory):
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def getContext(self) -> SSL.Context:
        return self._context


class TrustTests(TestCase):
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
        self.addCleanup(client.close)
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

    async def test_a_refusal_is_known_at_once_and_other_schemes_are_not_tried(self) -> None:
        client = self.client_for(self.mktemp())
        for url, expected in [("http://127.0.0.1:1/", "refused"), ("http://[::1]:1/", ""), ("ftp://127.0.0.1/", "ftp")]:
            with self.assertRaises(Unreachable) as caught:
                await client.fetch("GET", url, seconds=10)
            self.assertIn(expected, caught.exception.detail)
