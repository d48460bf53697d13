"""The two kinds of directory keep the same rules."""

from __future__ import annotations

import errno
import os
import stat
from itertools import repeat
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.logs.directory import Directory, LocalDirectory
from scalekit.logs.memory import MemoryDirectory


class Rules(SynchronousTestCase):
    """What `Directory` promises: the tests that every provider has to pass."""

    def make(self) -> Directory:
        """A new empty one."""
        raise NotImplementedError

    def test_what_is_not_there(self) -> None:
        """It is empty and has no size; to remove or rename it is an error."""
        directory = self.make()
        self.assertEqual((directory.names(), directory.size("a"), directory.read("a")), ([], 0, b""))
        self.assertRaises(FileNotFoundError, directory.remove, "a")
        self.assertRaises(FileNotFoundError, directory.rename, "a", "b")
        self.assertGreater(directory.free(), 0)
        directory.close()

    def test_files_that_grow(self) -> None:
        """Appended to, synced, read; a name is given once."""
        directory = self.make()
        file = directory.create("a")
        file.write(b"one")
        file.write(b"two")
        file.sync()
        file.close()
        self.assertEqual((directory.read("a"), directory.size("a"), directory.names()), (b"onetwo", 6, ["a"]))
        self.assertEqual(
            (directory.read("a", 2), directory.read("a", 1, 2), directory.read("a", 9)), (b"etwo", b"ne", b"")
        )
        self.assertRaises(FileExistsError, directory.create, "a")
        directory.rename("a", "b")
        self.assertEqual(directory.names(), ["b"])
        directory.remove("b")
        self.assertEqual(directory.names(), [])
        directory.close()

    def test_files_with_their_room(self) -> None:
        """Zeros, which are overwritten from the beginning on; what is too long makes it longer."""
        directory = self.make()
        file = directory.create("a", 6)
        self.assertEqual(directory.read("a"), bytes(6))
        file.write(b"one")
        file.write(b"t")
        file.sync()
        self.assertEqual(directory.read("a"), b"onet\0\0")
        file.write(b"woandmore")
        file.close()
        self.assertEqual(directory.read("a"), b"onetwoandmore")
        directory.close()

    def test_writing_from_an_offset(self) -> None:
        """What was there from it on is gone, also when nothing is written."""
        directory = self.make()
        for offset, data, content in (
            (0, b"12345678", b"12345678"),
            (4, b"x", b"1234x"),
            (2, b"", b"12"),
            (2, b"ab", b"12ab"),
        ):
            directory.write_from("a", offset, data)
            self.assertEqual(directory.read("a"), content)
        directory.close()

    def test_replacing(self) -> None:
        """The new content, and nothing else left behind."""
        directory = self.make()
        directory.replace("a", b"old")
        directory.replace("a", b"new")
        self.assertEqual((directory.read("a"), directory.names()), (b"new", ["a"]))
        directory.close()


class MemoryDirectoryRules(Rules):
    def make(self) -> Directory:
        return MemoryDirectory()


class LocalDirectoryRules(Rules):
    def make(self) -> Directory:
        return LocalDirectory(self.mktemp())


del Rules  # trial would run it too


class MemoryDirectoryTests(SynchronousTestCase):
    """`MemoryDirectory`."""

    def test_power_loss(self) -> None:
        """What was synced is there; of the rest, the asked part, and garbage at its end."""
        directory = MemoryDirectory()
        file = directory.create("a")
        file.write(b"safe")
        file.sync()
        file.write(b"unsafe")
        for choice, content in ((0.0, b"safe"), (0.55, b"safeu\xf5\xff"), (1.0, b"safeunsafe")):
            self.assertEqual(directory.survive(repeat(choice).__next__).read("a"), content)

    def test_sectors_are_written_in_any_order(self) -> None:
        """Of what is not synced, any may be there; what was is, and a cut or a removal may be undone."""
        directory = MemoryDirectory()
        directory.write_from("a", 0, b"1" * 2048)
        file = directory.create("b", 2048)
        file.write(b"2" * 2048)
        directory.remove("a")
        choices = iter([0.0, 1.0, 0.0, 1.0, 0.0])
        left = directory.survive(lambda: next(choices))
        self.assertEqual(left.read("a"), b"1" * 2048)
        self.assertEqual(left.read("b"), (b"2" * 512 + bytes(512)) * 2)
        self.assertEqual(directory.survive(lambda: 1.0).names(), ["b"])

    def test_a_failed_sync_is_for_ever(self) -> None:
        """As on Linux: the next sync claims success, and the data are not safe."""
        directory = MemoryDirectory()
        file = directory.create("a")
        file.write(b"x")
        directory.fail_after(0, error=OSError())
        self.assertRaises(OSError, file.sync)
        file.sync()
        self.assertEqual(directory.survive().read("a"), b"")


class LocalDirectoryTests(SynchronousTestCase):
    """`LocalDirectory`."""

    def test_only_one_has_it(self) -> None:
        """A second daemon gets one clear line, until the first has closed it."""
        path = self.mktemp()
        first = LocalDirectory(path)
        fault = self.assertRaises(ConfigurationFault, LocalDirectory, path)
        self.assertEqual(str(fault), f"{path}: another log daemon has this directory")
        first.close()
        LocalDirectory(path).close()

    def test_a_disk_that_takes_nothing(self) -> None:
        """What it holds can be read: it is opened."""
        path = self.mktemp()
        first = LocalDirectory(path)
        first.replace("a", b"there")
        first.close()
        open_really = os.open

        def refuse(name: str, flags: int, *rest: Any, **others: Any) -> int:
            if flags & os.O_CREAT:
                raise OSError(next(numbers), "refused")
            return open_really(name, flags, *rest, **others)

        numbers = iter((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES))
        self.patch(os, "open", refuse)
        for _ in range(3):
            directory = LocalDirectory(path)
            self.assertEqual(directory.read("a"), b"there")
            directory.close()
        self.assertRaises(ConfigurationFault, LocalDirectory, path)

    def test_a_directory_that_cannot_be_used(self) -> None:
        """A file in its place, or on the way to it, is told in one line."""
        path = self.mktemp()
        with open(path, "w"):
            pass
        for place in (path, os.path.join(path, "below")):
            fault = self.assertRaises(ConfigurationFault, LocalDirectory, place)
            self.assertTrue(str(fault).startswith(f"{place}: cannot be used as the log directory: "), str(fault))

    def test_nobody_else_reads_it(self) -> None:
        """The directory and its files are the owner's only."""
        path = self.mktemp()
        directory = LocalDirectory(path)
        directory.write_from("a", 0, b"x")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(path, "a")).st_mode), 0o600)
        directory.close()
