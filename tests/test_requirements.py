"""A missing program skips its tests on a person's machine and fails them in CI."""

import os
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests import requirements
from tests.requirements import REQUIRE_ALL, require, require_unpacked


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

    def test_unpacked(self) -> None:
        """With the folders of all libraries that came with it; an installed one needs none of them."""
        root = self.folder.absolute() / "frobnicatord"
        for place in ("usr/sbin/frobnicatord", "usr/lib/x/libfrob.so.1", "lib/x/libnicate.so"):
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).touch()
        self.patch(requirements, "UNPACKED", self.folder.absolute())
        path, environ, found = require_unpacked("frobnicatord")
        self.assertEqual((path, found), (str(root / "usr/sbin/frobnicatord"), root))
        self.assertEqual(environ["LD_LIBRARY_PATH"].split(":"), [str(root / "lib/x"), str(root / "usr/lib/x")])
        self.assertRaises(SkipTest, require_unpacked, "thing")
        path = self.install("thing")
        self.assertEqual(require_unpacked("thing"), (path, {"PATH": str(self.folder)}, Path("/")))
