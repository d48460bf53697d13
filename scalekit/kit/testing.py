"""
For the tests of applications: the real ``scalekit-all`` on free ports, for as long as a test wants it.

::

    class ShopTests(TestCase):                      # of trial, or unittest
        def setUp(self):
            self.scalekit = self.enterContext(running())

    @pytest.fixture(scope="session")
    def scalekit():
        with running() as here:
            yield here

Where a part of it will do, there are some without a process, that have passed the same tests as the real ones:
`AsyncMemoryBalancer` and `MemoryBalancer`, `MemoryCache` and `AsyncMemoryCache`, `MemoryCollector`.

What `running` starts has a process and a state directory of its own, and ends with the test, however that goes: also
when the test's process is killed.  Here, as in a feature's ``tap``, the process' own clock and environment are taken.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from scalekit.kit.asking import fetch
from scalekit.kit.memory_balancer import AsyncMemoryBalancer, MemoryBalancer
from scalekit.kit.memory_cache import AsyncMemoryCache, MemoryCache
from scalekit.kit.memory_collector import MemoryCollector
from scalekit.kit.registration import Ask
from scalekit.ops.children import RUN_TWISTD
from scalekit.ops.leash import VARIABLE

__all__ = [
    "AsyncMemoryBalancer",
    "AsyncMemoryCache",
    "MemoryBalancer",
    "MemoryCache",
    "MemoryCollector",
    "Running",
    "running",
]

#: It serves within two seconds; a machine that does much else takes its time.
START_SECONDS = 60.0
#: SIGINT, unlike SIGTERM, is not announced for some seconds first, and drains for three at most; a second signal ends
#: at once; and where that takes long, SIGKILL does.
DRAIN_SECONDS, END_SECONDS = 5.0, 10.0
POLL_SECONDS = 0.02
_ASK_SECONDS = 5.0

_PARTS = ("balancer", "registration", "cache", "logs")


class Running(NamedTuple):
    """
    :ivar url: of the balancer's public side, such as ``https://127.0.0.1:12345``.
    :ivar balancer: where app servers register, and where the dashboard is; ``cache``, ``logs``: of these services.
    :ivar ca: a file with what signs all their certificates.
    :ivar state_directory: of its own.
    :ivar pid: of its process.
    """

    url: str
    balancer: str
    cache: str
    logs: str
    ca: str
    state_directory: str
    pid: int

    @property
    def environ(self) -> dict[str, str]:
        """
        The variables that bring an application here, whatever it takes from the kit: for ``os.environ`` (as by
        ``monkeypatch.setenv`` or `patch`), or for the environment of a process.
        """
        return {
            "STATE_DIRECTORY": self.state_directory,
            "SCALEKIT_BALANCER": self.balancer,
            "SCALEKIT_CACHE": self.cache,
            "SCALEKIT_LOGS": self.logs,
            "SCALEKIT_CA": self.ca,
        }


@contextmanager
def running(config: str = "", *, seconds: float = START_SECONDS) -> Iterator[Running]:
    """
    ``scalekit-all``, which serves when the context is entered; it blocks until then, and at the end until it is over.

    :param config: further lines of its configuration, in TOML, such as ``[[balancer.service]]``; where it listens, in
        the tables ``balancer``, ``registration``, ``cache`` and ``logs``, is said already.
    :param seconds: how long the start may take.
    :raises RuntimeError: it does not start; the text has what it printed.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="scalekit-")))
        # Bound and not listening: nobody else is given them until it listens there (SO_REUSEADDR on both sides).
        held = [stack.enter_context(_bound()) for _ in _PARTS]
        urls = [f"https://127.0.0.1:{sock.getsockname()[1]}" for sock in held]
        listen = "".join(f'[{part}]\nlisten = ["{url}"]\n' for part, url in zip(_PARTS, urls, strict=True))
        (directory / "scalekit.toml").write_text(f"{listen}{config}\n", "utf-8")
        state = directory / "state"
        process = stack.enter_context(_process(directory, state))
        public, balancer, cache, logs = urls
        here = Running(public, balancer, cache, logs, str(state / "tls" / "ca.pem"), str(state), process.pid)
        deadline = time.monotonic() + seconds
        while not _is_serving(here):
            if process.poll() is not None or time.monotonic() > deadline:
                output = (directory / "output").read_text("utf-8", "replace")
                raise RuntimeError(f"scalekit-all does not start, its status is {process.poll()}:\n{output}")
            time.sleep(POLL_SECONDS)
        yield here


def _bound() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    return sock


@contextmanager
def _process(directory: Path, state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The daemon; what it prints is in ``output``."""
    # What says where things are is for the application, not for the one that it is to find.
    ours = ("SCALEKIT_", "STATE_DIRECTORY", "XDG_STATE_HOME")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # The scalekit that is imported here, and Twisted's plugins beside it.
    environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    arguments = ["scalekit-all", "--config", str(directory / "scalekit.toml"), "--state-directory", str(state)]
    reading, leash = os.pipe()
    try:
        with (directory / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN_TWISTD, "-n", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env={**environ, VARIABLE: str(reading)},
                pass_fds=[reading],
            )
        os.close(reading)
        reading = -1
        try:
            yield process
        finally:
            _end(process)
    finally:
        for descriptor in (reading, leash):
            if descriptor >= 0:
                os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGINT, DRAIN_SECONDS), (signal.SIGTERM, END_SECONDS), (signal.SIGKILL, None)):
        process.send_signal(number)
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            pass


def _is_serving(here: Running) -> bool:
    """Whether all its parts are ready; they listen together, and the public side first."""
    try:
        for url in (here.balancer, here.cache, here.logs):
            if fetch(Ask("GET", f"{url}/readyz"), {}, _ASK_SECONDS, here.ca)[0] != 200:
                return False
    except (OSError, http.client.HTTPException):
        return False
    return True
