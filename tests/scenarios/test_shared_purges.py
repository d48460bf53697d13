"""What is purged at one balancer, the other's HTTP cache has no more."""

from __future__ import annotations

import http.client
import json
from collections import Counter

from tests.http_servers import serve
from tests.redis_server import RedisServer
from tests.scenarios.daemons import Balancer, ScenarioCase, ask
from tests.scenarios.running import PATIENCE_SECONDS, until
from tests.scenarios.test_http_cache import App


class SharedPurgesTests(ScenarioCase):
    def start_sharing(self, name: str, app: int) -> Balancer:
        # The last of the tables below [balancer] is followed by one that is not.
        tables = {"http_cache": "enabled = true", "health": f'interval = "200ms"\n[redis]\nurl = "{self.redis.url}"'}
        balancer = Balancer(self.folder / name, [f"http://127.0.0.1:{app}"], tables)
        self.addCleanup(balancer.clean_up)
        balancer.wait_for("scalekit:1:http is shared")
        return balancer

    def test_at_two_balancers(self) -> None:
        self.redis = RedisServer()
        self.addCleanup(self.redis.clean_up)
        App.requests = Counter()
        app = serve(self, App)
        one, two = self.start_sharing("one", app), self.start_sharing("two", app)
        purge = json.dumps({"tags": ["texts"]}).encode()

        def purge_url() -> int:
            return asked(one, "PURGE")[0]

        def purge_tag() -> int:
            return ask(f"{one.private_url}/v1/purge", "POST", body=purge)[0]

        for purged in (purge_url, purge_tag):
            for balancer in (one, two):
                until(lambda: "; hit" in asked(balancer, "GET")[1], "it is kept")  # noqa: B023
            self.assertIn(purged(), (200, 202))
            until(lambda: "fwd=" in asked(two, "GET")[1], "the other asks again")


def asked(balancer: Balancer, method: str) -> tuple[int, str]:
    """Ask once for the page, by the name that both have: status, and what is said of the cache."""
    connection = http.client.HTTPConnection("127.0.0.1", balancer.clear, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, "/page", headers={"Host": "shop.example"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Cache-Status", "")
    finally:
        connection.close()
