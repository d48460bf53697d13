"""Child processes that listen, each pinned to a core and ended by its pid."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

START_SECONDS = 20.0  # twistd takes one on an idle machine
STOP_SECONDS = 6.0  # scalekit drains for 3 s at most after SIGINT
ROOT = Path(__file__).parent.parent


class ServerFault(Exception):
    """A server did not start; the message says which, and what it said last."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on; all different, for they are held until the last is found."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """The command on one core; taskset execs it, so the pid is the server's own."""
    return ["taskset", "-c", str(core), *command]


class Server:
    """
    :param folder: where ``NAME.out`` takes what it prints.
    :param ports: it has started once it listens on all of these.
    """

    def __init__(self, name: str, command: Sequence[str], core: int, folder: Path, ports: Sequence[int]) -> None:
        self.name = name
        self._output = folder / f"{name}.out"
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                pinned(core, command), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self.pid = self._process.pid
        try:
            self._wait_for(ports)
        except BaseException:
            self.stop()
            raise

    def _wait_for(self, ports: Sequence[int]) -> None:
        until = time.monotonic() + START_SECONDS
        for port in ports:
            while True:
                if self._process.poll() is not None:
                    raise ServerFault(f"{self.name} has ended with {self._process.returncode}: {self.last_words()}")
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError as why:
                    if time.monotonic() > until:
                        raise ServerFault(f"{self.name}, port {port}: {why}; {self.last_words()}") from None
                time.sleep(0.05)

    def last_words(self) -> str:
        """The end of what it printed."""
        return self._output.read_text(errors="replace")[-600:].strip() or "it said nothing"

    def stop(self) -> None:
        """End it: SIGINT, for which no server waits for a load balancer above it; then SIGKILL."""
        for how in (signal.SIGINT, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(how)
                try:
                    self._process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    continue

    def kill(self) -> None:
        """End it as a crash would: SIGKILL."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server {self.name} {self.pid}>"
