"""Tests of `scalekit.balancer.consent`, and of what a registration says of its connections, over real sockets."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.consent import CHALLENGE, RESPONSE, ConsentAnswer, response_to
from scalekit.balancer.health import HealthRules
from scalekit.errors import UpstreamFault
from scalekit.http.heads import ResponseHead
from scalekit.net.pooled import UpstreamTimeouts
from tests.balancer import test_upstreams


class ConsentAnswerTests(SynchronousTestCase):
    rules = HealthRules()

    def outcome(self, status: int, *responses: bytes) -> Any:
        answer = ConsentAnswer(lambda: None, self.rules, "nonce", "secret")
        answer.answered(ResponseHead(status, [(RESPONSE, response) for response in responses]), b"pong")
        results: list[Any] = []
        answer.status.addBoth(results.append)
        return results[0] if isinstance(results[0], int) else results[0].value.reason

    def test_what_counts(self) -> None:
        """Exactly one answer, the right one; a status that fails anyway says what it says."""
        right = hmac.new(b"secret", b"nonce", hashlib.sha256).hexdigest().encode()
        self.assertEqual(response_to("nonce", "secret"), right)
        self.assertEqual(self.outcome(200, right), 200)
        self.assertEqual(self.outcome(204, right.upper()), 204)
        for wrong in ([], [b""], [b"\xff"], [right[:-1]], [right, right], [response_to("other", "secret")]):
            self.assertEqual(self.outcome(200, *wrong), "no-consent", wrong)
        self.assertEqual((self.outcome(503), self.outcome(410)), (503, 410))
        self.rules = HealthRules(status=401)
        self.assertEqual((self.outcome(401, right), self.outcome(401)), (401, "no-consent"))


class ChallengeTests(test_upstreams.Case):
    """A probe of an instance with a secret."""

    answers = True

    def respond(self, exchange: Any) -> None:
        fields = []
        nonce = exchange.head.get(CHALLENGE.lower())
        if nonce is not None and self.answers:
            fields.append((RESPONSE, response_to(nonce.decode(), "secret")))
        self.requests.append(nonce)
        exchange.answer(ResponseHead(200, fields, 4), b"pong")

    async def test_challenged(self) -> None:
        nonces = iter(["first", "second"])
        self.upstreams._new_nonce = lambda: next(nonces)
        instance = self.instance()
        instance.secret = "secret"
        self.assertEqual(await self.upstreams.probe(instance), 200)
        self.answers = False
        with self.assertRaises(UpstreamFault) as caught:
            await self.upstreams.probe(instance)
        self.assertEqual(caught.exception.reason, "no-consent")
        self.assertEqual(self.requests, [b"first", b"second"])

    async def test_not_challenged(self) -> None:
        self.assertEqual(await self.upstreams.probe(self.instance()), 200)
        self.assertEqual(self.requests, [None])


class SecureChallengeTests(ChallengeTests):
    """Over HTTP/2, where gRPC would be asked for otherwise."""

    secure = True
    offered = ("h2", "http/1.1")


class KeepAliveTests(SynchronousTestCase):
    def test_a_second_sooner(self) -> None:
        timeouts = UpstreamTimeouts(1.0, 2.0, 3.0, 4.0, 5.0)
        self.assertIs(timeouts.kept_for(None), timeouts)
        self.assertEqual([timeouts.kept_for(keep).idle for keep in (0.5, 2.0, 65.0, 86400.0)], [0.0, 1.0, 60.0, 60.0])
        made = timeouts.kept_for(2.0)
        self.assertEqual((made.connect, made.first_byte, made.read, made.tunnel_idle), (1.0, 2.0, 3.0, 5.0))
