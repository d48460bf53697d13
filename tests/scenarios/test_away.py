"""
Everything answers 503, as fast as clients can ask: retries must not make a flood of it.

``SCALEKIT_TESTS_REQUESTS=10000`` makes as many requests as ten seconds at 1,000 a second; without it there are fewer.
"""

from __future__ import annotations

import http.client
import os
import threading
from collections import Counter

from scalekit.balancer.retrying import EARNED, LEAST
from tests.ports import free_ports
from tests.scenarios.daemons import ScenarioCase, ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, until

REQUESTS = int(os.environ.get("SCALEKIT_TESTS_REQUESTS", "3000"))
CLIENTS = 8


class AllAwayTests(ScenarioCase):
    def test_attempts_stay_within_the_budget(self) -> None:
        balancer = self.start_balancer()
        ports = free_ports(4)
        for port in ports:
            self.start("-m", "tests.scenarios.away_app", str(port))
        until(lambda: all(map(is_listening, ports)), "the app servers listen")
        for port in ports:
            balancer.register(port)
        balancer.await_up(*ports)

        answers: list[tuple[int, bytes]] = []

        def load() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", balancer.clear, timeout=PATIENCE_SECONDS)
            for _ in range(REQUESTS // CLIENTS):
                connection.request("GET", "/")
                answer = connection.getresponse()
                answers.append((answer.status, answer.read()))
            connection.close()

        threads = [threading.Thread(target=load) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        asked = REQUESTS // CLIENTS * CLIENTS
        self.assertEqual(Counter(answers), {(503, b"away"): asked}, "each gets the last answer as it was")
        attempts = sum(int(ask(f"http://127.0.0.1:{port}/count")[1]) for port in ports)
        self.assertGreater(attempts, asked, "some were tried elsewhere")
        self.assertLessEqual(attempts, asked + LEAST + EARNED * asked)
        until(lambda: len(balancer.access_log()) >= asked, "the access log has all")
        lines = balancer.access_log()
        self.assertEqual(sum(line["attempts"] for line in lines), attempts)
        why = Counter(line["retry"] for line in lines)
        self.assertEqual(sum(why.values()), asked)
        self.assertLessEqual(set(why), {"budget", "attempts", "nobody-else"})
        self.assertGreater(why["budget"], asked // 2)
        # Never more than half of them are taken out for it.
        self.assertLessEqual(list(balancer.states().values()).count("ejected"), 2)
