"""
The keep-alive race: an app server closes an idle connection just as the balancer uses it again.

``SCALEKIT_TESTS_REQUESTS=10000`` makes as many requests as the promise is about; without it there are fewer.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import threading
import time

from tests.ports import free_ports
from tests.scenarios.closing_app import BODY
from tests.scenarios.daemons import Balancer, ScenarioCase, ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, until

REQUESTS = int(os.environ.get("SCALEKIT_TESTS_REQUESTS", "2000"))
CLIENTS = 8


class Clients:
    """
    Ask ``count`` times in all, with pauses as long as the app server's patience.

    :ivar answers: path and status of each request.
    """

    def __init__(self, balancer: Balancer, method: str, count: int) -> None:
        self._port = balancer.clear
        self._method = method
        self.answers: dict[str, int] = {}
        threads = [threading.Thread(target=self._ask, args=(number, count // CLIENTS)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask(self, client: int, count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
        for number in range(count):
            path = f"/{self._method}/{client}/{number}"
            connection.request(self._method, path, BODY if self._method == "POST" else None)
            answer = connection.getresponse()
            body = answer.read()
            self.answers[path] = answer.status
            assert answer.status != 200 or body == path.encode(), body
            time.sleep(random.random() * 0.01)
        connection.close()


class ClosedAsUsedTests(ScenarioCase):
    def test_no_get_fails_and_no_post_is_done_twice(self) -> None:
        balancer = self.start_balancer()
        (port,) = free_ports(1)
        self.start("-m", "tests.scenarios.closing_app", str(port))
        until(lambda: is_listening(port), "the app server listens")
        balancer.register(port)
        balancer.await_up(port)

        gets = Clients(balancer, "GET", REQUESTS).answers
        self.assertEqual(len(gets), REQUESTS // CLIENTS * CLIENTS)
        self.assertEqual({path: status for path, status in gets.items() if status != 200}, {})

        posts = Clients(balancer, "POST", REQUESTS // 4).answers
        counts = json.loads(ask(balancer.url("/counts", is_secure=False))[1])
        done = counts["posts"]
        self.assertEqual({path: times for path, times in done.items() if times > 1}, {})
        # One that was on its way as the connection was closed may or may not have been done: only the client can know.
        self.assertLessEqual(set(posts.values()), {200, 502})
        self.assertEqual([path for path, status in posts.items() if status == 200 and path not in done], [])
        failed = [path for path, status in posts.items() if status == 502]
        self.assertLess(len(failed), len(posts) // 4)

        # It was as hard as it should be.
        self.assertGreater(counts["connections"], len(gets) // 20)
        metrics = ask(f"{balancer.private_url}/metrics")[1].decode()
        (replays,) = re.findall(r'^scalekit_replays_total{service="default"} (\S+)', metrics, re.MULTILINE)
        self.assertGreater(float(replays), 0)
        until(lambda: len(balancer.access_log()) > len(gets) + len(posts), "the access log has all")
        lines = [line for line in balancer.access_log() if line["target"] in failed]
        self.assertEqual({(line["reason"], line["retry"]) for line in lines} - {("connection-closed", "method")}, set())
        self.assertEqual(balancer.states(), {port: "up"})
