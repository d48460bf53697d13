"""Making an index: the process that does it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import zlib

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.directory import FoundDirectory, LocalDirectory
from scalekit.logs.entry import Entry
from scalekit.logs.search import building
from scalekit.logs.search.building import LET_GO, UNSUITABLE, build, main
from scalekit.logs.search.indexes import Index
from scalekit.logs.search.words import Lookup
from scalekit.logs.volumes import Manifest
from tests.logs.search.indexed import T, sealed


class BuildingTests(SynchronousTestCase):
    """`main`."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.directory = LocalDirectory(self.path)
        self.addCleanup(self.directory.close)
        self.manifest = self.write()

    def write(self) -> Manifest:
        """A sealed volume of three lines."""
        return sealed(self.directory, [Entry(T + n, "INFO", "s", f"n{n} é") for n in range(3)])[0]

    def run_child(self, name: str, stdin: int = subprocess.PIPE) -> tuple[int, str]:
        """Its exit status and what it says, while its standard input is open."""
        command = [sys.executable, "-m", "scalekit.logs.search.building", self.path, name, "made"]
        child = subprocess.Popen(command, stdin=stdin, stderr=subprocess.PIPE, text=True)
        try:
            assert child.stderr is not None
            said = child.stderr.read()
            return child.wait(60), said
        finally:
            for pipe in (child.stdin, child.stderr):
                if pipe is not None:
                    pipe.close()

    def test_an_index(self) -> None:
        """It is one of this volume, and nobody else's to read."""
        self.assertEqual(self.run_child(self.manifest.name), (0, ""))
        self.assertEqual(stat.S_IMODE(os.stat(self.directory.path_of("made")).st_mode), 0o600)
        self.directory.rename("made", self.manifest.index)
        files = FoundDirectory(self.path)
        self.addCleanup(files.close)
        index = Index.open(files, self.manifest)
        self.addCleanup(index.close)
        numbers = index.numbers(T, T + 2)
        self.assertEqual(numbers, range(1, 3))
        (found,) = index.candidates(Lookup('"n1"'), numbers, is_backwards=False)
        line = self.directory.read(self.manifest.truth, found.position, found.length)
        self.assertTrue(line.startswith(b"{") and line.endswith(b"}") and b"n1" in line, line)

    def test_failures(self) -> None:
        """One line; no volume, and one that is not what its manifest says."""
        self.assertEqual(self.run_child("log-none"), (UNSUITABLE, "log-none.json cannot be read\n"))
        truth = self.directory.read(self.manifest.truth)
        self.directory.replace(self.manifest.truth, truth.replace(b"n1", b"n7"))
        status, said = self.run_child(self.manifest.name)
        self.assertEqual((status, said.count("\n")), (UNSUITABLE, 1), said)
        self.assertIn("is damaged", said)

    def test_damaged_lines(self) -> None:
        """What was damaged already when the volume was sealed is no line; the others are there."""
        for old, new in ((b"n1", b"n\n"), (b"2023", b"20x3")):
            truth = self.directory.read(self.manifest.truth).replace(old, new, 1)
            self.directory.replace(self.manifest.truth, truth)
            manifest = replace(self.manifest, length=len(truth), crc=zlib.crc32(truth))
            path = self.directory.path_of(manifest.index)
            build(self.directory, manifest, path)
            index = Index.open(self.directory, manifest)
            found = list(index.candidates(Lookup('"n2"'), index.numbers(0, T * 2), is_backwards=False))
            index.close()
            self.directory.remove(manifest.index)
            (place,) = found
            self.assertIn(b"n2", truth[place.position : place.position + place.length])

    def test_the_leash(self) -> None:
        """It ends when its standard input does, whatever it is at."""
        reading, writing = os.pipe()
        os.close(writing)
        ends: list[int] = []
        self.patch(os, "_exit", ends.append)
        building._end_with(reading)
        os.close(reading)
        self.assertEqual(ends, [LET_GO])

    def test_in_this_process(self) -> None:
        """The same, where no process is started."""

        class NoThread:
            def __init__(self, **named: object) -> None:
                pass

            def start(self) -> None:
                pass

        self.patch(threading, "Thread", NoThread)
        self.patch(os, "nice", int)
        self.assertEqual(main([self.path, self.manifest.name, "made"]), 0)
        self.assertTrue(self.directory.size("made"))
