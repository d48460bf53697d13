"""Tests of `scalekit.balancer.policies`."""

from __future__ import annotations

from math import inf
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.picking.affinity import Hash
from scalekit.balancer.picking.chance import Random
from scalekit.balancer.picking.load import LeastRequests
from scalekit.balancer.picking.turns import RoundRobin
from scalekit.balancer.policies import Policies, Terms
from scalekit.config.model import Balancer, Limits, Service

KEY = b"k" * 32


class PoliciesTests(SynchronousTestCase):
    def policies(self, *services: Service, **keys: Any) -> Policies:
        return Policies(Balancer(service=services, **keys), lambda: 0.5, lambda head, client: client.address, KEY)

    def test_a_service_without_servers_or_without_configuration(self) -> None:
        """Apps register into both; what is not said is said by ``[balancer]``."""
        policies = self.policies(
            Service(name="shop", algorithm="hash", max_in_flight=4, sticky=True, max_body_bytes=5),
            algorithm="random",
            hash_on="path",
            limits=Limits(max_body_bytes=9),
        )
        self.assertEqual(policies.terms("shop"), Terms("hash", "path", 4, "", 5))
        self.assertEqual(policies.terms("blog"), Terms("random", "path", inf, None, 9))
        shop, blog = policies.traffic("shop"), policies.traffic("blog")
        self.assertIsInstance(shop.picker, Hash)
        self.assertIsInstance(blog.picker, Random)
        self.assertEqual((repr(shop.sticky), blog.sticky, shop.most), ("<Sticky scalekit-shop>", None, 4))
        self.assertEqual((shop.max_body_bytes, blog.max_body_bytes), (5, 9))

    def test_what_is_said_otherwise_counts_at_once_and_all_else_goes_on(self) -> None:
        policies = self.policies(Service(name="shop", sticky=True), Service(name="blog"), algorithm="round-robin")
        shop, blog, free = present = [policies.traffic(name) for name in ("shop", "blog", "free")]
        pickers = [one.picker for one in present]
        sticky, lines = shop.sticky, [one.line for one in present]
        policies.adopt(
            Balancer(
                service=(
                    Service(name="shop", sticky=True, max_in_flight=7),
                    Service(name="blog", sticky=True, sticky_cookie="b", algorithm="least-requests"),
                )
            ),
            KEY,
            {"shop": shop, "blog": blog, "free": free},
        )
        self.assertEqual([shop.picker, free.picker], [pickers[0], pickers[2]])
        self.assertIsInstance(blog.picker, LeastRequests)
        self.assertEqual((shop.sticky, shop.most, repr(blog.sticky)), (sticky, 7, "<Sticky b>"))
        self.assertEqual([one.line for one in present], lines)
        policies.adopt(Balancer(hash_on="path", algorithm="hash"), KEY, {"shop": shop, "free": free})
        self.assertEqual((shop.sticky, shop.most), (None, inf))
        self.assertIsInstance(free.picker, Hash)
        self.assertIsInstance(policies.traffic("blog").picker, Hash)

    def test_defaults(self) -> None:
        self.assertIsInstance(self.policies().traffic("default").picker, RoundRobin)
