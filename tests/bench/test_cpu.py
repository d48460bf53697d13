"""CPU time is that of a process and its children."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.cpu import TICKS_PER_SECOND, Used, family_of, parse_stat, used_by


def stat(pid: int, parent: int, user: int, system: int, name: str = "nginx") -> str:
    return f"{pid} ({name}) S {parent} 1 1 0 -1 4194304 5 0 0 0 {user} {system} 0 0 20 0 1 0 99 1 1"


class StatTests(SynchronousTestCase):
    def test_name_may_hold_anything(self) -> None:
        parent, used = parse_stat(stat(7, 3, 250, 50, "a) S 9 (b"))
        self.assertEqual((parent, used), (3, Used(250 / TICKS_PER_SECOND, 50 / TICKS_PER_SECOND)))

    def test_children_count(self) -> None:
        proc = Path(self.mktemp())
        for pid, parent in ((10, 1), (11, 10), (12, 1), (13, 110)):
            (proc / str(pid)).mkdir(parents=True)
            (proc / str(pid) / "stat").write_text(stat(pid, parent, TICKS_PER_SECOND, 2 * TICKS_PER_SECOND))
        (proc / "14").mkdir()  # ended while we looked
        self.assertEqual(used_by(10, proc), Used(2.0, 4.0))
        self.assertEqual(sorted(family_of(10, proc)), [10, 11])

    def test_since(self) -> None:
        self.assertEqual(Used(3.0, 5.0).since(Used(1.0, 1.0)), Used(2.0, 4.0))
