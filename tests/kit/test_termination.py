"""Tests of `scalekit.kit.termination`; with real servers in `tests.scenarios.test_deploys`."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.termination import GUNICORN, Termination, is_listening, server_of


class TerminationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls: list[int] = []
        self.left: list[Callable[[], object]] = []
        self.is_staying = False
        before = signal.getsignal(signal.SIGTERM)
        self.addCleanup(signal.signal, signal.SIGTERM, before)

        def theirs(number: int, frame: FrameType | None) -> None:
            self.calls.append(number)

        theirs.__module__ = "gunicorn.workers.base"
        self.theirs = theirs
        signal.signal(signal.SIGTERM, theirs)
        self.termination = Termination(self.left.append, lambda: self.is_staying)

    def test_leaves_first(self) -> None:
        self.assertTrue(self.termination.install())
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual((len(self.left), self.calls), (1, []))
        self.left[0]()
        self.assertEqual(self.calls, [signal.SIGTERM])

    def test_a_second_signal_does_not_wait(self) -> None:
        self.termination.install()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual((len(self.left), self.calls), (1, [signal.SIGTERM]))
        self.left[0]()
        self.assertEqual(len(self.calls), 1)

    def test_a_process_that_is_replaced_has_nothing_to_leave(self) -> None:
        self.termination.install()
        self.is_staying = True
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual((self.left, self.calls), ([], [signal.SIGTERM]))

    def test_other_servers_are_left_alone(self) -> None:
        self.theirs.__module__ = "hypercorn.asyncio.run"
        self.assertFalse(self.termination.install())
        self.assertIs(signal.getsignal(signal.SIGTERM), self.theirs)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.assertFalse(self.termination.install())

    def test_other_threads_cannot(self) -> None:
        done: list[bool] = []
        thread = threading.Thread(target=lambda: done.append(self.termination.install()))
        thread.start()
        thread.join()
        self.assertEqual(done, [False])

    def test_server_of(self) -> None:
        for module, server in {
            "gunicorn.workers.gthread": GUNICORN,
            "gunicorn.arbiter": None,
            "uvicorn.server": "uvicorn",
            "uvicorn_worker": None,
            "asyncio.unix_events": None,
        }.items():
            self.theirs.__module__ = module
            self.assertEqual(server_of(self.theirs), server, module)
        self.assertIsNone(server_of(signal.SIG_IGN))


class IsListeningTests(SynchronousTestCase):
    def test_while_it_is_open(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        self.assertTrue(is_listening(os.getpid(), port))
        self.assertFalse(is_listening(os.getpid(), port - 1))
        listener.close()
        self.assertFalse(is_listening(os.getpid(), port))

    def test_where_nothing_is_told(self) -> None:
        self.assertFalse(is_listening(os.getpid(), 1, Path(self.mktemp())))
