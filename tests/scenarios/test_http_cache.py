"""The balancer with its HTTP cache on, over real sockets."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from tests.http_servers import Answers, serve
from tests.scenarios.daemons import Balancer, ScenarioCase, ask
from tests.scenarios.running import PATIENCE_SECONDS, until

CLIENTS = 20


class App(Answers):
    """``/slow`` and ``/mine`` wait until they may answer; all are texts that compress well, to be kept for a minute."""

    requests: Counter[str]
    may_answer: threading.Event

    def do_GET(self) -> None:
        self.requests[self.path] += 1
        if self.path in ("/slow", "/mine"):
            self.may_answer.wait(PATIENCE_SECONDS)
        body = f"{self.path} {self.requests[self.path]} ".encode() * 200
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "private" if self.path in ("/private", "/mine") else "max-age=60")
        self.send_header("Cache-Groups", '"texts"')
        self.end_headers()
        self.wfile.write(body)


class HTTPCacheTests(ScenarioCase):
    def setUp(self) -> None:
        super().setUp()
        App.requests, App.may_answer = Counter(), threading.Event()
        app = serve(self, App)
        self.balancer = self.start_balancer([f"http://127.0.0.1:{app}"], http_cache="enabled = true")
        until(lambda: self.get("/first")[0] == 200, "the app server is up")

    def get(
        self, path: str, accepted: str = "identity", method: str = "GET", cookie: str = ""
    ) -> tuple[int, str, bytes]:
        """Status, what is said of the cache, and the body."""
        return asked(self.balancer, path, accepted, method, cookie)

    def test_what_people_see_of_it(self) -> None:
        for _ in range(CLIENTS):
            status, said, body = self.get("/page")
        self.assertEqual((status, body[:8], App.requests["/page"]), (200, b"/page 1 ", 1))
        self.assertTrue(said.startswith("scalekit; hit; ttl="), said)
        # Each coded form is made once, and kept beside the other.
        forms = [self.get("/page", "br, gzip")[2], self.get("/page", "gzip;q=0.5, br")[2]]
        self.assertEqual(forms[0], forms[1])
        self.assertNotEqual(forms[0], body)
        self.assertEqual(App.requests["/page"], 2)
        # Asked about, it is not asked for.
        question = f"{self.balancer.private_url}/v1/explain?url={self.balancer.url('/page', False)}"
        told = json.loads(ask(question)[1])["cache"]
        self.assertEqual((told["decision"], App.requests["/page"]), ("hit", 2), told)
        self.assertIn("fwd=", self.get("/private")[1])
        self.assertIn("fwd=", self.get("/private")[1])

        self.assertEqual(self.get("/page", method="PURGE")[0], 200)
        self.assertEqual(self.get("/page")[2][:8], b"/page 3 ")
        purge = json.dumps({"tags": ["texts"]}).encode()
        status, _ = ask(f"{self.balancer.private_url}/v1/purge", "POST", body=purge)
        self.assertEqual(status, 200)
        self.assertEqual(self.get("/page")[2][:8], b"/page 4 ")

        metrics = ask(f"{self.balancer.private_url}/metrics")[1].decode()
        found = {
            sample.labels["result"]: sample.value
            for family in text_string_to_metric_families(metrics)
            for sample in family.samples
            if sample.name == "scalekit_http_cache_requests_total"
        }
        self.assertEqual(found["hit"], CLIENTS)
        until(
            lambda: {line.get("cache") for line in self.balancer.access_log()} == {"hit", "miss", None}, "the log tells"
        )

    def test_cold_clients_are_one_request(self) -> None:
        heard: list[bytes] = []
        threads = [threading.Thread(target=lambda: heard.append(self.get("/slow")[2])) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        until(lambda: App.requests["/slow"] == 1, "the app server was asked")
        App.may_answer.set()
        for thread in threads:
            thread.join()
        self.assertEqual((len(heard), set(heard), App.requests["/slow"]), (CLIENTS, {b"/slow 1 " * 200}, 1))

    def test_users_do_not_wait_for_each_others_answers(self) -> None:
        heard: list[str] = []

        def ask_as(user: int) -> None:
            heard.append(self.get("/mine", cookie=f"user={user}")[1])

        threads = [threading.Thread(target=ask_as, args=(user,)) for user in range(CLIENTS)]
        for thread in threads:
            thread.start()
        until(lambda: App.requests["/mine"] == CLIENTS, "the app server was asked by all, and has answered nobody")
        App.may_answer.set()
        for thread in threads:
            thread.join()
        self.assertEqual(heard, ['scalekit; fwd=uri-miss; detail="private"'] * CLIENTS)


def asked(balancer: Balancer, path: str, accepted: str, method: str, cookie: str) -> tuple[int, str, bytes]:
    """Ask once, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", balancer.clear, timeout=PATIENCE_SECONDS)
    try:
        headers = {"Accept-Encoding": accepted} | ({"Cookie": cookie} if cookie else {})
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Cache-Status", ""), answer.read()
    finally:
        connection.close()
