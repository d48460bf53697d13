"""Secrets in files; keys and certificates are tried in `tests.net.test_certificates`."""

from __future__ import annotations

import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.net.pem import locked, made_secret


class SecretTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.path = self.directory / "some.key"

    def made(self, byte: bytes) -> bytes:
        with locked(self.directory):
            return made_secret(self.path, lambda count: byte * count)

    def test_made_once_for_its_owner_only(self) -> None:
        self.assertEqual(self.made(b"a"), b"a" * 32)
        self.assertEqual(self.made(b"b"), b"a" * 32)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_a_damaged_one_is_not_used(self) -> None:
        self.made(b"a")
        self.path.write_bytes(b"short")
        self.assertIn("some.key: is damaged", str(self.assertRaises(ConfigurationFault, self.made, b"b")))
