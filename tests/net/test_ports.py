"""Accepting: what goes wrong there, without a network.  The ports of a daemon are in test_listening.py."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.ports import ACCEPTS_PER_TURN, REST_SECONDS, Admission, Port
from tests.net.wire import Recording, Serving


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard

    def removeWriter(self, writer: Any) -> None:
        pass


class FakeListener:
    """Accepts what the script says: an errno, or a client's address."""

    family = socket.AF_INET6

    def __init__(self, case: SynchronousTestCase, script: list[Any]) -> None:
        self.case = case
        self.script = script
        self.accepted: list[socket.socket] = []

    def fileno(self) -> int:
        return -1

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.script:
            raise BlockingIOError(errno.EAGAIN, "again")
        step = self.script.pop(0)
        if isinstance(step, int):
            raise OSError(step, os.strerror(step))
        ours, theirs = socket.socketpair()
        self.case.addCleanup(ours.close)
        self.case.addCleanup(theirs.close)
        self.accepted.append(ours)
        return ours, step

    def getsockname(self) -> Any:
        return "::", 2000, 0, 0


CLIENT = ("2001:db8::1", 40_000, 0, 0)


class AcceptTests(SynchronousTestCase):
    def make(self, script: list[Any], limit: int = 100) -> tuple[Port, FakeReactor]:
        self.factory = Serving()
        fake = FakeReactor()
        self.admission = Admission(limit)
        port = Port(2000, self.factory, "::", fake, self.admission)
        self.listener = FakeListener(self, script)
        port.socket = self.listener
        port.fileno = self.listener.fileno  # type: ignore[method-assign]
        port.connected = True
        port.startReading()
        return port, fake

    def test_peers(self) -> None:
        port, _ = self.make([CLIENT, ("::ffff:192.0.2.7", 5, 0, 0), ("fe80::1", 5, 0, 1)])
        port.doRead()
        hosts = [protocol.transport.getPeer().host for protocol in self.factory.protocols]
        self.assertEqual(hosts[:2], ["2001:db8::1", "192.0.2.7"])
        self.assertTrue(hosts[2].startswith("fe80::1%"), hosts[2])
        self.assertEqual(self.admission.open, 3)
        self.assertEqual(repr(self.admission), "<Admission 3 of 100, 0 refused>")

    def test_not_all_in_one_turn(self) -> None:
        port, _ = self.make([CLIENT] * 100)
        port.doRead()
        self.assertEqual(len(self.factory.protocols), ACCEPTS_PER_TURN)
        port.doRead()
        self.assertEqual(len(self.factory.protocols), 100)

    def test_the_last_ones(self) -> None:
        """Before it closes: all who wait to be accepted, until that cannot be done any more."""
        count = 2 * ACCEPTS_PER_TURN + 1
        port, _ = self.make([*[CLIENT] * count, errno.EMFILE, CLIENT], 1000)
        port.addressFamily = socket.AF_UNIX  # this one has no packets to keep out
        port.take_last()
        self.assertEqual(len(self.factory.protocols), count)
        port.stopReading()
        port.loseConnection()

    def test_no_descriptor_left(self) -> None:
        """It rests, says so once, and goes on by itself."""
        port, fake = self.make([errno.EMFILE, errno.EMFILE, CLIENT, errno.ENFILE])
        said: list[Any] = []
        observer: Any = said.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        for _ in range(2):
            port.doRead()
            self.assertEqual(fake.readers & {port}, set())
            fake.advance(REST_SECONDS)
            self.assertIn(port, fake.readers)
        port.doRead()
        self.assertEqual(len(self.factory.protocols), 1)
        lines = [event["log_format"].format(**event) for event in said if event.get("log_format")]
        self.assertEqual(
            lines,
            [
                "cannot accept a connection: Too many open files; 0 are open",
                "cannot accept a connection: Too many open files in system; 1 are open",
            ],
        )
        port.stopListening()
        self.assertEqual([call.getTime() for call in fake.getDelayedCalls()], [fake.seconds()])

    def test_clients_that_are_gone(self) -> None:
        port, _ = self.make([errno.ECONNABORTED, errno.EPERM, CLIENT])
        port.doRead()
        self.assertEqual(len(self.factory.protocols), 1)

    def test_over_the_limit(self) -> None:
        port, _ = self.make([CLIENT] * 5, limit=2)
        port.doRead()
        self.assertEqual((self.admission.open, self.admission.refused), (2, 3))
        self.assertEqual([sock.fileno() == -1 for sock in self.listener.accepted], [False, False, True, True, True])
        self.factory.protocols[0].transport.connectionLost(Failure(ConnectionDone()))
        self.listener.script.append(CLIENT)
        port.doRead()
        self.assertEqual((self.admission.open, self.admission.refused), (2, 3))

    def test_refused_by_the_factory(self) -> None:
        port, _ = self.make([CLIENT])
        self.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        port.doRead()
        self.assertEqual(self.listener.accepted[0].fileno(), -1)
        self.assertEqual(self.admission.open, 0)

    def test_factory_that_fails(self) -> None:
        port, _ = self.make([CLIENT, CLIENT])
        made = iter([None, Recording()])

        def make(addr: Any) -> Any:
            return next(made) or 1 // 0

        self.factory.buildProtocol = make  # type: ignore[method-assign]
        port.doRead()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([sock.fileno() == -1 for sock in self.listener.accepted], [True, False])
        self.assertEqual(self.admission.open, 1)

    def test_protocol_that_fails(self) -> None:
        port, fake = self.make([CLIENT])
        protocol = Recording()
        protocol.connectionMade = lambda: 1 // 0  # type: ignore[assignment,method-assign]
        self.factory.buildProtocol = lambda addr: protocol  # type: ignore[method-assign]
        port.doRead()
        fake.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(protocol.events, ["lost"])
        self.assertEqual(self.admission.open, 0)


class AdmissionTests(SynchronousTestCase):
    def test_told_when_nobody_is_left(self) -> None:
        admission = Admission(10)
        self.successResultOf(admission.when_empty())
        admission.open = 2
        told, cancelled = admission.when_empty(), admission.when_empty()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        admission.leave()
        self.assertNoResult(told)
        admission.greeting_failed(None)
        self.successResultOf(told)
