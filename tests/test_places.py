"""Tests of `scalekit.places`; of `default_state_directory` in `tests.config.test_loading`."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.places import local_ca, local_url, whereabouts


class LocalURLTests(SynchronousTestCase):
    def test_what_a_daemon_has_noted(self) -> None:
        """If it leads to this machine; `scalekit.ops.whereabouts` writes it."""
        state = self.mktemp()
        file = Path(whereabouts(state, "cache"))
        file.parent.mkdir(parents=True)
        for text, expected in (
            (b"http://127.0.0.1:5001\n", "http://127.0.0.1:5001"),
            (b"https://[::1]:5001", "https://[::1]:5001"),
            (b"https://10.0.0.1:5000\n", "else"),
            (b"unix:///run/cache\n", "else"),
            (b"\n", "else"),
            (b"\xff", "else"),
        ):
            file.write_bytes(text)
            self.assertEqual(local_url(state, "cache", "else"), expected, text)
        self.assertEqual(local_url(state, "logs", "else"), "else")


class LocalCATests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.tls = self.state / "tls"

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
