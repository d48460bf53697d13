"""A missing program skips its tests on a person's machine and fails them in CI."""

import os
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.requirements import REQUIRE_ALL, require


class RequireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        self.patch(os, "environ", {"PATH": str(self.folder)})

    def install(self, name: str) -> str:
        program = self.folder / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        return str(program.absolute())

    def test_found(self) -> None:
        path = self.install("frobnicator")
        self.assertEqual(require("frobnicator"), path)

    def test_found_under_another_name(self) -> None:
        path = self.install("google-chrome")
        self.assertEqual(require("chromium"), path)

    def test_missing_skips(self) -> None:
        skip = self.assertRaises(SkipTest, require, "frobnicator")
        self.assertEqual(str(skip), "frobnicator is not installed")

    def test_missing_fails_where_all_is_required(self) -> None:
        os.environ[REQUIRE_ALL] = "1"
        failure = self.assertRaises(AssertionError, require, "frobnicator")
        self.assertIn("frobnicator is not installed", str(failure))

    def test_empty_variable_is_unset(self) -> None:
        os.environ[REQUIRE_ALL] = ""
        self.assertRaises(SkipTest, require, "frobnicator")
