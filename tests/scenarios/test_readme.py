"""What README.rst prints of the four ways to join: each is run as it stands there, but for its ports."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.testing import Running, running
from tests.ports import free_ports
from tests.scenarios.daemons import ask
from tests.scenarios.running import CHECKOUT, PATIENCE_SECONDS, kill_session, until

SECTION = re.compile(r"^Four ways to join\n-+\n(.*?)^[^\n]+\n-+\n", re.MULTILINE | re.DOTALL)
#: Lines that are indented, and blank ones between them, after one that ends with two colons.
BLOCK = re.compile(r"::(?: python)?\n\n((?:    [^\n]*\n|\n)+)")
COMMAND = re.compile(r"``((?:gunicorn wrapped|twistd -n -y)[^`]*)``")
PORTS = ("3000", "3001", "3002")


def printed() -> str:
    """The section, with ports that are free."""
    found = SECTION.search((CHECKOUT / "README.rst").read_text("utf-8"))
    assert found is not None
    text = found[1]
    for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        text = text.replace(port, str(free))
    return text


class FourWaysTests(SynchronousTestCase):
    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.here: Running = self.enterContext(running())
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("SCALEKIT_", "XDG_"))}
        programs = os.pathsep.join((str(Path(sys.executable).parent), environ["PATH"]))
        self.environ = environ | {"PATH": programs, "PYTHONPATH": str(CHECKOUT), "HOME": str(self.folder)}
        self.environ |= self.here.environ

    def start(self, command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("ab") as output:
            process = subprocess.Popen(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=self.environ,
                start_new_session=True,
            )

        def end() -> None:
            kill_session(process.pid)
            process.wait(PATIENCE_SECONDS)

        self.addCleanup(end)
        return process

    def taking(self) -> list[str]:
        """Who takes requests."""
        services = json.loads(ask(f"{self.here.balancer}/v1/services", ca=Path(self.here.ca))[1])["services"]
        each = [one for service in services for one in service["instances"]]
        return [one["id"] for one in each if one["state"] in ("up", "warming")]

    def test_each_joins_serves_and_leaves(self) -> None:
        text = printed()
        blocks = [dedent(block).strip("\n") + "\n" for block in BLOCK.findall(text)]
        [wrap] = [block.strip() for block in blocks if block.startswith("scalekit run")]
        texts = [block for block in blocks if "def " in block or "kit.wsgi" in block]
        for name, content in zip(("app.py", "wrapped.py", "app.tac", "by_hand.py"), texts, strict=True):
            (self.folder / name).write_text(content)
        commands = [wrap, *COMMAND.findall(text), f"{sys.executable} by_hand.py"]
        self.assertEqual(len(commands), 4)
        started = [self.start(command) for command in commands]
        try:
            until(lambda: len(self.taking()) == 4, "all four take requests")
        except AssertionError:
            self.fail((self.folder / "output").read_text())
        for _ in range(8):
            self.assertEqual(ask(self.here.url, ca=Path(self.here.ca)), (200, b"hello\n"))
        for process in started:
            process.terminate()
        statuses = [process.wait(PATIENCE_SECONDS) for process in started]
        self.assertEqual(statuses, [0, 0, -signal.SIGTERM, 0], "twistd ends by the signal that it got")
        self.assertEqual(self.taking(), [])
        output = (self.folder / "output").read_text()
        self.assertIn("registered\n", output)
        self.assertNotIn("Traceback", output)
