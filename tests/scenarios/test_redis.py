"""Two balancers that share their registrations by a redis-server, which is killed under load and comes back empty."""

from __future__ import annotations

import json
import signal

from tests.redis_server import RedisServer
from tests.scenarios.daemons import Balancer, ScenarioCase, ask
from tests.scenarios.running import until
from tests.scenarios.test_killed import Load


class SharingTests(ScenarioCase):
    def start_sharing(self, redis: RedisServer, name: str) -> Balancer:
        # The last of the tables below [balancer] is followed by one that is not.
        tables = {"health": f'interval = "200ms"\n[redis]\nurl = "{redis.url}"'}
        balancer = Balancer(self.folder / name, (), tables)
        self.addCleanup(balancer.clean_up)
        return balancer

    def put(self, balancer: Balancer, id: str, port: int, generation: int = 1) -> None:
        body = {"generation": generation, "port": port, "scheme": "http", "ttl": 300}
        url = f"{balancer.private_url}/v1/services/default/instances/{id}"
        status, answer = ask(url, "PUT", body=json.dumps(body).encode())
        self.assertIn(status, (200, 201), answer)

    def is_degraded(self, balancer: Balancer) -> bool:
        return b"\nscalekit_registry_degraded 1.0\n" in ask(f"{balancer.private_url}/metrics")[1]

    def test_two_balancers(self) -> None:
        redis = RedisServer()
        self.addCleanup(redis.clean_up)
        one, two = self.start_sharing(redis, "one"), self.start_sharing(redis, "two")
        (first, _), (second, _), (third, _) = (self.start_stock_app() for _ in range(3))

        # Registered at either, served by both.
        one.register(first)
        self.put(two, "second", second)
        for balancer in (one, two):
            balancer.await_up(first, second)

        with Load(one) as load, Load(two) as other_load:
            both = {str(first), str(second)}
            until(lambda: load.since(0) == both and other_load.since(0) == both, "both serve both")

            redis.kill()
            until(lambda: self.is_degraded(one) and self.is_degraded(two), "both say that it is away")
            for balancer in (one, two):
                self.assertEqual(balancer.states(), {first: "up", second: "up"})
                self.assertEqual(ask(f"{balancer.private_url}/readyz")[0], 200)
                self.assertIn("registry-degraded", balancer.stdout)
            # Said to one of them while they cannot tell each other.
            self.put(one, "third", third)
            one.await_up(third)
            self.assertNotIn(third, two.states())
            count = len(load.answers)
            until(lambda: len(load.answers) > count + 100, "requests go on")

            redis.restart()
            two.await_up(first, second, third)
            until(lambda: not self.is_degraded(one) and not self.is_degraded(two), "both have it again")
            self.assertEqual(set(one.states()), set(two.states()))

            # Drained at one, it leaves both.
            url = f"{one.private_url}/v1/services/default/instances/second?generation=1"
            self.assertEqual(ask(url, "DELETE")[0], 200)
            ask(f"{two.private_url}/unregister?port={first}", "POST")
            for balancer in (one, two):
                until(lambda: set(balancer.states()) == {third}, f"drained everywhere: {balancer.states()}")  # noqa: B023
        self.assertEqual([answer for answer in load.answers + other_load.answers if answer[0] != 200], [])
        for balancer in (one, two):
            balancer.send(signal.SIGINT)
            self.assertEqual(balancer.wait(), 0)
            self.assertNotIn("Traceback", balancer.stdout)
            self.assertEqual(balancer.stdout.count("registry-degraded"), 1)
