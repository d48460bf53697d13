"""
How the body of a request flows on a client's HTTP/1.1 connection: the part of `scalekit.net.server` that lies between
what arrives and who takes it.

=========== =================================== ===========================================
``_body``   means                               what arrives goes
=========== =================================== ===========================================
NO_BODY     complete, or never was              to the next request: waits, reading pauses
UNCLAIMED   its responder has not asked yet     nowhere: waits, reading pauses
FLOWING     has a receiver                      to the receiver
HELD        has a receiver, which paused        nowhere: waits, reading pauses
DRAINING    the answer is out already           away, up to `DRAINED_BODY_BYTES`
=========== =================================== ===========================================
"""

from __future__ import annotations

from typing import Any

from scalekit.errors import ClientFault
from scalekit.http.heads import Fields
from scalekit.http.limits import DRAINED_BODY_BYTES
from scalekit.http.serializer import CONTINUE
from scalekit.net.answering import NOWHERE, tell_aborted
from scalekit.net.deadlines import FAR
from scalekit.net.exchange import WireExchange
from scalekit.net.server_waits import BODY, DRAINING, FLOWING, HELD, NO_BODY, UNCLAIMED, WaitingConnection


class BodyConnection(WaitingConnection):
    """The base of `scalekit.net.server.ServerConnection`; what is public here is called by its exchange."""

    def _failed(self, exchange: WireExchange, fault: Exception) -> None:
        """The receiver has raised."""
        raise NotImplementedError

    def _over(self) -> None:
        """Request and answer are complete."""
        raise NotImplementedError

    def receive(self, exchange: WireExchange, receiver: Any) -> None:
        """Let the body flow to ``receiver``."""
        if exchange is not self._exchange or exchange.receiver is not None:
            return
        exchange.receiver = receiver
        if self._body != UNCLAIMED:
            receiver.end([])
            return
        self._body = FLOWING
        if exchange.head.expects_continue and not self._reader.ready and not exchange.has_begun:
            self.transport.write(CONTINUE)
        self._wait_for(BODY)
        self._pump()

    def discard(self, exchange: WireExchange) -> None:
        """Let the body go nowhere."""
        self.receive(exchange, NOWHERE)

    def pause_body(self, exchange: WireExchange) -> None:
        """Hold the body."""
        if exchange is self._exchange and self._body == FLOWING:
            self._body = HELD
            self._read(False)
            if not self._is_stuck:
                self.deadline = FAR

    def resume_body(self, exchange: WireExchange) -> None:
        """Let it flow again."""
        if exchange is self._exchange and self._body == HELD:
            self._body = FLOWING
            self._wait_for(BODY)
            self._pump()

    def _pump(self) -> None:
        """Hand on what has arrived of the body."""
        exchange, reader = self._exchange, self._reader
        decoder = reader.decoder
        assert exchange is not None and decoder is not None
        while self._body == FLOWING or self._body == DRAINING:
            try:
                piece = reader.read_body()
            except ClientFault as fault:
                self._broken_body(exchange, fault)
                return
            if piece:
                self._body_bytes += len(piece)
                if self._body == DRAINING:
                    if self._body_bytes > DRAINED_BODY_BYTES:
                        self._linger()
                        return
                else:
                    try:
                        exchange.receiver.data(piece)
                    except Exception as fault:
                        self._failed(exchange, fault)
                        return
                    if exchange is not self._exchange or self._body == NO_BODY:
                        return  # Or its receiver has paused and resumed, and had the rest in the meantime.
            if decoder.is_complete:
                self._body_complete(exchange, decoder.trailers)
                return
            if not piece:
                if self._is_read_closed:
                    self._broken_body(
                        exchange, ClientFault(400, "body-cut", "The body of the request is not complete.")
                    )
                else:
                    self._read(True)
                return

    def _body_complete(self, exchange: WireExchange, trailers: Fields) -> None:
        was_draining = self._body == DRAINING
        if self._body == HELD:
            return
        self._body = NO_BODY
        if not self._is_stuck:
            self.deadline = FAR
        self._reader.decoder = None
        if was_draining:
            self._over()
        else:
            if self._reader.ready:
                self._read(False)
            elif not self._is_reading:
                self._read(True)
            try:
                exchange.receiver.end(trailers)
            except Exception as fault:
                self._failed(exchange, fault)

    def _broken_body(self, exchange: WireExchange, fault: ClientFault) -> None:
        """The framing is lost: answer if nothing has been answered, and close in any case."""
        self.keeps_alive = False
        # The answer closes the connection in any case; unread bytes are waited for, so that it arrives.
        self._body = DRAINING
        if self._was_answered(exchange):
            self._linger()
            return
        observer, exchange.observer = exchange.observer, None
        tell_aborted(observer, fault)
        exchange.fail(fault)
        if not self._is_closing:
            self._linger()

    def _was_answered(self, exchange: WireExchange) -> bool:
        return exchange.connection is None
