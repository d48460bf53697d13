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


class EnvironmentTests(CommandCase):
    def test_what_is_left_out_is_taken_from_it(self) -> None:
        """As by the wrappers, see `tests.kit.test_wrappers`."""
        from scalekit.kit import tap  # brings the reactor

        told: list[tap.Terms] = []
        self.patch(tap, "run_command", lambda terms, environ: told.append(terms) or 0)
        self.environ = {"SCALEKIT_SERVICE": "shop", "SCALEKIT_HOSTS": "a.example, b.example", "SCALEKIT_PATH": "/shop"}
        self.assertEqual(self.run_command("run", "--port", "3000", "--", "true").status, 0)
        said = ("--service", "blog", "--for-host", "c.example", "--for-path", "/blog")
        self.assertEqual(self.run_command("run", "--port", "3000", *said, "--", "true").status, 0)
        self.assertEqual(
            [(terms.service, tuple(terms.hosts), terms.path) for terms in told],
            [("shop", ("a.example", "b.example"), "/shop"), ("blog", ("c.example",), "/blog")],
        )
