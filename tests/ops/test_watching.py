"""Whether files have changed."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.ops.watching import FileWatch


class FileWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.one, self.other = self.folder / "one", self.folder / "other"
        self.one.write_bytes(b"1")
        self.other.write_bytes(b"2")
        self.watch = FileWatch()
        self.read()

    def read(self) -> None:
        self.watch.have_read([self.one, self.other])

    def looks(self, count: int = 2) -> list[bool]:
        return [self.watch.has_changed() for _ in range(count)]

    def test_nothing(self) -> None:
        self.assertEqual(self.looks(3), [False] * 3)

    def test_a_change_is_seen_once_it_is_over(self) -> None:
        self.one.write_bytes(b"11")
        self.assertEqual(self.looks(1), [False])
        self.other.write_bytes(b"22")
        self.assertEqual(self.looks(), [False, True])
        self.read()
        self.assertEqual(self.looks(), [False, False])

    def test_the_same_size_and_time(self) -> None:
        """A file that was renamed into the place is another one."""
        found = self.one.stat()
        aside = self.folder / "aside"
        aside.write_bytes(b"3")
        os.utime(aside, ns=(found.st_atime_ns, found.st_mtime_ns))
        aside.rename(self.one)
        self.assertEqual(self.looks(), [False, True])

    def test_gone_and_back(self) -> None:
        self.one.unlink()
        self.assertEqual(self.looks(), [False, True])
        self.read()
        self.assertEqual(self.looks(), [False, False])
        self.one.write_bytes(b"1")
        self.assertEqual(self.looks(), [False, True])

    def test_behind_a_link(self) -> None:
        link = self.folder / "link"
        link.symlink_to(self.one.absolute())
        self.watch.have_read([link])
        new = self.folder / "new"
        new.symlink_to(self.other.absolute())
        new.rename(link)
        self.assertEqual(self.looks(), [False, True])

    def test_what_cannot_be_looked_at_is_not_there(self) -> None:
        self.watch.have_read([self.one / "below", Path("a\0b")])
        self.assertEqual(self.looks(), [False, False])
