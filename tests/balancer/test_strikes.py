"""What requests meet is told of the instance: `scalekit.balancer.proxy` and `scalekit.balancer.roster` together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.instance import State
from tests.balancer.proxied import Proxied

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
ERROR = b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n"
ODD = b"HTTP/1.1 505 Odd\r\nContent-Length: 0\r\n\r\n"
STREAMED = b"HTTP/1.1 503 Bad\r\nTransfer-Encoding: chunked\r\n\r\n"


def gateway(status: int) -> bytes:
    return b"HTTP/1.1 %d Bad\r\nContent-Length: 0\r\n\r\n" % status


class StrikeTests(SynchronousTestCase):
    """One app server, or two, that are up."""

    def proxied(self, count: int) -> Proxied:
        it = Proxied(count)
        for instance in it.instances:
            for _ in range(2):
                it.roster.probed(instance, 200, "", 0.0)
        return it

    def strikes(self, *answers: bytes) -> list[int]:
        """The strikes of the one app server after each of its answers."""
        it = self.proxied(1)
        found = []
        for answer in answers:
            it.says(GET)
            if len(it.app.attempts) == 0 or it.app.attempts[-1].wire is None:
                it.accepts()
            it.answers(answer)
            found.append(it.instances[0].strikes)
        return found

    def test_answers_of_a_gateway_count_until_one_goes_well(self) -> None:
        bad = [gateway(status) for status in (502, 503, 504)]
        self.assertEqual(self.strikes(*bad, ERROR, bad[0]), [1, 2, 3, 0, 1])
        self.assertEqual(self.strikes(bad[0], ODD), [1, 0])

    def test_as_soon_as_the_head_is_there(self) -> None:
        self.assertEqual(self.strikes(STREAMED), [1])

    def test_malformed_answers_timeouts_and_refused_connects_count(self) -> None:
        it = self.proxied(1)
        it.says(GET)
        it.accepts()
        it.answers(b"NONSENSE\r\n\r\n")
        self.assertEqual(it.instances[0].strikes, 1)
        it = self.proxied(1)
        it.says(GET)
        it.accepts()
        it.waits(31)
        self.assertEqual(it.instances[0].strikes, 1)
        it = self.proxied(1)
        it.says(GET)
        it.refuses()
        self.assertEqual(it.instances[0].strikes, 1)

    def test_a_kept_connection_that_just_closes_does_not(self) -> None:
        it = self.proxied(1)
        it.says(GET)
        it.accepts()
        it.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        it.says(GET)
        it.closes()
        self.assertEqual(it.instances[0].strikes, 0)

    def test_five_take_it_out(self) -> None:
        it = self.proxied(2)
        for _ in range(20):
            if it.instances[0].state is State.EJECTED:
                break
            it.says(POST)
            if it.app is it.apps[0]:
                it.refuses()
            it.app.accepts()
            it.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.assertIs(it.instances[0].state, State.EJECTED)
        self.assertIn("connect-refused", it.instances[0].reason)
        self.assertEqual((it.instances[1].state, it.instances[1].strikes), (State.UP, 0))
        self.assertEqual(it.roster.available("default"), (it.instances[1],))
