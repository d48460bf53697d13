"""
TLS on the descriptor: a transport's bytes go through OpenSSL, on the socket itself.

OpenSSL may have to write in order to read and to read in order to write; these waits are kept apart from the protocol's
wishes:

======================== ================================================== ===========================
``_is_shaken``           False: any event goes on with the handshake         set once
``_read_awaits_room``    a read must write first (a key update's answer)     reading stops until it can
``_write_awaits_data``   a write must read first (renegotiation)             writing stops until it can
``_is_ending``           close_notify is begun                               nothing is written any more
``_is_notified``         close_notify is out                                 nothing is waited for
``_fault``               TLS has failed: every read and write fails with it  no close_notify
======================== ================================================== ===========================

Nothing is ever sent past OpenSSL.  What a retried write is given begins with what the failed one was given and is no
shorter (SSL_write(3)): the queue only grows at its end, and `write` queues all that OpenSSL did not take.

One read takes 16 KiB, the most that a record holds (RFC 8446 section 5.1), so no decrypted bytes stay inside OpenSSL,
of which the reactor would never hear.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.internet import error, main
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.net.contexts import error_text, forget_errors
from scalekit.net.quick_tls import RECORD_BYTES
from scalekit.net.transports import READ_BYTES, WriteAtOnce

#: What one turn encrypts for one connection: 64 KiB take about 30 us.
WRITE_BYTES = 256 * 1024

_log = Logger()


class TLSFault(error.ConnectionLost):
    """
    TLS has failed.

    :ivar token: ``tls-verify`` or ``tls-handshake`` for a handshake, ``tls-broken`` after it.
    """

    def __init__(self, token: str, detail: str) -> None:
        super().__init__(detail)
        self.token = token
        self.detail = detail

    def __str__(self) -> str:
        return self.detail


class ConnectionCut(error.ConnectionLost):
    """The connection ended without close_notify: whatever has no length of its own may be incomplete."""

    def __str__(self) -> str:
        return "the connection was closed without close_notify"


class TLSOnDescriptor(WriteAtOnce):
    """Mix in before a transport; set ``_tls`` before the first event."""

    is_secure = True

    _tls: Any = None
    _is_shaken = False
    _is_reading = False
    _read_awaits_room = False
    _write_awaits_data = False
    _is_ending = False
    _is_notified = False
    _fault: BaseException | None = None

    def _established(self) -> None:
        """The handshake is complete: make the protocol."""
        raise NotImplementedError

    def _fault_of(self, why: SSL.Error) -> Exception:
        """What a failed handshake is reported as."""
        raise NotImplementedError

    # Handshake.

    def _shake(self) -> Any:
        try:
            self._tls.do_handshake()
        except SSL.WantReadError:
            self.reactor.removeWriter(self)
            self.reactor.addReader(self)
            return None
        except SSL.WantWriteError:
            self.reactor.removeReader(self)
            self.reactor.addWriter(self)
            return None
        except SSL.Error as why:
            self._fault = self._fault_of(why)
            forget_errors()
            # Unread bytes would turn the close into a reset, which may overtake the alert that says why.
            self._discard_input()
            return self._fault
        self._is_shaken = True
        self.negotiated_protocol = self._tls.get_alpn_proto_negotiated().decode("latin-1") or None
        if not self.queued_bytes:
            self.reactor.removeWriter(self)
        if self._is_reading:
            self.reactor.addReader(self)
        self._established()
        return None

    def _discard_input(self) -> None:
        try:
            self.socket.recv(READ_BYTES)
        except OSError:
            pass

    # Reading.

    def doRead(self) -> Any:
        if not self._is_shaken:
            return self._shake()
        if self._write_awaits_data:
            self._write_awaits_data = False
            self.startWriting()
            if not self._is_reading:
                self.reactor.removeReader(self)
                return None
        data = end = None
        try:
            data = self._tls.recv(RECORD_BYTES)
            # A full record seldom comes alone: the next is tried for in the same turn.  For any other, the end of what
            # was written, that would mostly be a read for nothing, before anybody hears of what is there.
            if len(data) == RECORD_BYTES:
                pieces = [data]
                try:
                    while len(data) == RECORD_BYTES and len(pieces) * RECORD_BYTES < READ_BYTES:
                        data = self._tls.more()
                        if data:
                            pieces.append(data)
                finally:
                    data = b"".join(pieces)
        except SSL.WantReadError:
            pass
        except SSL.WantWriteError:
            self._read_awaits_room = True
            self.reactor.removeReader(self)
            self.startWriting()
        except SSL.Error as why:
            end = self._read_end(why)
        if data:
            self.protocol.dataReceived(data)
            if not self.connected or self.disconnecting:
                return None
        return end

    def _read_end(self, why: SSL.Error) -> BaseException:
        if isinstance(why, SSL.ZeroReturnError):
            return main.CONNECTION_DONE
        return self._broken(why)

    def _broken(self, why: SSL.Error) -> BaseException:
        forget_errors()
        if isinstance(why, SSL.SysCallError):
            self._fault = ConnectionCut() if why.args[0] == -1 else main.CONNECTION_LOST
        else:
            self._fault = TLSFault("tls-broken", f"TLS failed: {error_text(why)}")
        return self._fault

    def readConnectionLost(self, reason: Failure) -> None:
        # The reactor takes a hang-up for an orderly end; here only close_notify is one.
        if self._is_shaken and not self._tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
            self._fault = self._fault or ConnectionCut()
            self.connectionLost(Failure(self._fault))
        else:
            super().readConnectionLost(reason)

    def startReading(self) -> None:
        self._is_reading = True
        if not self._read_awaits_room:
            super().startReading()

    def stopReading(self) -> None:
        self._is_reading = False
        if not self._write_awaits_data:
            super().stopReading()

    # Writing.

    def write(self, data: bytes) -> None:
        if not self.connected or self._writeDisconnected or self._is_ending or not data:
            return
        if not isinstance(data, bytes):
            raise TypeError(f"bytes are written, not {type(data).__name__}")
        if not self.dataBuffer and not self._tempDataLen and (self.producer is None or self.streamingProducer):
            sent = self.writeSomeData(data)
            if sent == len(data):
                return
            # A failure is found again by the reactor, and reported from there.
            if isinstance(sent, int) and sent:
                data = data[sent:]
        # Past WriteAtOnce, which would send in clear.
        super(WriteAtOnce, self).write(data)

    def writeSomeData(self, data: bytes | memoryview) -> Any:
        """Encrypt and send up to `WRITE_BYTES`: how many, or why that is impossible."""
        if self._fault is not None:
            return self._fault
        if not self._is_shaken or not data or self._write_awaits_data:
            return 0
        size = len(data)
        sent = 0
        try:
            # Each call takes one record.
            sent = self._tls.send(data)
            if sent < size:
                rest = memoryview(data)
                while sent < size and sent < WRITE_BYTES:
                    sent += self._tls.send(rest[sent:])
        except SSL.WantWriteError:
            pass
        except SSL.WantReadError:
            self._write_awaits_data = True
            self.reactor.removeWriter(self)
            self.reactor.addReader(self)
        except SSL.Error as why:
            return self._broken(why)
        return sent

    def startWriting(self) -> None:
        if not self._write_awaits_data:
            super().startWriting()

    def doWrite(self) -> Any:
        if not self._is_shaken:
            return self._shake()
        if self._read_awaits_room:
            self._read_awaits_room = False
            if self._is_reading:
                self.reactor.addReader(self)
                end = self.doRead()
                if end is main.CONNECTION_DONE:
                    # Reported here, the reactor would take it for the end of both directions.
                    super().stopReading()
                    self.readConnectionLost(Failure(end))
                elif end is not None:
                    return end
            if not self.connected or self._read_awaits_room:
                return None
        return super().doWrite()

    # Closing.

    def _is_end_told(self) -> bool:
        """Send close_notify; False if there is no room for it yet; True too if it cannot be sent any more."""
        if self._is_notified or self._fault is not None or not self._is_shaken:
            return True
        self._is_ending = True
        try:
            self._tls.shutdown()
        except SSL.WantWriteError:
            return False
        except SSL.Error as why:
            self._broken(why)
        self._is_notified = True
        return True

    def loseConnection(self) -> None:
        if self._is_shaken or self._fault is not None:
            super().loseConnection()
        else:
            self.abortConnection()

    def _postLoseConnection(self) -> Any:
        if self._is_end_told():
            return super()._postLoseConnection()
        self.startWriting()
        return None

    def _closeWriteConnection(self) -> None:
        """Half-close by close_notify; the socket stays whole, as OpenSSL may have to answer a key update."""
        if not self._is_end_told():
            self._writeDisconnected = False
            self.startWriting()
            return
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is not None:
            try:
                protocol.writeConnectionLost()
            except Exception:
                failure = Failure()
                _log.failure("writeConnectionLost", failure)
                self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        # After a fault, or with bytes that were not sent, there is no end to be told: the peer shall see the cut.
        if self._fault is None and (self.queued_bytes or not reason.check(error.ConnectionDone)):
            self._fault = reason.value
        super().connectionLost(reason)

    def _closeSocket(self, orderly: bool) -> None:
        self._is_end_told()
        super()._closeSocket(orderly)
        # It knows the descriptor by its number only, which may soon be another connection's.
        self._tls = None
        self._fault = self._fault or main.CONNECTION_LOST

    def getPeerCertificate(self) -> X509 | None:
        """What a client has shown of itself, or a server; None if nothing, or if the connection is over."""
        certificate: X509 | None = self._tls.get_peer_certificate() if self._tls is not None else None
        return certificate
