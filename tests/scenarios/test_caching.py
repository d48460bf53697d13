"""The cache service as a process, and applications that use it by the kit."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.cache_requests import READ_SECONDS
from scalekit.kit.lookup import Look
from scalekit.kit.opening import open_cache
from scalekit.kit.thread_cache import Cache
from tests.scenarios.running import CHECKOUT, Daemon, free_ports

PROCESSES, THREADS = 3, 10


class CachingCase(SynchronousTestCase):
    timeout = 300

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        self.daemon = Daemon(folder, "scalekit-cache", "--listen", self.url, "--state-directory", str(folder / "state"))
        self.addCleanup(self.daemon.clean_up)
        self.daemon.wait_for("listening on https")
        self.ca = str(self.daemon.state / "tls" / "ca.pem")
        self.runs = folder / "runs"

    def open(self, read_seconds: float = 30) -> Cache:
        cache = open_cache(self.url, ca=self.ca, read_seconds=read_seconds)
        self.addCleanup(cache.close)
        return cache


class StampedeTests(CachingCase):
    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.caching_app", self.url, self.ca, str(THREADS), str(self.runs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=CHECKOUT,
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def test_a_cold_key_is_made_once(self) -> None:
        """Many threads of several processes ask for it at the same moment; all get it, one makes it."""
        processes = [self.start() for _ in range(PROCESSES)]
        for process in processes:
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "ready\n")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            output, _ = process.communicate()
            self.assertEqual(output, f"{THREADS}\n")
        self.assertEqual(len(self.runs.read_text().splitlines()), 1)


class OneTests(CachingCase):
    def test_over_tls(self) -> None:
        cache = self.open()
        self.assertTrue(cache.put("/posts/1", b"\0\xff" * 1000, 60, tags=["posts", "a b"]))
        self.assertEqual(cache.get("/posts/1"), b"\0\xff" * 1000)
        self.assertEqual(cache.get_many(["/posts/1", "x"]), {"/posts/1": b"\0\xff" * 1000})
        lease = cache.look(Look("/posts/2", 10))
        assert lease is not None
        self.assertTrue(lease.lease)
        self.assertTrue(cache.purge(["/posts/2"], tags=["a b"]))
        self.assertIsNone(cache.get("/posts/1"))
        self.assertFalse(cache.put("/posts/2", b"old", 60, lease=lease.lease))
        self.assertIsNone(cache.get("/posts/2"))

    def test_hung_it_is_a_miss_and_then_not_asked(self) -> None:
        """Five looks that take no longer than they may, and then none."""
        cache = self.open(READ_SECONDS)
        self.daemon.send(signal.SIGSTOP)
        try:
            self.assertEqual([cache.get("k") for _ in range(5)], [None] * 5)
            looked = cache.look(Look("k", 10, wait_seconds=60))
            self.assertIsNone(looked)
            self.assertIn("open", repr(cache))
        finally:
            self.daemon.send(signal.SIGCONT)
        self.assertTrue(self.open().put("k", b"v", 60))
