"""``scalekit logs fsck``."""

from __future__ import annotations

import json
import os

from scalekit.logs.directory import LocalDirectory
from scalekit.logs.fsck import checking
from scalekit.ops.cli import log_files
from tests.logs.fsck.logs import HOUR, START, fill
from tests.ops.cli.commands import CommandCase, Done


class FsckTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.state / "logs"
        directory = LocalDirectory(str(self.path))
        self.collector, _ = fill(directory)

    def stop(self) -> None:
        """The daemon ends."""
        self.successResultOf(self.collector.stopService())

    def fsck(self, *arguments: str) -> Done:
        return self.run_command("logs", "fsck", *arguments)

    def test_clean(self) -> None:
        """Of the directory of the configuration, and of another one; nothing is changed."""
        self.stop()
        before = {name: (self.path / name).read_bytes() for name in os.listdir(self.path)}
        for arguments in ((), ("--directory", str(self.path))):
            done = self.fsck(*arguments)
            self.assertEqual(done.status, 0, done)
            self.assertIn("clean", done.stdout)
            self.assertIn("do not count", done.stdout)  # what log.txt has for people while no daemon runs
        self.assertEqual({name: (self.path / name).read_bytes() for name in os.listdir(self.path)}, before)

    def test_beside_a_daemon(self) -> None:
        """What it writes is left out, and said to be; it may also be started meanwhile."""
        done = self.fsck()
        self.assertEqual((done.status, "what it is writing was not looked at" in done.stdout), (0, True), done)
        self.assertIn("another log daemon has this directory", self.fsck("--repair").stderr)
        self.assertEqual(self.fsck("--repair").status, 2)
        self.stop()
        real = checking.check
        started: list[LocalDirectory] = []

        def check(files: object, *, is_partial: bool) -> object:
            if not started:
                started.append(LocalDirectory(str(self.path)))
            return real(files, is_partial=is_partial)  # type: ignore[arg-type]

        self.patch(log_files, "check", check)
        self.assertIn("what it is writing was not looked at", self.fsck().stdout)
        started[0].close()

    def test_damage(self) -> None:
        """A table with file and offset, or JSON; repaired, it is clean."""
        self.stop()
        name = self.path / "journal-00000001"
        content = bytearray(name.read_bytes())
        content[300] ^= 1
        name.write_bytes(content)
        done = self.fsck()
        self.assertEqual((done.status, "1 findings" in done.stdout), (1, True), done)
        line = next(line for line in done.stdout.splitlines() if "journal-00000001" in line)
        self.assertIn("bytes are no whole frame", line)
        found = [json.loads(line) for line in self.fsck("--json").stdout.splitlines()]
        (finding,) = [each for each in found if not each["is_note"]]
        self.assertLess(finding["offset"], 300)
        self.now = self.now.fromtimestamp(START + 3 * HOUR, self.now.tzinfo)
        done = self.fsck("--repair")
        self.assertEqual(done.status, 0, done)
        self.assertIn("2 entries that only the journal had are in their volume", done.stderr)
        self.assertIn("journal-00000001: ", done.stderr)
        self.assertEqual(self.fsck().status, 0)

    def test_what_cannot_be(self) -> None:
        """Status 2 and one line; a directory that is not there is not made."""
        self.stop()
        for arguments, text in (
            (("--directory", str(self.folder / "none")), "No such file"),
            (("--directory", str(self.folder / "none"), "--repair"), "No such file"),
            (("--config", str(self.folder / "none.toml")), "none.toml"),
        ):
            done = self.fsck(*arguments)
            self.assertEqual((done.status, done.stdout, done.stderr.count("\n")), (2, "", 1), done)
            self.assertIn(text, done.stderr)
        self.assertFalse((self.folder / "none").exists())
