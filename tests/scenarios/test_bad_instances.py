"""
App servers that pass their probes and answer badly, each kind beside one that is well: what their clients get, how they
are found out, and that nobody else's clients notice.

What they cost others in time is measured by ``python -m bench.neighbours``.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from typing import NamedTuple

from tests.ports import free_ports
from tests.scenarios.bad_app import KINDS
from tests.scenarios.daemons import Balancer, ScenarioCase, ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, until
from tests.scenarios.test_killed import Load

#: Of each kind: five in a row take it out, and each second one goes to the other.
REQUESTS = 14


class Treatment(NamedTuple):
    """
    What becomes of an answer.

    :ivar status: in the access log, with its ``reason``.
    :ivar retry: why it was not sent elsewhere; None: it was.
    :ivar ejected: what is told when five in a row have taken it out; None: answers that begin well do not.
    """

    status: int
    reason: str
    retry: str | None
    ejected: str | None


TREATMENTS = {
    "hung": Treatment(504, "answer-timeout", "timeout", "answer-timeout"),
    "slow": Treatment(504, "answer-timeout", "answer-begun", "answer-timeout"),
    "garbage": Treatment(502, "malformed-answer", "answer-begun", "malformed-answer"),
    "short": Treatment(502, "malformed-answer", "answer-begun", "malformed-answer"),
    "long": Treatment(200, "answer-cut", "answer-begun", None),
    "broken": Treatment(200, "answer-cut", "answer-begun", None),
    "mute": Treatment(200, "", None, "connection-closed"),
}


class Clients:
    """
    Ask for ``/KIND/number``, one after the other.

    :ivar got: for each path the status of a whole answer, or 0 if it was cut.
    """

    def __init__(self, balancer: Balancer, kind: str) -> None:
        self._port = balancer.clear
        self._kind = kind
        self.got: dict[str, int] = {}
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for number in range(REQUESTS):
            path = f"/{self._kind}/{number}"
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_SECONDS)
            connection.request("GET", path)
            answer = connection.getresponse()
            try:
                body = answer.read()
                assert answer.status != 200 or body.endswith(f" {path}\n".encode()), body
                self.got[path] = answer.status
            except (http.client.IncompleteRead, ConnectionError):
                self.got[path] = 0
            connection.close()


def members(balancer: Balancer) -> set[tuple[str, int, str]]:
    """Service, port and state of every instance."""
    services = json.loads(ask(f"{balancer.private_url}/v1/services")[1])["services"]
    return {(service["name"], one["port"], one["state"]) for service in services for one in service["instances"]}


class BadInstanceTests(ScenarioCase):
    def test_each_kind(self) -> None:
        balancer = self.start_balancer(timeouts='first_byte = "500ms"', health='interval = "200ms"\ntimeout = "500ms"')
        good, _ = self.start_stock_app()
        ports = dict(zip(KINDS, free_ports(len(KINDS)), strict=True))
        self.start("-m", "tests.scenarios.bad_app", *map(str, ports.values()))
        until(lambda: all(map(is_listening, ports.values())), "the app servers listen")
        balancer.register(good)
        for kind, port in ports.items():
            for each in (good, port):
                query = f"port={each}&scheme=http&service={kind}&path=/{kind}"
                self.assertEqual(ask(f"{balancer.private_url}/register?{query}", "POST")[0], 200)
        # The good one in each of the services: it is probed for each.
        all_up = {(kind, port, "up") for kind, bad in ports.items() for port in (good, bad)} | {("default", good, "up")}
        until(lambda: all_up <= members(balancer), "all are up")

        with Load(balancer) as load:
            clients = {kind: Clients(balancer, kind) for kind in KINDS}
            for one in clients.values():
                one.thread.join()
        # Nobody else has noticed.
        self.assertGreater(len(load.answers), 100)
        self.assertEqual({(status, whose) for status, whose, *_ in load.answers}, {(200, str(good))})

        asked = len(load.answers) + REQUESTS * len(KINDS)
        until(lambda: len(balancer.access_log()) >= asked, "the access log has all")
        lines = {line["target"]: line for line in balancer.access_log()}
        log = balancer.stdout
        for kind, port in ports.items():
            treatment = TREATMENTS[kind]
            got = clients[kind].got
            self.assertEqual(len(got), REQUESTS, kind)
            bad = [path for path in got if lines[path]["instance"] == f"127.0.0.1:{port}"]
            if treatment.retry is None:
                self.assertEqual(bad, [], kind)
                bad = [path for path in got if lines[path]["attempts"] == 2]
            told = {(lines[path]["status"], lines[path]["reason"], lines[path].get("retry")) for path in bad}
            self.assertEqual(told, {treatment[:3]}, kind)
            # The client has been told the same, and takes no part for the whole.
            expected = 0 if treatment.reason == "answer-cut" else treatment.status
            self.assertEqual({path: expected if path in bad else 200 for path in got}, got, kind)
            ejections = re.findall(
                rf"<{kind}@127.0.0.1:{port} up -> ejected: 5 requests failed in a row: ([\w-]+);", log
            )
            self.assertEqual(ejections[:1], [treatment.ejected] if treatment.ejected else [], kind)
            self.assertGreaterEqual(len(bad), 5, kind)

        # And as soon as their probes are answered like that.
        for port in ports.values():
            self.assertEqual(ask(f"http://127.0.0.1:{port}/turn")[0], 200)
        balancer.await_states(dict.fromkeys(ports.values(), "down"))
        found = {kind: balancer.instances()[port]["reason"] for kind, port in ports.items()}
        self.assertEqual({kind for kind, reason in found.items() if reason.startswith("3 probes failed: ")}, set(KINDS))
        for kind in KINDS:
            self.assertEqual(ask(balancer.url(f"/{kind}/last", False)), (200, f"{good} /{kind}/last\n".encode()))
        self.assertEqual(balancer.states()[good], "up")
        self.assertNotIn("Traceback", balancer.stdout)
