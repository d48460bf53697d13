"""``scalekit run``: what it takes, from where; what it does then is in `tests.scenarios.test_deploys`."""

from __future__ import annotations

from scalekit.ops.cli.joining import local_ca
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


class LocalCATests(CommandCase):
    def test_a_balancer_here_has_the_local_ca(self) -> None:
        """It may be made after us."""
        file = str(self.state / "tls" / "ca.pem")
        for url in ("https://127.0.0.1:2001", "https://localhost", "https://[::1]:2001"):
            self.assertEqual(local_ca(str(self.state), url), file)

    def test_a_balancer_elsewhere_is_known_to_the_system_unless_we_have_a_ca(self) -> None:
        self.assertEqual(local_ca(str(self.state), "https://lb.example:2001"), "")
        self.tls.mkdir(parents=True)
        file = self.tls / "ca.pem"
        file.touch()
        self.assertEqual(local_ca(str(self.state), "https://lb.example:2001"), str(file))
