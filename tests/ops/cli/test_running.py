"""What all commands share: version, help, and faults as one line."""

from __future__ import annotations

import subprocess
import sys

import scalekit
from tests.ops.cli.commands import CommandCase


class RunTests(CommandCase):
    def test_version(self) -> None:
        self.assertEqual(self.run_command("--version"), (0, f"scalekit {scalekit.__version__}\n", ""))

    def test_help(self) -> None:
        for arguments in (["--help"], ["cert", "-h"], ["cert", "issue", "--help"]):
            done = self.run_command(*arguments)
            self.assertEqual((done.status, done.stderr), (0, ""))
            self.assertIn("Usage: scalekit", done.stdout)

    def test_without_a_command_the_commands_are_shown(self) -> None:
        done = self.run_command()
        self.assertEqual(done.status, 1)
        self.assertIn("check-config", done.stderr)

    def test_what_is_no_command(self) -> None:
        self.assertIn("No such command 'sho'", self.refused("cert", "sho"))
        self.assertIn("--nonsense", self.refused("check-config", "--nonsense"))
        self.assertIn("NAME", self.refused("cert", "issue"))

    def test_as_a_process(self) -> None:
        """The console script, with the process' own environment."""
        code = "import sys; from scalekit.ops.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", code, "cert", "show", "--state-directory", str(self.state)],
            capture_output=True,
            timeout=60,
        )
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertTrue(done.stderr.startswith(b"scalekit: "))
