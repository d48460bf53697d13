"""Tests of `scalekit.kit.second_signal`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.second_signal import SIGNALS, SecondSignal
from tests.ports import free_ports
from tests.scenarios.running import CHECKOUT, PATIENCE_SECONDS, until

#: A request whose answer has no end, and an hour for it.
APPLICATION = """
from twisted.application.service import Application
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from scalekit.kit import AppServer

class Silent(Resource):
    isLeaf = True
    def render_GET(self, request):
        request.write(b"begun")
        return NOT_DONE_YET

application = Application("silent")
AppServer(Silent(), {port}, scheme="http", drain_seconds=3600).setServiceParent(application)
"""


class FakeReactor:
    """As much of one as is asked of it."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def sigTerm(self, number: int, frame: FrameType | None) -> None:
        self.calls.append(lambda: "the first")


class SecondSignalTests(SynchronousTestCase):
    def setUp(self) -> None:
        for number in SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor = FakeReactor()
        self.again = SecondSignal(self.reactor, lambda: "again")

    def come(self) -> list[object]:
        """What comes of a signal."""
        os.kill(os.getpid(), signal.SIGTERM)
        calls, self.reactor.calls = self.reactor.calls, []
        return [call() for call in calls]

    def test_the_reactors_functions_are_replaced_for_a_while(self) -> None:
        signal.signal(signal.SIGTERM, self.reactor.sigTerm)
        self.assertEqual(self.come(), ["the first"])
        self.again.watch()
        self.assertEqual((self.come(), repr(self.again)), (["again"], "<SecondSignal watching>"))
        self.again.release()
        self.assertEqual((self.come(), repr(self.again)), (["the first"], "<SecondSignal at rest>"))

    def test_functions_of_others_stay(self) -> None:
        theirs: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: theirs.append(number))
        self.again.watch()
        self.assertEqual((self.come(), theirs), ([], [signal.SIGTERM]))

    def test_other_threads_may_not(self) -> None:
        signal.signal(signal.SIGTERM, self.reactor.sigTerm)
        thread = threading.Thread(target=self.again.watch)
        thread.start()
        thread.join()
        self.assertEqual(self.come(), ["the first"])


class TwistdTests(SynchronousTestCase):
    def test_sigterm_twice(self) -> None:
        """Under twistd, without a daemon of ours around it: the first waits for what is in flight, the second ends."""
        port, nobody = free_ports(2)
        place = Path(self.mktemp()).absolute()
        place.mkdir(parents=True)
        (place / "silent.tac").write_text(APPLICATION.format(port=port))
        run = "from twisted.scripts.twistd import run; run()"
        process = subprocess.Popen(
            [sys.executable, "-c", run, "-n", "--pidfile=", "-y", str(place / "silent.tac")],
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "SCALEKIT_BALANCER": f"http://127.0.0.1:{nobody}"},
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def is_listening() -> bool:
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0

        until(is_listening, "it listens")
        client = socket.create_connection(("127.0.0.1", port))
        self.addCleanup(client.close)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.settimeout(PATIENCE_SECONDS)
        self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))
        process.send_signal(signal.SIGTERM)
        until(lambda: not is_listening(), "it accepts nothing more")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_SECONDS)
