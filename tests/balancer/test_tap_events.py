"""``twistd scalekit-balancer``: what its registration port tells as it happens, and over its ends."""

from __future__ import annotations

import http.client
import json
from typing import Any

from tests.balancer import test_tap
from tests.twistd import ask


class EventTests(test_tap.BalancerCase):
    def read_event(self, stream: http.client.HTTPResponse) -> dict[str, Any]:
        """The next event with data."""
        found: dict[str, Any] = {}
        while True:
            line = stream.readline().decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "data":
                found |= json.loads(value)
            elif name:
                found[name] = value
            elif "after" in found or "detail" in found:
                return found

    def test_a_stream_of_changes_that_ends_when_the_balancer_does(self) -> None:
        self.configure(self.app_server())
        process = self.run_balancer()
        private = self.client(self.private, self.ca)
        private.request("GET", "/v1/events")
        stream = private.getresponse()
        self.assertEqual((stream.status, stream.getheader("Content-Type")), (200, "text/event-stream"))
        other = self.client(self.private, self.ca)
        body = json.dumps({"generation": 1, "port": 1, "scheme": "http"})
        other.request("PUT", "/v1/services/shop/instances/a", body)
        answer = other.getresponse()
        self.assertEqual(answer.status, 201, answer.read())
        answer.read()
        event = self.read_event(stream)
        while event["service"] != "shop":
            event = self.read_event(stream)
        self.assertEqual((event["event"], event["after"], event["reason"]), ("transition", "joining", "registered"))
        answer, numbers = ask(other, "/metrics")
        self.assertIn(b'scalekit_instances{service="shop",state="joining"} 1.0', numbers)
        self.end(process, keeps_connections=True)
        stream.read()

    def test_who_was_registered_is_there_after_a_restart(self) -> None:
        """Killed without a word: who has registered with a lease and who has not are asked at once, and are up."""
        url = self.app_server()
        port = int(url.rpartition(":")[2])
        self.configure("http://127.0.0.1:1")
        process = self.run_balancer()
        private = self.client(self.private, self.ca)
        private.request(
            "PUT", "/v1/services/shop/instances/a", json.dumps({"generation": 1, "port": port, "scheme": "http"})
        )
        self.assertEqual(private.getresponse().read()[:1], b"{")
        self.assertEqual(ask(private, f"/register?port={port}&service=blog&scheme=http", "POST")[0].status, 200)

        def states() -> dict[str, str]:
            client = self.client(self.private, self.ca)
            views = json.loads(ask(client, "/v1/services")[1])["services"]
            return {view["name"]: one["state"] for view in views for one in view["instances"]}

        self.eventually(lambda: states() | {"default": ""} == {"default": "", "shop": "up", "blog": "up"})
        self.eventually(lambda: (self.state / "registry.json").read_bytes().count(b'"was_well":true') == 2)
        process.kill()
        process.wait()
        process = self.run_balancer()
        self.eventually(lambda: states() | {"default": ""} == {"default": "", "shop": "up", "blog": "up"})
        self.assertIn("2 app servers are back from", self.said())
        self.assertIn("joining -> suspect: from the snapshot", self.said())
        self.end(process)
