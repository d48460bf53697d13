"""
Syslog over TCP and TLS: who sends faster than the disk writes waits, and nothing that was read is lost.

There are no acknowledgements (RFC 6587 section 4.1): what a sender's machine has sent and we have not read is lost when
we go.  So we go in order: first we close our direction, which senders that care notice (rsyslog and syslog-ng do), then
read on until they have closed theirs, or `LEAVING_SECONDS`.

A connection reads as long as no more than `WINDOW_BYTES` of it are on their way to the disk, and all connections, those
that are gone included, no more than `intake.WAITING_BYTES`; messages that have begun are bounded by `HELD_BYTES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from scalekit.logs.syslog.framing import Framing, Message
from scalekit.logs.syslog.intake import Intake
from scalekit.net.deadlines import FAR, Wheel
from scalekit.net.transports import plain_address

#: Of a listener; rsyslog allows 200, syslog-ng 10. With the last read of each, 32 MiB.
MOST_CONNECTIONS = 500
#: Four reads: with a disk that syncs in 10 ms, one sender can still write 100,000 messages a second.
WINDOW_BYTES = 256 * 1024
#: Programs may have nothing to say for long, and some do not notice that we have closed; then they lose what they say.
IDLE_SECONDS = 3600.0
#: Enough for a sender on the other side of the earth to see that we go.
LEAVING_SECONDS = 1.0
#: Of messages that have begun, in all connections together; beyond it those end that hold more than `FAIR_BYTES`.
HELD_BYTES = 16 * 1024 * 1024
FAIR_BYTES = 16 * 1024


@implementer(IHalfCloseableProtocol)
class SyslogConnection(Protocol):
    """
    One sender.

    ============== ===================================== ==============================
    state          means                                 what arrives goes
    ============== ===================================== ==============================
    reading        not much is on its way                to the disk
    ``_is_paused`` more than enough is                   nowhere: reading pauses
    ``_is_leaving`` our direction is closed, or will be  to the disk
    ``_is_over``   the end has been read, or a fault     away
    ============== ===================================== ==============================

    A leaving one may be paused, too.
    """

    factory: SyslogFactory
    transport: Any

    def __init__(self, factory: SyslogFactory, peer: str) -> None:
        self.factory = factory
        self._peer = peer
        self._framing = Framing()
        self._held = 0
        self._writing = 0  # batches on their way, and their bytes
        self._writing_bytes = 0
        self._is_paused = self._awaits_room = False
        self._is_leaving = self._is_over = self._is_gone = False
        self.deadline = self.scheduled = FAR

    def connectionMade(self) -> None:
        self.factory.connections.add(self)
        self._arm()
        self._look()

    def dataReceived(self, data: bytes) -> None:
        if self._is_over:
            return
        self._arm()
        self._pass(self._framing.feed(data))
        fault = self._framing.fault
        if fault is None and self.factory.is_held_too_much(self._framing.held_bytes):
            fault = "memory"
        if fault is not None:
            self.factory.intake.count(self.factory.name, fault)
            self._end()

    def _pass(self, messages: list[Message]) -> None:
        """Bring them to the disk."""
        factory = self.factory
        factory.held_bytes += self._framing.held_bytes - self._held
        self._held = self._framing.held_bytes
        if not messages:
            return
        entries = factory.intake.parse(factory.name, [(message, self._peer) for message in messages])
        if entries:
            size = sum(len(message.data) for message in messages)
            self._writing += 1
            self._writing_bytes += size
            factory.intake.write(factory.name, entries, size).addCallback(self._written, size)
            self._look()

    def _written(self, _: None, size: int) -> None:
        self._writing -= 1
        self._writing_bytes -= size
        self._look()
        if self._is_over and not self._writing and not self._is_gone:
            self.transport.loseConnection()

    def _look(self) -> None:
        """Read on, or wait until more is on disk."""
        if self._is_over:
            return
        intake = self.factory.intake
        if intake.is_full and not self._awaits_room:
            self._awaits_room = True
            intake.when_room(self._has_room)
        is_paused = intake.is_full or self._writing_bytes > WINDOW_BYTES
        if is_paused and not self._is_paused:
            if not self._is_leaving:
                self.factory.wheel.disarm(self)
            self.transport.pauseProducing()
        elif self._is_paused and not is_paused:
            self._arm()
            self.transport.resumeProducing()
        self._is_paused = is_paused

    def _has_room(self) -> None:
        self._awaits_room = False
        self._look()

    def _arm(self) -> None:
        if not self._is_leaving:  # then the time runs, whatever comes
            self.factory.wheel.arm(self, IDLE_SECONDS)

    def leave(self) -> None:
        """Read what is on its way here, and end."""
        if not self._is_leaving and not self._is_over:
            self._is_leaving = True
            self.factory.wheel.arm(self, LEAVING_SECONDS)
            self.transport.loseWriteConnection()

    def deadline_passed(self) -> None:
        """Nothing has come for long, or the time to leave is over."""
        if self._is_leaving:
            self._end()
        else:
            self.leave()

    def _end(self) -> None:
        """Read no more; close once all is on disk."""
        self._is_over = True
        self._pass(self._framing.end())
        if not self._writing:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        if not self._is_over:
            self._end()

    def writeConnectionLost(self) -> None:
        """We have said that we leave."""

    def connectionLost(self, reason: Any = None) -> None:
        self._is_gone = True
        if not self._is_over:
            self._is_over = True
            self._pass(self._framing.end())
        self.factory.lost(self, self._has_room)

    def __repr__(self) -> str:
        state = (
            "over" if self._is_over else "leaving" if self._is_leaving else "paused" if self._is_paused else "reading"
        )
        return f"<SyslogConnection from {self._peer}, {state}>"


class SyslogFactory(Factory):
    """
    Makes a `SyslogConnection` for each sender.

    :param name: ``tcp`` or ``tls``, as it is counted.
    :param wheel: ticks as long as there are connections.
    :param is_allowed: whether a sender of this address is.
    """

    noisy = False

    def __init__(self, name: str, intake: Intake, wheel: Wheel, is_allowed: Callable[[str], bool]) -> None:
        self.name = name
        self.intake = intake
        self.wheel = wheel
        self.connections: set[SyslogConnection] = set()
        self.held_bytes = 0
        self._is_allowed = is_allowed
        self._is_draining = False
        self._drained: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        peer = plain_address(getattr(addr, "host", ""))
        if not self._is_allowed(peer):
            self.intake.count(self.name, "foreign")
            return None
        return None if self._is_draining else SyslogConnection(self, peer)

    def is_held_too_much(self, held: int) -> bool:
        """Whether a connection that holds so many bytes is to give them up."""
        return held > FAIR_BYTES and self.held_bytes > HELD_BYTES

    def lost(self, connection: SyslogConnection, has_room: Callable[[], None]) -> None:
        """A connection has ended; it awaits nothing any more."""
        self.wheel.forget(connection)
        self.intake.forget(has_room)
        self.connections.discard(connection)
        if not self.connections:
            drained, self._drained = self._drained, []
            for each in drained:
                each.callback(None)

    def drain(self) -> Deferred[None]:
        """Let all connections end; fires when none is left."""
        self._is_draining = True
        for connection in list(self.connections):
            connection.leave()
        drained: Deferred[None] = Deferred(lambda cancelled: self._drained.remove(cancelled))
        if self.connections:
            self._drained.append(drained)
        else:
            drained.callback(None)
        return drained

    def __repr__(self) -> str:
        return f"<SyslogFactory {self.name}, {len(self.connections)} connections, {self.held_bytes} bytes held>"
