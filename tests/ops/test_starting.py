"""Failing to start is one line where somebody sees it."""

from __future__ import annotations

import io
import os
import sys

from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.ops.starting import explained_faults, fail_start, keep_terminal, release_terminal


class FailStartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.terminal = io.StringIO()
        self.patch(sys, "__stderr__", self.terminal)

    def test_one_line_and_status_1(self) -> None:
        end = self.assertRaises(SystemExit, fail_start, "cache.listen: the port\nis in use")
        self.assertEqual(end.code, 1)
        self.assertEqual(self.terminal.getvalue(), "cache.listen: the port is in use\n")

    def test_without_a_terminal_the_status_is_enough(self) -> None:
        self.patch(sys, "__stderr__", None)
        self.assertEqual(self.assertRaises(SystemExit, fail_start, "x").code, 1)

    def test_what_the_outside_does_is_explained(self) -> None:
        cleaned: list[bool] = []
        for fault in (
            ConfigurationFault("x.toml: wrong"),
            CannotListenError("127.0.0.1", 80, OSError(98, "Address already in use")),
            PermissionError(13, "Permission denied", "key.pem"),
        ):
            with self.assertRaises(SystemExit), explained_faults(lambda: cleaned.append(True)):
                raise fault
        first, second, third = self.terminal.getvalue().splitlines()
        self.assertEqual(first, "x.toml: wrong")
        self.assertIn("127.0.0.1:80", second)
        self.assertEqual(third, "[Errno 13] Permission denied: 'key.pem'")
        self.assertEqual(cleaned, [True] * 3)

    def test_a_mistake_of_ours_keeps_its_traceback(self) -> None:
        with self.assertRaises(ZeroDivisionError), explained_faults():
            raise ZeroDivisionError
        self.assertEqual(self.terminal.getvalue(), "")

    def test_as_a_decorator(self) -> None:
        @explained_faults()
        def make() -> None:
            raise ConfigurationFault("wrong")

        for _time in range(2):
            self.assertRaises(SystemExit, make)
        self.assertEqual(self.terminal.getvalue(), "wrong\n" * 2)


class KeepTerminalTests(SynchronousTestCase):
    def test_the_kept_terminal_is_used_until_it_is_released(self) -> None:
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        before = sys.__stderr__
        self.patch(os, "dup", lambda _descriptor: writing)
        keep_terminal()
        self.addCleanup(release_terminal)
        keep_terminal()  # a second time changes nothing
        self.assertRaises(SystemExit, fail_start, "cannot")
        self.assertEqual(os.read(reading, 100), b"cannot\n")
        self.flushLoggedErrors()
        release_terminal()
        self.assertIs(sys.__stderr__, before)
        self.assertEqual(os.read(reading, 100), b"")
        release_terminal()  # nothing is kept any more

    def test_a_start_without_standard_error_keeps_nothing(self) -> None:
        def refuse(_descriptor: int) -> int:
            raise OSError(9, "Bad file descriptor")

        before = sys.__stderr__
        self.patch(os, "dup", refuse)
        keep_terminal()
        self.assertIs(sys.__stderr__, before)
