"""Tests of `scalekit.kit.spawning`: real processes and sockets."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from scalekit.kit.spawning import is_answering, spawn


class SpawnTests(TestCase):
    timeout = 60

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        """The reactor runs, as it does where commands are started: without it nobody hears that a process has ended."""
        return deferLater(cast(Any, reactor), 0.01, lambda: None)

    def spawn(self, *arguments: str, **environ: str) -> tuple[Any, Deferred[int]]:
        ended: Deferred[int] = Deferred()
        return spawn(arguments, {"PATH": os.environ["PATH"], **environ}, reactor, ended.callback), ended

    async def test_status_and_environment(self) -> None:
        self.assertEqual(await self.spawn("sh", "-c", "exit $STATUS", STATUS="3")[1], 3)
        self.assertEqual(await self.spawn("sh", "-c", "kill -9 $$")[1], -signal.SIGKILL)

    async def test_what_is_no_command(self) -> None:
        """As a shell says it; that it is not there is seen before, by ``scalekit run``."""
        self.assertEqual(await self.spawn(str(Path(self.mktemp()).absolute()))[1], 127)
        self.assertEqual(await self.spawn(os.getcwd())[1], 126)

    async def test_it_is_the_first_of_a_group(self) -> None:
        file = Path(self.mktemp()).absolute()
        process, ended = self.spawn("sh", "-c", 'ps -o pgid= -p $$ > "$FILE"; echo $$ >> "$FILE"', FILE=str(file))
        self.assertEqual(await ended, 0)
        self.assertEqual(len(set(file.read_text().split())), 1)
        process.signal(signal.SIGTERM)  # lost, and no fault
        process.signal_group(signal.SIGTERM)

    async def test_signals(self) -> None:
        process, ended = self.spawn("sleep", "600")
        process.signal(signal.SIGTERM)
        self.assertEqual(await ended, -signal.SIGTERM)


class AnsweringTests(TestCase):
    timeout = 60

    async def test_somebody_and_nobody(self) -> None:
        port = cast(Any, reactor).listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        number = port.getHost().port
        for host in ("127.0.0.1", "localhost"):
            self.assertTrue(await is_answering(host, number, reactor))
        await port.stopListening()
        self.assertFalse(await is_answering("127.0.0.1", number, reactor))
        self.assertFalse(await is_answering("::1", number, reactor))
