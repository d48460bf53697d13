"""``twistd scalekit-balancer``: SIGHUP while requests go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading

from tests.balancer import test_tap
from tests.ports import free_port
from tests.twistd import ask


class SwapTests(test_tap.BalancerCase):
    def configure_services(self, *names: str, listen: int | None = None) -> None:
        """Each at the path of its name, with the one app server."""
        self.configure(self.server)
        head = self.config.read_text().partition("[[balancer.service]]")[0]
        if listen is not None:
            head = head.replace(f":{self.public}", f":{listen}")
        services = "".join(
            f'[[balancer.service]]\nname = "{name}"\npath = "/{name}"\nservers = ["{self.server}"]\n' for name in names
        )
        fresh = self.state / "fresh"
        rest = (
            f'[balancer.health]\ninterval = "200ms"\n[balancer.compression]\nenabled = {json.dumps(listen is None)}\n'
        )
        fresh.write_text(f"{head}{services}{rest}")
        fresh.rename(self.config)

    def hang_up(self, process: subprocess.Popen[bytes]) -> None:
        os.kill(process.pid, signal.SIGHUP)

    def test_a_client_of_another_service_sees_nothing_of_it(self) -> None:
        self.server = self.app_server()
        self.configure_services("a", "b")
        process = self.run_balancer()
        busy, other = self.client(self.public, self.ca), self.client(self.public, self.ca)
        self.eventually(lambda: ask(busy, "/a")[0].status == ask(other, "/b")[0].status == 200)
        place = busy.sock.getsockname()
        seen: list[int] = []
        has_seen_enough = threading.Event()

        def load() -> None:
            while not has_seen_enough.is_set():
                try:
                    seen.append(ask(busy, "/a")[0].status)
                except OSError:
                    seen.append(0)

        loading = threading.Thread(target=load)
        loading.start()
        try:
            self.configure_services("a", "c", listen=free_port())
            self.hang_up(process)
            self.eventually(lambda: ask(other, "/c")[0].status == 200)
            self.assertEqual(ask(other, "/b")[0].status, 503)
            count = len(seen)
            self.eventually(lambda: len(seen) > count)
        finally:
            has_seen_enough.set()
            loading.join()
        self.assertEqual((set(seen), busy.sock.getsockname()), ({200}, place))
        private = self.client(self.private, self.ca)
        view = json.loads(ask(private, "/v1/services")[1])
        self.assertEqual([one["name"] for one in view["services"] if one["instances"]], ["a", "c"])
        self.assertIn(b'scalekit_reloads_total{outcome="done"} 1.0', ask(private, "/metrics")[1])
        events = json.loads(ask(private, "/v1/overview")[1])["events"]
        [told] = [event["detail"] for event in events if event["event"] == "configuration"]
        self.assertEqual(told, "services added: c; services removed: b; keys changed: balancer.compression.enabled")
        said = self.end(process)
        self.assertIn(f"all services configuration: {told}", said)
        self.assertIn("-> draining: no longer configured", said)
        self.assertIn("needs a restart: balancer.listen", said)
