"""``scalekit run``: what it takes, from where; what it does then is in `tests.scenarios.test_deploys`."""

from __future__ import annotations

from tests.ops.cli.commands import CommandCase


class RefusalTests(CommandCase):
    def test_what_is_missing_or_wrong(self) -> None:
        self.assertIn("--port", self.refused("run", "--", "true"))
        self.assertIn("COMMAND", self.refused("run", "--port", "3000"))
        self.assertIn("65535", self.refused("run", "--port", "70000", "--", "true"))
        self.assertIn("'a b'", self.refused("run", "--port", "3000", "--service", "a b", "--", "true"))
        line = self.refused("run", "--port", "3000", "--balancer", "lb:2001", "--", "true")
        self.assertIn("found 'lb:2001', expected a URL such as https://127.0.0.1:2001", line)

    def test_a_command_that_is_not_there(self) -> None:
        done = self.run_command("run", "--port", "3000", "--", str(self.folder / "none"))
        self.assertEqual(done, (127, "", f"scalekit: {self.folder / 'none'}: not found\n"))
