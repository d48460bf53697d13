"""Commands run in the test's own process, with surroundings of its own."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from scalekit.ops.cli import scalekit
from scalekit.ops.cli.running import Surroundings, run

NOW = datetime(2026, 11, 23, tzinfo=UTC)
NAMES = ["localhost", "web1", "127.0.0.1"]


class Done(NamedTuple):
    """What came of a command."""

    status: int
    stdout: str
    stderr: str


class CommandCase(SynchronousTestCase):
    #: Seconds that commands have slept.
    passed = 0.0
    #: What else the commands find in their environment.
    environ: Mapping[str, str] = {}

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.tls = self.state / "tls"
        self.now = NOW

    def sleep(self, seconds: float) -> None:
        self.passed += seconds

    def run_command(self, *arguments: str) -> Done:
        """``scalekit ARGUMENTS``, the state directory told by the environment."""
        surroundings = Surroundings(
            {"PATH": os.defpath, "STATE_DIRECTORY": str(self.state)} | dict(self.environ),
            lambda: self.now.timestamp(),
            lambda: NAMES,
            lambda: self.passed,
            self.sleep,
        )
        # Some write bytes.
        written, stderr = io.BytesIO(), io.StringIO()
        with redirect_stdout(io.TextIOWrapper(written, write_through=True)) as stdout, redirect_stderr(stderr):
            status = run(scalekit, arguments, surroundings)
        stdout.detach()
        return Done(status, written.getvalue().decode(), stderr.getvalue())

    def refused(self, *arguments: str) -> str:
        """The one line of a command that ends with status 1."""
        done = self.run_command(*arguments)
        self.assertEqual((done.status, done.stdout, done.stderr.count("\n")), (1, "", 1), done)
        return done.stderr.removeprefix("scalekit: ").rstrip("\n")

    def configured(self, text: str) -> str:
        """The path of a configuration."""
        file = self.folder / "scalekit.toml"
        file.write_text(text)
        return str(file)
