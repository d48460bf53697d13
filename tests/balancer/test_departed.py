"""Tests of `scalekit.balancer.departed`."""

from __future__ import annotations

from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import departed
from scalekit.balancer.departed import KEPT_SECONDS, Departed
from scalekit.balancer.routes import Claim, plan_routes

SHOP = Claim.of("shop", ["shop.example"], "/")
CART = Claim.of("shop", ["shop.example"], "/cart")
BLOG = Claim.of("blog", [], "/blog")


class DepartedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.departed = Departed()

    def test_time(self) -> None:
        """Each for ten minutes from when the last one who claimed it was gone."""
        for claim, now in ((SHOP, 0.0), (BLOG, 10.0), (SHOP, 20.0), (CART, 30.0)):
            self.departed.add(claim, now)
        self.assertEqual(self.departed.items(), [(BLOG, 10.0), (SHOP, 20.0), (CART, 30.0)])
        self.assertEqual((self.departed.left_at("shop"), self.departed.left_at("other")), (30.0, None))
        self.assertEqual(self.departed.next_deadline(), 10.0 + KEPT_SECONDS)
        self.assertFalse(self.departed.expire(9.0 + KEPT_SECONDS))
        self.assertTrue(self.departed.expire(20.0 + KEPT_SECONDS))
        self.assertEqual(self.departed.items(), [(CART, 30.0)])
        self.assertTrue(self.departed.expire(30.0 + KEPT_SECONDS))
        self.assertIsNone(self.departed.next_deadline())

    def test_who_counts(self) -> None:
        """Those of services of which nobody claims anything; never what ``default`` says."""
        for claim in (SHOP, BLOG, Claim.of("default", ["a.example"], "/")):
            self.departed.add(claim, 0.0)
        self.assertEqual(self.departed.claims(()), [SHOP, BLOG])
        self.assertEqual(self.departed.claims({"shop"}), [BLOG])
        self.departed.forget("blog")
        self.assertEqual(self.departed.claims(()), [SHOP])

    def test_routes(self) -> None:
        """Requests for a service that is gone are its own still, until somebody else claims the same."""
        self.departed.add(SHOP, 0.0)
        other = Claim.of("other", ["shop.example"], "/")
        for claimed, service in (([], "shop"), ([other], "other")):
            route = plan_routes((), [*claimed, *self.departed.claims(())]).route(b"shop.example", b"/x")
            assert route is not None
            self.assertEqual(route.service, service)

    def test_limit(self) -> None:
        """The oldest is let go."""
        with patch.object(departed, "CLAIMS_LIMIT", 2):
            for claim, now in ((SHOP, 0.0), (CART, 1.0), (BLOG, 2.0)):
                self.departed.add(claim, now)
        self.assertEqual((self.departed.claims(()), repr(self.departed)), ([CART, BLOG], "<Departed 2>"))
