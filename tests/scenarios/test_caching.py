"""The cache service as a process, and applications that use it by the kit."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit import kit
from scalekit.kit.breaker import OPEN_SECONDS
from scalekit.kit.lookup import Look
from scalekit.kit.opening import open_cache
from scalekit.kit.thread_cache import Cache
from tests.ports import free_ports
from tests.scenarios.running import CHECKOUT, Daemon, until

PROCESSES, THREADS = 8, 25
# On a machine that does other things too, the usual 50 ms may be over before the service was run.
PATIENCE_SECONDS = 30.0


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

    def open(self, read_seconds: float = PATIENCE_SECONDS) -> Cache:
        cache = open_cache(self.url, ca=self.ca, read_seconds=read_seconds)
        self.addCleanup(cache.close)
        return cache


class StampedeTests(CachingCase):
    def start(self) -> subprocess.Popen[str]:
        arguments = [str(THREADS), str(self.runs), str(PATIENCE_SECONDS)]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.scenarios.caching_app", self.url, self.ca, *arguments],
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


class AwayTests(CachingCase):
    """
    Whatever is wrong with it: five requests look for it, for as long as a look may take, then none does for two
    seconds; and each makes its value itself.
    """

    def setUp(self) -> None:
        super().setUp()
        self.seconds = 0.0
        self.cache = Cache(self.url, self.ca, lambda: self.seconds)
        self.addCleanup(self.cache.close)
        self.numbers: list[int] = []

        @kit.cached(self.cache, max_age=60, wait_seconds=60, key=str)
        def made(number: int) -> int:
            self.numbers.append(number)
            return number

        self.made = made

    def failures(self) -> str:
        return repr(self.cache).partition(" after ")[2]

    def check(self, begin: Callable[[], object] = lambda: None, end: Callable[[], object] = lambda: None) -> None:
        """:param begin: called before each request; ``end``: after it."""
        told = []
        for number in range(9):
            begin()
            self.assertEqual(self.made(number), number)
            told.append(self.failures())
            end()
        self.assertEqual(self.numbers, list(range(9)))
        self.assertEqual(told, [f"{count} failures>>" for count in (1, 2, 3, 4, *[5] * 5)])
        self.seconds += OPEN_SECONDS
        begin()
        self.assertEqual([self.made(10), self.made(11)], [10, 11])
        self.assertEqual(self.failures(), "6 failures>>", "one has tried for all")
        end()

    def check_back(self) -> None:
        """Once it is well again it is asked again."""

        def is_back() -> bool:
            self.seconds += OPEN_SECONDS
            return self.cache.put("k", b"v", 60)

        until(is_back, "it is used again")
        self.assertEqual(self.failures(), "0 failures>>")

    def test_down(self) -> None:
        self.daemon.end()
        self.check()

    def test_hung(self) -> None:
        self.daemon.send(signal.SIGSTOP)
        try:
            self.check()
        finally:
            self.daemon.send(signal.SIGCONT)
        self.check_back()

    def test_slow(self) -> None:
        """It answers, but each time later than anybody waits."""
        self.check(lambda: self.daemon.send(signal.SIGSTOP), lambda: self.daemon.send(signal.SIGCONT))
        self.check_back()
