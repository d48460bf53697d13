"""Memory is that of a process and its children."""

import os
import resource
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.idle import CONNECTIONS, Idle, IdleRow, raise_file_limit, resident_bytes
from tests.bench.test_cpu import stat


class MemoryTests(SynchronousTestCase):
    def test_children_count(self) -> None:
        proc = Path(self.mktemp())
        for pid, parent, pages in ((10, 1, 5), (11, 10, 7), (12, 1, 100)):
            (proc / str(pid)).mkdir(parents=True)
            (proc / str(pid) / "stat").write_text(stat(pid, parent, 1, 1))
            (proc / str(pid) / "statm").write_text(f"999 {pages} 3 1 0 4 0\n")
        self.assertEqual(resident_bytes(10, proc), 12 * os.sysconf("SC_PAGE_SIZE"))

    def test_rows_by_name(self) -> None:
        idle = Idle(10, [IdleRow("nginx"), IdleRow("scalekit", 3.0)])
        self.assertEqual(idle.row("scalekit"), IdleRow("scalekit", 3.0))
        self.assertEqual(idle.row("haproxy"), None)

    def test_no_more_connections_than_files(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        self.assertTrue(0 < raise_file_limit() <= CONNECTIONS)
