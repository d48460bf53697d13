"""
A balancer and its app servers as processes, for tests that block: nothing of theirs runs in the test's own process.

::

    balancer = self.start_balancer(timeouts='first_byte = "1s"')
    port, _ = self.start_stock_app()
    balancer.register(port)
    balancer.await_up(port)
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.scenarios.running import CHECKOUT, PATIENCE_SECONDS, Daemon, until


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def ask(
    url: str, method: str = "GET", ca: Path | None = None, body: bytes | None = None, token: str = ""
) -> tuple[int, bytes]:
    """Ask once, on a connection of its own: status and body."""
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=ca)
        connection = http.client.HTTPSConnection(parts.netloc, timeout=PATIENCE_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE_SECONDS)
    try:
        fields = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request(method, f"{parts.path or '/'}?{parts.query}", body, fields)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Balancer(Daemon):
    """
    A running ``twistd scalekit-balancer``.

    :ivar secure: port of its https listener; ``clear``: of the other; ``private``: of registration, in clear.
    :ivar ca: what clients trust.
    """

    def __init__(self, directory: Path, servers: Sequence[str], tables: Mapping[str, str]) -> None:
        self.secure, self.clear, self.private = ports = free_ports(3)
        listed = ", ".join(f'"{server}"' for server in servers)
        text = f'[balancer]\nlisten = ["https://127.0.0.1:{self.secure}", "http://127.0.0.1:{self.clear}"]\n'
        text += f'[registration]\nlisten = ["http://127.0.0.1:{self.private}"]\n'
        text += f'[[balancer.service]]\nname = "default"\nservers = [{listed}]\n'
        for name, content in tables.items():
            text += f"[balancer.{name}]\n{content}\n"
        directory.mkdir(parents=True)
        (directory / "scalekit.toml").write_text(text)
        state = str(directory / "state")
        super().__init__(
            directory, "scalekit-balancer", "--config", str(directory / "scalekit.toml"), "--state-directory", state
        )
        self.ca = self.state / "tls" / "ca.pem"

        def is_serving() -> bool:
            assert self.process.poll() is None, self.stdout + self.stderr
            return all(map(is_listening, ports))

        until(is_serving, "the balancer listens")

    def url(self, path: str = "/", is_secure: bool = True) -> str:
        """A URL of a public listener."""
        return f"https://127.0.0.1:{self.secure}{path}" if is_secure else f"http://127.0.0.1:{self.clear}{path}"

    @property
    def private_url(self) -> str:
        """Where app servers register."""
        return f"http://127.0.0.1:{self.private}"

    def register(self, port: int, scheme: str = "http") -> None:
        """As the tutorial's app servers do."""
        status, body = ask(f"{self.private_url}/register?port={port}&scheme={scheme}", "POST")
        assert status == 200, body

    def instances(self) -> dict[int, dict[str, Any]]:
        """What ``/v1/services`` tells of the instances, by port."""
        services = json.loads(ask(f"{self.private_url}/v1/services")[1])["services"]
        return {one["port"]: one for service in services for one in service["instances"]}

    def states(self) -> dict[int, str]:
        """The state of each instance, by port."""
        return {port: one["state"] for port, one in self.instances().items()}

    def await_states(self, states: dict[int, str]) -> None:
        """Wait until these ports are in these states."""
        until(lambda: states.items() <= self.states().items(), f"{states}, but {self.states()}")

    def await_up(self, *ports: int) -> None:
        """Wait until these are up."""
        self.await_states(dict.fromkeys(ports, "up"))

    def await_back(self, port: int) -> None:
        """Wait until it is asked again; for ten seconds it warms up, if another one has been there for as long."""
        until(lambda: self.states().get(port) in ("warming", "up"), f"{port} is asked for requests again")

    def access_log(self) -> list[dict[str, Any]]:
        """The complete lines of its access log; the last requests come half a second late."""
        text = (self.state / "access.log").read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def memory(self, key: str = "VmRSS") -> int:
        """Bytes of memory it has now, or (``VmHWM``) has had at most since `forget_peak`."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"the kernel does not tell {key}")

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew (proc_pid_clear_refs(5))."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


class ScenarioCase(SynchronousTestCase):
    """Starts processes, and ends them all."""

    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self._started = 0

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A Python process of its own, whose output is in ``folder/output-N``."""
        return self.start_program(sys.executable, *arguments)

    def start_program(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The same of another program."""
        self._started += 1
        with (self.folder / f"output-{self._started}").open("wb") as output:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def start_balancer(self, servers: Sequence[str] = (), **tables: str) -> Balancer:
        """
        :param servers: static members.
        :param tables: what stands in the tables below ``[balancer]``, as TOML: ``timeouts='idle = "1s"'``.
            App servers are probed five times a second, so that they are up soon, unless ``health`` says otherwise.
        """
        balancer = Balancer(self.folder / "balancer", servers, {"health": 'interval = "200ms"'} | tables)
        self.addCleanup(balancer.clean_up)
        self.state = balancer.state
        return balancer

    def start_stock_app(self, port: int = 0, is_secure: bool = False) -> tuple[int, subprocess.Popen[bytes]]:
        """A `stock_app`; over TLS with the certificate that the balancer has made. Its port, and the process."""
        port = port or free_ports(1)[0]
        certificate = [str(self.state / "tls" / name) for name in ("server.pem", "server.key")] if is_secure else []
        process = self.start("-m", "tests.scenarios.stock_app", str(port), *certificate)
        until(lambda: is_listening(port), "the stock app server listens")
        return port, process

    def start_kit_app(
        self, balancer: Balancer, port: int = 0, scheme: str = "http", is_awaited: bool = True
    ) -> tuple[int, subprocess.Popen[bytes]]:
        """A `kit_app`, which registers itself, and listens already if it is awaited. Its port, and the process."""
        port = port or free_ports(1)[0]
        process = self.start("-m", "tests.scenarios.kit_app", str(port), scheme, str(self.state), balancer.private_url)
        if is_awaited:
            until(lambda: is_listening(port), "the kit's app server listens")
        return port, process
