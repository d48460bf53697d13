"""Connections that are read and written together: over socket pairs, with a reactor that only notes."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import main
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.gathering import HELD_BYTES, GatheringTransport, send_all


class Turns(Clock):
    """Notes what a reactor is asked for; `end` ends the turn."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.ended: list[tuple[Any, Any]] = []
        self.holding: list[GatheringTransport] = []

    def end(self) -> None:
        send_all(self.holding)

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def _disconnectSelectable(self, selectable: Any, why: Any, is_read: bool) -> None:
        self.ended.append((selectable, why))


class Hearing(Protocol):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data)


class GatheringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Turns()
        ours, self.peer = socket.socketpair()
        for end in (ours, self.peer):
            end.setblocking(False)
            self.addCleanup(end.close)
        self.protocol = Hearing()
        self.transport = GatheringTransport(ours, "/there", self.protocol, self.reactor)
        self.transport.startReading()
        self.protocol.makeConnection(self.transport)

    def arrived(self) -> bytes:
        try:
            return self.peer.recv(1 << 20)
        except BlockingIOError:
            return b""

    # Writing.

    def test_what_a_turn_writes_is_sent_at_its_end_as_one(self) -> None:
        self.transport.write(b"head")
        self.transport.write(b"body")
        self.assertEqual((self.arrived(), self.transport.queued_bytes), (b"", 8))
        self.reactor.end()
        self.assertEqual((self.arrived(), self.transport.queued_bytes), (b"headbody", 0))
        self.transport.write(b"next")
        self.reactor.end()
        self.assertEqual(self.arrived(), b"next")
        self.assertFalse(self.reactor.writers)

    def test_much_waits_for_nothing_and_comes_after_what_does(self) -> None:
        self.transport.write(b"head")
        self.transport.write(b"x" * HELD_BYTES)
        self.assertEqual(self.arrived(), b"head" + b"x" * HELD_BYTES)
        self.reactor.end()
        self.transport.write(b"y" * (HELD_BYTES + 1))
        self.assertEqual(len(self.arrived()), HELD_BYTES + 1)
        self.assertEqual(self.reactor.holding, [])

    def test_what_the_socket_does_not_take_is_queued_and_nothing_overtakes_it(self) -> None:
        self.transport.write(b"x" * (4 << 20))
        taken = len(self.arrived())
        self.transport.write(b"last")
        self.assertEqual(self.reactor.holding, [])
        whole = b""
        while self.transport in self.reactor.writers:
            self.transport.doWrite()
            whole += self.arrived()
        self.assertEqual((taken + len(whole), whole[-5:]), ((4 << 20) + 4, b"xlast"))

    def test_a_close_comes_after_what_is_held(self) -> None:
        self.transport.write(b"last words")
        self.transport.loseConnection()
        self.reactor.end()
        self.assertEqual(self.arrived(), b"last words")
        self.assertIs(self.transport.doWrite(), main.CONNECTION_DONE)

    def test_a_close_in_the_same_turn_sends_what_is_held_itself(self) -> None:
        self.transport.write(b"last words")
        self.transport.loseConnection()
        self.assertIs(self.transport.doWrite(), main.CONNECTION_DONE)
        self.assertEqual(self.arrived(), b"last words")
        self.reactor.end()
        self.assertEqual(self.arrived(), b"")

    def test_an_abort_sends_nothing_of_it(self) -> None:
        self.transport.write(b"unsaid")
        self.transport.abortConnection()
        self.reactor.advance(0)
        self.reactor.end()
        self.assertEqual(self.arrived(), b"")

    def test_in_a_reactor_without_turns_it_writes_at_once(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        reactor: Any = Turns()
        reactor.holding = None
        GatheringTransport(ours, "/there", Hearing(), reactor).write(b"at once")
        self.assertEqual(theirs.recv(100), b"at once")

    # Reading.

    def test_reading_and_hearing_are_two_steps(self) -> None:
        self.peer.send(b"answer")
        found = self.transport.read()
        self.assertEqual(self.protocol.heard, [])
        self.assertIsNone(self.transport.deliver(found))
        self.assertEqual(self.protocol.heard, [b"answer"])
        self.assertIsNone(self.transport.deliver(self.transport.read()))  # there is nothing
        self.peer.close()
        self.assertIs(self.transport.deliver(self.transport.read()), main.CONNECTION_DONE)
        self.assertEqual(self.protocol.heard, [b"answer"])

    def test_what_was_read_for_one_that_pauses_waits_until_it_reads_on(self) -> None:
        self.peer.send(b"one")
        found = self.transport.read()
        self.transport.pauseProducing()
        self.transport.deliver(found)
        self.reactor.advance(1)
        self.assertEqual(self.protocol.heard, [])
        self.transport.resumeProducing()
        self.transport.pauseProducing()
        self.reactor.advance(1)
        self.assertEqual(self.protocol.heard, [])
        self.transport.resumeProducing()
        self.reactor.advance(0)
        self.assertEqual(self.protocol.heard, [b"one"])

    def test_what_was_read_first_is_heard_first(self) -> None:
        self.peer.send(b"one")
        found = self.transport.read()
        self.transport.pauseProducing()
        self.transport.deliver(found)
        self.peer.send(b"two")
        self.transport.resumeProducing()
        self.transport.doRead()
        self.transport.doRead()
        self.reactor.advance(0)
        self.assertEqual(self.protocol.heard, [b"one", b"two"])

    def test_an_end_that_was_read_waits_for_a_pause_as_well(self) -> None:
        self.peer.close()
        found = self.transport.read()
        self.transport.pauseProducing()
        self.assertIsNone(self.transport.deliver(found))
        self.transport.resumeProducing()
        self.reactor.advance(0)
        self.assertEqual(self.reactor.ended, [(self.transport, main.CONNECTION_DONE)])

    def test_who_has_been_closed_meanwhile_hears_nothing(self) -> None:
        for close in (self.transport.loseConnection, self.transport.abortConnection):
            self.peer.send(b"late")
            found = self.transport.read()
            close()
            self.assertIsNone(self.transport.deliver(found))
        self.reactor.advance(1)
        self.assertEqual((self.protocol.heard, self.reactor.ended), ([], []))

    def test_its_end_is_told_after_what_is_held(self) -> None:
        self.transport.write(b"last words")
        self.transport.loseWriteConnection()
        self.reactor.end()
        self.assertEqual(self.arrived(), b"last words")
        self.transport.doWrite()
        self.assertEqual(self.arrived(), b"")  # its end
