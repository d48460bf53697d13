"""``twistd scalekit-balancer``: an app server that says it is well and is not, among others, and alone."""

from __future__ import annotations

import json
from typing import Any

from tests.balancer import test_tap
from tests.http_servers import serve
from tests.twistd import ask


class Failing(test_tap.AppServer):
    """Well by its own word."""

    def do_GET(self) -> None:
        is_ping = self.path == "/ping"
        self.send_response(200 if is_ping else 503)
        # Not asked for elsewhere, so that the client sees it.
        self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Ill(test_tap.AppServer):
    """Not well by its own word."""

    def do_GET(self) -> None:
        self.send_response(500 if self.path == "/ping" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()


class StateTests(test_tap.BalancerCase):
    def register(self, id: str, port: int) -> None:
        private = self.client(self.private, self.ca)
        private.request(
            "PUT",
            f"/v1/services/default/instances/{id}",
            json.dumps({"generation": 1, "port": port, "scheme": "http", "ttl": 300}),
        )
        answer = private.getresponse()
        self.assertEqual(answer.status, 201, answer.read())

    def service(self) -> Any:
        return json.loads(ask(self.client(self.private, self.ca), "/v1/services/default")[1])

    def states(self) -> dict[str, str]:
        return {one["id"]: one["state"] for one in self.service()["instances"] if not one["static"]}

    def start_balancer(self) -> None:
        self.configure("http://127.0.0.1:1")
        self.config.write_text(self.config.read_text().replace('servers = ["http://127.0.0.1:1"]', 'name = "default"'))
        self.run_balancer()

    def test_one_of_two_that_fails_every_request_is_out(self) -> None:
        self.start_balancer()
        self.register("good", serve(self, test_tap.AppServer))
        self.register("bad", serve(self, Failing))
        self.eventually(lambda: self.states() == {"good": "up", "bad": "up"})
        client = self.client(self.public, self.ca)
        failed = 0
        while self.states()["bad"] == "up":
            failed += ask(client, "/")[0].status == 503
        self.assertEqual((failed, self.states()), (5, {"good": "up", "bad": "ejected"}))
        self.assertEqual({ask(client, "/")[0].status for _ in range(20)}, {200})
        self.assertIn("5 requests failed in a row: answered 503; out for 10 s", self.said())

    def test_one_alone_that_is_ill_is_asked_all_the_same(self) -> None:
        self.start_balancer()
        self.register("ill", serve(self, Ill))
        self.eventually(lambda: self.states() == {"ill": "down"})
        self.assertTrue(self.service()["panic"])
        self.assertEqual(ask(self.client(self.public, self.ca), "/")[0].status, 200)
