"""Four app servers of different kinds that are restarted in turn, each in the way that it is meant to be."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from unittest import SkipTest

from tests.scenarios.running import CHECKOUT, PATIENCE_SECONDS, TWISTD, kill_session

SCALEKIT = "import sys; from scalekit.ops.cli import main; sys.exit(main())"
#: How each server of ASGI is told its port.  An application that has WebSockets is ASGI: gunicorn's other workers have
#: none, and who has them beside WSGI has a second application for them, of one of these.
ASGI = {
    "gunicorn": ["gunicorn", "--worker-class=asgi", "--bind=127.0.0.1:{port}", "tests.scenarios.deploy_app:app"],
    "uvicorn": ["uvicorn", "--port={port}", "--no-access-log", "tests.scenarios.deploy_app:app"],
    "granian": ["granian", "--interface=asgi", "--port={port}", "tests.scenarios.deploy_app:app"],
}
TWISTED = "twisted"
#: The four of them.
NAMES = (*ASGI, TWISTED)


def address_outside() -> str:
    """An address of this machine that is not of the loopback; raises `SkipTest`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing: the system only chooses where it would send from
        except OSError:
            raise SkipTest("this machine has no other address") from None
        return str(probe.getsockname()[0])


class Left(NamedTuple):
    """One restart: how long the old process took to go, the new one to take requests."""

    server: str
    leaving_seconds: float
    joining_seconds: float


class AppServer:
    """
    One of the four, and whoever takes its place.

    :param folder: what it prints goes to ``NAME.out`` there, what is posted to ``posted``.
    :param variables: of its environment.
    :param is_run: whether ``scalekit run`` stands before those of ASGI; the other one needs nobody.
    """

    def __init__(self, name: str, port: int, folder: Path, variables: Mapping[str, str], is_run: bool) -> None:
        self.name = name
        self.port = port
        self._folder = folder
        self._environ = os.environ | {
            "PYTHONPATH": str(CHECKOUT),
            "HOME": str(folder),  # gunicorn has a socket there
            "DEPLOY_APP_FILE": str(folder / "posted"),
            "DEPLOY_APP_PORT": str(port),
            **variables,
        }
        if name == TWISTED:
            file = Path(__file__).with_name("deploy_twisted.py")
            self._command = [sys.executable, "-c", TWISTD, "-n", f"--pidfile={name}.pid", "-y", str(file)]
        else:
            front = [sys.executable, "-c", SCALEKIT, "run", f"--port={port}", "--"] if is_run else []
            self._command = [*front, sys.executable, "-m", *(part.format(port=port) for part in ASGI[name])]
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self._folder / f"{self.name}.out").open("ab") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=self._environ,
                start_new_session=True,
            )

    def restart(self, await_taking: Callable[[int], None]) -> Left:
        """
        SIGTERM, wait for its end, start it again.

        :param await_taking: waits until a port takes requests.
        """
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(PATIENCE_SECONDS)
        left = time.monotonic()
        self.process = self._start()
        await_taking(self.port)
        return Left(self.name, left - began, time.monotonic() - left)

    @property
    def said(self) -> str:
        """What it has printed."""
        return (self._folder / f"{self.name}.out").read_text(errors="replace")

    def stop(self) -> None:
        """End it for good, with all that it has started."""
        kill_session(self.process.pid)
        self.process.wait(PATIENCE_SECONDS)
