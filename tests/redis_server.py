"""A redis-server of a test's own: on a unix socket in a directory of its own, with nothing on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.requirements import require

PATIENCE_SECONDS = 30.0


class RedisServer:
    """Skips the test where redis-server is not installed."""

    def __init__(self) -> None:
        self._program = require("redis-server")
        # Not below trial's directory: the path of a unix socket has 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="scalekit-redis-"))
        self.socket = self.directory / "redis.sock"
        self.process = self._start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [self._program, "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert process.poll() is None, (self.directory / "log").read_text()
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.01)
        return process

    def ask(self, *words: str) -> bytes:
        """What it answers to a command, as it comes; for short answers."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE_SECONDS)
            sock.connect(str(self.socket))
            sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words))
            return sock.recv(65536)

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == b"+PONG\r\n"
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL: what it knew is gone."""
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def restart(self) -> None:
        """Start it anew, empty."""
        self.process = self._start()

    def clean_up(self) -> None:
        """End it, and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory)
