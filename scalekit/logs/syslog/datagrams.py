"""
Syslog over UDP (RFC 5426): one message a datagram, and nobody who could be made to wait.

What comes goes into a queue, and what is in it to the disk, one batch after the other: while one is being synced, the
next gathers.  What neither the queue nor the kernel's buffer for the socket holds is lost, and counted.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet import udp
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import DatagramProtocol

from scalekit.logs.syslog.framing import Message
from scalekit.logs.syslog.intake import Intake
from scalekit.net.transports import plain_address

#: What waits for the disk: of messages of 200 bytes half a second at 40,000 a second, and a disk's worst sync.
QUEUE_BYTES = 4 * 1024 * 1024
#: A datagram weighs so much more than its bytes: as it waits here, and so that empty ones have a bound.
_WEIGHT = 200
#: What the kernel keeps for us, if it may: it counts 400 bytes and more for the smallest: up to 40,000 datagrams, or
#: a second of a storm in which the reactor is kept from its work. It takes that memory only while it needs it.
RECEIVE_BYTES = 16 * 1024 * 1024
#: The most that an IP packet holds.
DATAGRAM_BYTES = 65535
# socket(7), and linux/sock_diag.h (SK_MEMINFO_DROPS); Python does not name them.
_SO_RCVBUFFORCE, _SO_MEMINFO, _MEMINFO = 33, 55, struct.Struct("9I")


class SyslogDatagrams(DatagramProtocol):
    """
    The queue.

    :param is_allowed: whether a sender of this address is.
    """

    noisy = False

    def __init__(self, intake: Intake, clock: IReactorTime, is_allowed: Callable[[str], bool]) -> None:
        self._intake = intake
        self._clock = clock
        self._is_allowed = is_allowed
        self._queue: list[tuple[Message, str]] = []
        self._bytes = 0  # in the queue and on their way
        self._is_busy = False
        self._waiting: list[Deferred[None]] = []

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        peer = plain_address(addr[0])
        if not self._is_allowed(peer):
            self._intake.count("udp", "foreign")
        elif self._bytes > QUEUE_BYTES:
            self._intake.count("udp", "received")
            self._intake.count("udp", "queue")
        else:
            self._bytes += len(datagram) + _WEIGHT
            self._queue.append((Message(datagram), peer))
            if not self._is_busy:
                self._is_busy = True
                # Once all that is there has been read.
                self._clock.callLater(0, self._write)

    def _write(self) -> None:
        queue, self._queue = self._queue, []
        size = sum(len(message.data) + _WEIGHT for message, _ in queue)
        entries = self._intake.affordable("udp", self._intake.parse("udp", queue))
        if entries:
            self._intake.write("udp", entries, size, is_charged=True).addCallback(lambda _: self._written(size))
        else:
            self._written(size)

    def _written(self, size: int) -> None:
        self._bytes -= size
        self._is_busy = bool(self._queue)
        if self._is_busy:
            self._clock.callLater(0, self._write)
            return
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def when_written(self) -> Deferred[None]:
        """Fires once nothing waits; may be cancelled."""
        written: Deferred[None] = Deferred(lambda cancelled: self._waiting.remove(cancelled))
        if self._is_busy:
            self._waiting.append(written)
        else:
            written.callback(None)
        return written

    def __repr__(self) -> str:
        return f"<SyslogDatagrams {self._bytes} bytes waiting>"


class DatagramPort(udp.Port):
    """
    A UDP port with a large buffer; ``::`` takes IPv4 as well.

    :ivar kernel_drops: what the kernel has dropped since it was bound.
    """

    def __init__(self, port: int, protocol: SyslogDatagrams, interface: str, reactor: Any) -> None:
        super().__init__(port, protocol, interface, DATAGRAM_BYTES, reactor)
        self.kernel_drops = 0

    def createInternetSocket(self) -> socket.socket:
        sock: socket.socket = super().createInternetSocket()
        if self.addressFamily == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)  # as far as net.core.rmem_max allows
        with contextlib.suppress(OSError):  # beyond it, for those who may
            sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BYTES)
        return sock

    def _bindSocket(self) -> None:
        # Not Twisted's own, which says on which number "SyslogDatagrams" starts: `listening` says it in URLs.
        try:
            sock = self.createInternetSocket()
        except OSError as why:
            raise CannotListenError(self.interface, self.port, why) from None
        try:
            sock.bind(socket.getaddrinfo(self.interface, self.port, flags=socket.AI_NUMERICHOST)[0][4])
        except OSError as why:
            sock.close()
            raise CannotListenError(self.interface, self.port, why) from None
        self._realPortNumber = sock.getsockname()[1]
        self.connected = True
        self.socket = sock
        self.fileno = sock.fileno  # type: ignore[method-assign]

    def new_drops(self) -> int:
        """What the kernel has dropped since this was asked last; 0 where it does not tell."""
        if not self.connected:
            return 0
        try:
            found = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        before, self.kernel_drops = self.kernel_drops, _MEMINFO.unpack(found)[8]
        return self.kernel_drops - before

    def take_last(self) -> None:
        """Read what the kernel still has."""
        # Each turn reads 256 KiB; whoever goes on sending is not waited for.
        for _ in range(RECEIVE_BYTES // self.maxThroughput + 1):
            self.doRead()
