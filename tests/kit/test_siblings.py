"""Tests of `scalekit.kit.siblings`."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.siblings import HEAR_SECONDS, Siblings


class SiblingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.waits: list[float] = []

    def one(self, stays: bool = True) -> Siblings:
        """A worker."""
        one = Siblings(self.path, self.waits.append)
        if stays:
            one.stay()
        return one

    def test_an_only_one_is_the_last(self) -> None:
        self.assertTrue(self.one().go())
        self.assertEqual(self.waits, [])
        self.assertFalse(self.path.exists())

    def test_others_stay(self) -> None:
        one, other = self.one(), self.one()
        self.assertFalse(one.go())
        self.assertAlmostEqual(sum(self.waits), HEAR_SECONDS)
        self.assertTrue(other.go())

    def test_all_go_at_the_same_time(self) -> None:
        one, other = self.one(), self.one()
        found: list[bool] = []

        def sleep(seconds: float) -> None:
            if not found:
                found.append(other.go())

        self.patch(one, "_sleep", sleep)
        self.assertTrue(one.go())
        self.assertEqual(found, [True])

    def test_one_that_died_is_not_waited_for(self) -> None:
        one = self.one()
        pid = os.fork()
        if not pid:
            self.one()
            os._exit(0)
        os.waitpid(pid, 0)
        self.assertTrue(one.go())

    def test_one_that_never_stayed_has_none(self) -> None:
        self.one()
        self.assertTrue(self.one(stays=False).go())

    def test_where_there_can_be_no_lock_there_are_none(self) -> None:
        self.path = Path(self.mktemp(), "missing", "lock")
        one, other = self.one(), self.one()
        self.assertTrue(one.go() and other.go())
        self.path = Path(self.mktemp())
        self.path.symlink_to("elsewhere")
        self.one()
        self.assertTrue(self.one().go())

    def test_a_file_of_somebody_else_is_none(self) -> None:
        """They could hold it for ever."""
        self.patch(os, "getuid", lambda: 4711)
        one, _ = self.one(), self.one()
        self.assertTrue(one.go())

    def test_what_servers_before_have_left_is_removed(self) -> None:
        """Those that were killed; one that runs on, and what is called otherwise, stay."""
        folder = Path(self.mktemp())
        folder.mkdir()
        killed, running, other = (folder / name for name in ("app-1.lock", "app-2.lock", "other-1.lock"))
        killed.touch()
        other.touch()
        one = Siblings(running, self.waits.append, "app-*.lock")
        one.stay()
        two = Siblings(folder / "app-3.lock", self.waits.append, "app-*.lock")
        two.stay()
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["app-2.lock", "app-3.lock", "other-1.lock"])
        self.assertTrue(one.go() and two.go())
        self.assertEqual([path.name for path in folder.iterdir()], ["other-1.lock"])

    def test_a_lock_that_is_removed_before_it_is_held_is_made_again(self) -> None:
        flock = fcntl.flock
        held: list[int] = []

        def removed_first(descriptor: int, operation: int) -> None:
            if not held:
                self.path.unlink()
            held.append(descriptor)
            flock(descriptor, operation)

        self.patch(fcntl, "flock", removed_first)
        one, other = self.one(), self.one()
        self.assertEqual(len(held), 3)
        self.assertFalse(one.go())
        self.assertTrue(other.go())

    def test_repr(self) -> None:
        self.assertEqual(repr(self.one()), f"<Siblings staying by {self.path}>")
        self.assertEqual(repr(self.one(stays=False)), f"<Siblings gone by {self.path}>")
