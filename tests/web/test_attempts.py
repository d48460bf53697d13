"""How often somebody may get it wrong."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.web.attempts import FORGIVEN_SECONDS, MOST_ADDRESSES, MOST_FAILED, Attempts

HERE = "192.0.2.9"


class AttemptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.attempts = Attempts()

    def fail_all(self, address: str, now: float = 0.0) -> None:
        for _ in range(MOST_FAILED):
            self.assertEqual(self.attempts.wait_seconds(address, now), 0.0)
            must_wait = self.attempts.failed(address, now)
        self.assertTrue(must_wait)

    def test_after_some_it_waits(self) -> None:
        self.fail_all(HERE)
        self.assertEqual(self.attempts.wait_seconds(HERE, 0.0), FORGIVEN_SECONDS)
        self.assertEqual(self.attempts.wait_seconds("192.0.2.10", 0.0), 0.0)
        self.assertEqual(self.attempts.wait_seconds(HERE, FORGIVEN_SECONDS), 0.0)
        self.assertTrue(self.attempts.failed(HERE, FORGIVEN_SECONDS))
        self.assertEqual(self.attempts.wait_seconds(HERE, 1000 * FORGIVEN_SECONDS), 0.0)

    def test_who_gets_it_right_is_forgiven(self) -> None:
        self.fail_all(HERE)
        self.attempts.succeeded(HERE)
        self.fail_all(HERE)
        self.attempts.succeeded("192.0.2.10")

    def test_ipv6(self) -> None:
        """Whoever has a network has all of its addresses."""
        self.fail_all("2001:db8:0:1::1")
        self.assertGreater(self.attempts.wait_seconds("2001:db8:0:1:ffff::2", 0.0), 0.0)
        self.assertEqual(self.attempts.wait_seconds("2001:db8:0:2::1", 0.0), 0.0)
        self.fail_all("fe80::1%eth0")
        self.fail_all("no address")

    def test_bounded(self) -> None:
        self.fail_all(HERE)
        for number in range(MOST_ADDRESSES):
            self.attempts.failed(f"10.0.{number // 256}.{number % 256}", 0.0)
        self.assertEqual(repr(self.attempts), f"<Attempts of {MOST_ADDRESSES} addresses>")
