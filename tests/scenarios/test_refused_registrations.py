"""
Registrations that would turn the balancer against somebody else, or against itself: each is refused, with a status, a
reason and one line in the log, and nobody is registered.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
from typing import Any, NamedTuple

from twisted.trial.unittest import SkipTest

from scalekit.net.addresses import interface_addresses
from tests.ports import free_ports
from tests.scenarios.daemons import ScenarioCase
from tests.scenarios.running import PATIENCE_SECONDS, Daemon, is_listening, until

REGISTER, OPERATOR = "r" * 16, "o" * 16
A = "/v1/services/shop/instances/a"


class Row(NamedTuple):
    """What is asked, and what comes of it."""

    status: int
    reason: str
    method: str
    target: str
    body: Any = None
    token: str = ""


def put(status: int, reason: str, address: str | None = None, port: int = 3000, token: str = "", **more: Any) -> Row:
    """Somebody registers an address."""
    said = {"generation": 1, "port": port, **more}
    return Row(status, reason, "PUT", A, said if address is None else said | {"address": address}, token)


class RefusedTests(ScenarioCase):
    def start_all(self, host: str) -> None:
        """A balancer that can be reached at this address: its public port, and the one for registrations."""
        self.public, self.private = free_ports(2)
        (self.folder / "tokens").write_text(f"register:shop {REGISTER}\noperator {OPERATOR}\n")
        (self.folder / "tokens").chmod(0o600)
        (self.folder / "scalekit.toml").write_text(
            f"""[balancer]
listen = ["http://0.0.0.0:{self.public}"]
[registration]
listen = ["https://{host}:{self.private}"]
token_file = "{self.folder}/tokens"
"""
        )
        self.daemon = Daemon(
            self.folder,
            "scalekit-balancer",
            "--config",
            "scalekit.toml",
            "--state-directory",
            str(self.folder / "state"),
        )
        self.addCleanup(self.daemon.clean_up)
        until(lambda: is_listening(self.public), "the balancer listens")  # it is the last to
        context = ssl.create_default_context(cafile=self.folder / "state" / "tls" / "ca.pem")
        context.check_hostname = False  # our certificates are for addresses of private networks, this may be another
        self.connection = http.client.HTTPSConnection(host, self.private, timeout=PATIENCE_SECONDS, context=context)
        self.addCleanup(self.connection.close)

    def ask(self, row: Row) -> tuple[int, Any]:
        body = None if row.body is None else json.dumps(row.body).encode()
        fields = {"Accept": "application/json"} | ({"Authorization": f"Bearer {row.token}"} if row.token else {})
        self.connection.request(row.method, row.target, body, fields)
        answer = self.connection.getresponse()
        said = json.loads(answer.read())
        if answer.status >= 400:
            self.assertEqual(answer.getheader("content-type"), "application/problem+json")
            self.assertEqual(said["status"], answer.status)
            self.assertTrue(said["detail"])
        return answer.status, said.get("reason")

    def check(self, rows: list[Row]) -> None:
        """All of them, and the lines of the log that tell of them, in the same order."""
        for row in rows:
            self.assertEqual(self.ask(row), row[:2], row)
        lines = re.findall(r"warn .*refused (\w+) '([^']*)' of ([\w.:]+): ([\w-]+): ", self.daemon.stdout)
        self.assertEqual([(line[0], line[1], line[3]) for line in lines], [(row[2], row[3], row[1]) for row in rows])

    def test_from_this_machine(self) -> None:
        self.start_all("127.0.0.1")
        self.assertEqual(self.ask(put(201, "", generation=5)), (201, "registered"))
        self.check(
            [
                put(403, "link-local", "169.254.169.254", 80),
                put(403, "link-local", "::ffff:169.254.169.254", 80),
                put(403, "link-local", "169.254.169.254", 80, OPERATOR),
                put(403, "not-literal", "localhost"),
                put(403, "not-literal", "shop.example", token=OPERATOR),
                put(403, "own-listener", None, self.private),
                put(403, "own-listener", "::ffff:127.0.0.1", self.private),
                put(403, "own-listener", "127.0.0.9", self.public),  # which listens on every address
                put(403, "own-listener", "::ffff:127.0.0.1", self.public, OPERATOR),
                Row(403, "own-listener", "POST", f"/register?port={self.public}"),
                Row(403, "own-listener", "GET", f"/register?port={self.private}"),
                put(403, "foreign", "192.0.2.77"),
                put(403, "token-scope", token=REGISTER)._replace(target=A.replace("shop", "blog")),
                put(409, "stale-generation", generation=4),
                Row(409, "stale-generation", "POST", f"{A}/renew?generation=4"),
                Row(409, "stale-generation", "DELETE", f"{A}?generation=4"),
            ]
        )
        status, _ = self.ask(Row(200, "", "GET", A))
        self.assertEqual(status, 200)
        self.assertEqual(len(re.findall("none -> joining", self.daemon.stdout)), 1)

    def test_from_another_address(self) -> None:
        """One of this machine's own, which is none of loopback."""
        host = next((str(one) for one in interface_addresses() if one.version == 4 and not one.is_loopback), None)
        if host is None:
            raise SkipTest("this machine has no address but loopback")
        self.start_all(host)
        self.check(
            [
                put(403, "loopback", "127.0.0.1", token=REGISTER),
                put(403, "loopback", "::ffff:127.0.0.1", token=OPERATOR),
                put(403, "foreign", "192.0.2.77", token=REGISTER),
                put(403, "own-listener", host, self.private, REGISTER),
                put(403, "own-listener", f"::ffff:{host}", self.public, OPERATOR),
                Row(403, "own-listener", "POST", f"/register?port={self.public}&service=shop", None, REGISTER),
                put(403, "consent", consent=False, token=REGISTER),
                Row(403, "consent", "POST", "/register?port=3999&service=shop", None, REGISTER),
            ]
        )
        self.assertEqual(self.ask(put(401, "", host))[0], 401)
        self.assertEqual(self.ask(put(201, "", "192.0.2.77", token=OPERATOR))[0], 201)
        self.assertEqual(len(re.findall("none -> joining", self.daemon.stdout)), 1)
