"""Tests of `scalekit.balancer.listing`: what the private port shows."""

from __future__ import annotations

from scalekit.balancer.instance import Registration
from scalekit.balancer.roster import Endpoint
from tests.balancer.registrars import RegistrarCase


class ListingTests(RegistrarCase):
    """What there is to see."""

    def test_text(self) -> None:
        """``GET /`` shows every service, its routes and its instances."""
        self.ask("/register?port=3000&scheme=http")
        self.clock.advance(5.0)
        answer = self.ask("/")
        self.assertTrue(answer.fields["content-type"].startswith("text/plain"))
        self.assertEqual(
            answer.body.decode(),
            "default  */\n"
            "  http://127.0.0.1:3000  joining for 5 s (registered)  0 in flight\n"
            "shop  shop.example/\n"
            "  no app servers\n",
        )

    def test_text_of_one_with_a_name(self) -> None:
        """A name is no address: it stands beside it."""
        registration = Registration("web-1", Endpoint("http", "127.0.0.1", 3000), 1, 1, 15.0)
        self.roster.enrol("shop", registration, self.clock.seconds())
        line = "  http://127.0.0.1:3000  web-1  joining for 0 s (registered)  0 in flight\n"
        self.assertTrue(self.ask("/").body.decode().endswith(line))

    def test_json(self) -> None:
        """``GET /v1/services`` shows the same to machines, draining ones too."""
        self.ask("/register?port=3000")
        (instance,) = self.roster.instances("default")
        instance.in_flight = 1
        self.ask("/unregister?port=3000")
        for target in ("/v1/services", "/v1/services/"):
            views = self.ask(target).value["services"]
            self.assertEqual([view["name"] for view in views], ["default", "shop"])
        self.assertEqual((views[0]["available"], views[0]["routes"]), (0, ["*/"]))
        (shown,) = views[0]["instances"]
        self.assertEqual((shown["state"], shown["reason"], shown["in_flight"]), ("draining", "unregistered", 1))
        self.assertEqual(self.ask("/v1/services/default").value, views[0])

    def test_missing(self) -> None:
        """What is not there is a 404 in our form, whatever the method."""
        for target in ("/x", "/v1/x", "/v1/services/x", "/v1/services/default/x", "/register/x", "/v1/services/%FF"):
            for method in ("GET", "POST", "PUT"):
                answer = self.ask(target, method)
                self.assertEqual(
                    (answer.status, answer.fields["content-type"]), (404, "application/problem+json"), target
                )
        self.assertEqual(self.ask("/v1/services/x").value["detail"], "There is no service x.")

    def test_methods(self) -> None:
        """Looking is GET and HEAD."""
        for target in ("/", "/v1/services", "/v1/services/shop"):
            self.assertEqual(self.ask(target, "POST").status, 405)
            head = self.ask(target, "HEAD")
            self.assertEqual((head.status, head.body), (200, b""))
