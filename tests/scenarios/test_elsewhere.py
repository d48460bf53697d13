"""A log service, a balancer and an app server that do not know each other by the loopback: tokens let them in."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.scenarios.daemons import ask
from tests.scenarios.deploying import address_outside
from tests.scenarios.running import Daemon, until

#: Of those who ask for the test; the daemons have the same file.
WRITE, REGISTER = "wwwwwwwwwwwwwwww", "rrrrrrrrrrrrrrrr"


class ElsewhereTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        (self.folder / "tokens").write_text(f"write {WRITE}\nregister:shop {REGISTER}\n")

    def start(self, name: str, **tables: str) -> Daemon:
        """A daemon of this name, with a configuration of its own."""
        config = self.folder / f"{name}.toml"
        config.write_text("".join(f"[{table}]\n{content}\n" for table, content in tables.items()))
        daemon = Daemon(self.folder / name, f"scalekit-{name}", "--config", str(config), "--state-directory", "state")
        self.addCleanup(daemon.clean_up)
        return daemon

    def test_they_let_each_other_in(self) -> None:
        address = address_outside()
        log, private, public, app = (f"http://{address}:{port}" for port in free_ports(4))
        log_client = f'url = "{log}"\ntoken_file = "tokens"'
        collector = self.start("logs", logs=f'listen = ["{log}"]\ntoken_file = "tokens"')
        self.start(
            "balancer",
            balancer=f'listen = ["{public}"]\n[balancer.health]\ninterval = "200ms"',
            registration=f'listen = ["{private}"]\ntoken_file = "tokens"',
            log_client=log_client,
        )
        nobody = "http://127.0.0.1:1"
        blog = f'listen = ["{app}"]\nservice = "shop"\nbalancer = "{private}"\ntoken_file = "tokens"\n'
        self.start("blog", blog=f'{blog}data = "{nobody}"\ncache = "{nobody}"', log_client=log_client)

        def instances() -> list[str]:
            try:
                status, body = ask(f"{private}/v1/services", token=WRITE)
            except OSError:
                return []  # it does not listen yet
            self.assertEqual(status, 200, body)
            services = json.loads(body)["services"]
            return [f"{one['address']} {one['state']}" for each in services for one in each["instances"]]

        until(lambda: instances() == [f"{address} up"], "the app server is registered, and its pings are answered")
        self.assertEqual(ask(f"{private}/v1/services")[0], 401, "without a token")

        def sources() -> set[str]:
            file = collector.state / "logs" / "log.txt"
            lines = file.read_text().splitlines() if file.exists() else []
            return {line.split(";")[2].partition(":")[0] for line in lines}

        until(lambda: sources() >= {"balancer", "blog"}, "entries of both are in the log")
