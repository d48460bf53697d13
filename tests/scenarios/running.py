"""
Daemons under twistd as processes of a test: started on free ports in a directory of their own, and certainly ended.

Each is the leader of a session of its own.  Whatever it starts belongs to that session, also in another process group
and after its parent's death; so `Daemon.members` is all there is to end, and to count.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import scalekit
from tests.ports import free_ports

CHECKOUT = Path(scalekit.__file__).parent.parent
TWISTD = "import sys; sys.argv[0] = 'twistd'; from twisted.scripts.twistd import run; run()"
GREETING = "scalekit is running"

#: Far above what anything here takes, for machines that do much else.
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """
    Wait until a condition holds.

    :return: what it returned.
    :raises AssertionError: it did not in time; ``what`` says which.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)


def is_listening(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def session_members(leader: int) -> dict[int, str]:
    """The processes of a session that have not ended: pid and command line."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # proc_pid_stat(5): pid, (name), state, parent, group, session
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(session) == leader and state not in "ZX":
                command = (stat.parent / "cmdline").read_bytes()
                found[int(stat.parent.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def kill_session(leader: int) -> None:
    """End all processes of a session that have not ended."""
    for pid in session_members(leader):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal.SIGKILL)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Daemon:
    """
    ``twistd -n ARGUMENTS`` in a directory, which is also its HOME and where its output goes.

    :param has_terminal: whether its session has a terminal; `type` types there, `hang_up` closes it.
    """

    def __init__(self, directory: Path, *arguments: str, has_terminal: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.arguments = arguments
        self.state = directory / "state"
        self._terminal = -1
        slave = -1
        if has_terminal:
            self._terminal, slave = pty.openpty()
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("SCALEKIT_", "XDG_"))}
        with open(directory / "stdout", "ab") as stdout, open(directory / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", TWISTD, "-n", *arguments],
                stdin=slave if has_terminal else subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=directory,
                env=environ | {"HOME": str(directory), "PYTHONPATH": str(CHECKOUT)},
                start_new_session=True,
                preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if has_terminal else None,
            )
        if has_terminal:
            os.close(slave)

    @property
    def stdout(self) -> str:
        return (self.directory / "stdout").read_text()

    @property
    def stderr(self) -> str:
        return (self.directory / "stderr").read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until the output has this so many times; fails at once when the daemon ends before."""

        def found() -> bool:
            if self.process.poll() is not None and self.stdout.count(text) < times:
                raise AssertionError(f"ended with {self.process.returncode}\n{self.stderr}\n{self.stdout}")
            return self.stdout.count(text) >= times

        until(found, f"{text!r} in the output:\n{self.stderr}\n{self.stdout if self.process.poll() else ''}")

    def type(self, keys: bytes) -> None:
        """Type on its terminal."""
        os.write(self._terminal, keys)

    def hang_up(self) -> None:
        """Close its terminal."""
        os.close(self._terminal)
        self._terminal = -1

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, negative for a signal, once it has ended."""
        return self.process.wait(PATIENCE_SECONDS)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal; its exit status."""
        self.send(number)
        return self.wait()

    def members(self) -> dict[int, str]:
        """The processes of its session that have not ended: pid and command line."""
        return session_members(self.process.pid)

    def member(self, pattern: str) -> int | None:
        """The one process whose command line matches; None without one."""
        pids = [pid for pid, command in self.members().items() if re.search(pattern, command)]
        return pids[0] if len(pids) == 1 else None

    def clean_up(self) -> None:
        """End all that is left of it."""
        kill_session(self.process.pid)
        self.process.wait(PATIENCE_SECONDS)
        kill_session(self.process.pid)  # those born meanwhile
        if self._terminal >= 0:
            self.hang_up()


class Demo(Daemon):
    """``scalekit-all --demo N`` on ports of its own; `greeted` waits until it serves."""

    def __init__(self, directory: Path, blogs: int = 2, has_terminal: bool = False) -> None:
        self.public, self.registration, self.data, self.cache, self.logs, *self.blogs = free_ports(5 + blogs)
        tables = {
            "balancer": self.public,
            "registration": self.registration,
            "data": self.data,
            "cache": self.cache,
            "logs": self.logs,
            "blog": self.blogs[0],
        }
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "scalekit.toml"
        path.write_text(
            "".join(f'[{table}]\nlisten = ["https://127.0.0.1:{port}"]\n' for table, port in tables.items())
        )
        state = str(directory / "state")
        arguments = ["scalekit-all", "--demo", str(blogs), "--config", str(path), "--state-directory", state]
        super().__init__(directory, *arguments, has_terminal=has_terminal)

    def greeted(self, times: int = 1) -> Demo:
        """Wait until it serves."""
        self.wait_for(GREETING, times)
        return self

    def ask(
        self, port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request to a port of this machine, checked by the local CA."""
        connection = self.connect(port)
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def connect(self, port: int) -> http.client.HTTPSConnection:
        return connect(self.state, port)

    def instances(self) -> dict[str, str]:
        """Who is registered, and its state."""
        services = self.ask(self.registration, "GET", "/v1/services").json["services"]
        return {each["id"]: each["state"] for service in services for each in service["instances"]}


def connect(state: Path, port: int) -> http.client.HTTPSConnection:
    """A connection to this machine, checked by the local CA of a state directory."""
    context = ssl.create_default_context(cafile=state / "tls" / "ca.pem")
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS, context=context)


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request and its whole answer; field names in lower case."""
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
