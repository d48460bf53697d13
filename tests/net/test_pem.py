"""Secrets in files; keys and certificates are tried in `tests.net.test_certificates`."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.net import pem
from scalekit.net.pem import locked, made_secret, write


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


class WriteTests(SynchronousTestCase):
    def test_it_is_on_the_disk_before_it_is_in_its_place(self) -> None:
        """And its name is on the disk before anybody is told that it is there."""
        path = Path(self.mktemp())
        seen: list[tuple[bool, bool]] = []

        def fsync(descriptor: int) -> None:
            seen.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))

        self.patch(os, "fsync", fsync)
        write(path, b"whole", 0o600)
        self.assertEqual(seen, [(False, False), (True, True)])
        self.assertEqual(path.read_bytes(), b"whole")

    def test_what_is_left_of_a_process_that_died_is_not_in_the_way(self) -> None:
        path = Path(self.mktemp())
        path.with_name(f".{path.name}.new").write_bytes(b"ha")
        write(path, b"whole", 0o600)
        self.assertEqual((path.read_bytes(), stat.S_IMODE(path.stat().st_mode)), (b"whole", 0o600))


class LockTests(SynchronousTestCase):
    def test_tries_are_some_time_apart(self) -> None:
        """Else all of them would be over before the other process has done anything."""
        directory = Path(self.mktemp())
        pauses: list[float] = []
        self.patch(select, "select", lambda *arguments: pauses.append(arguments[3]))
        with locked(directory), self.assertRaises(ConfigurationFault), locked(directory):
            pass
        self.assertEqual(pauses, [pem.LOCK_PAUSE_SECONDS] * pem.LOCK_TRIES)
