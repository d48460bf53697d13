"""
The part of `scalekit.balancer.forward` that sends: to one app server, and to another one if that comes to nothing.

What may be tried again is decided in `scalekit.balancer.retrying` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from scalekit.balancer.instance import Instance
from scalekit.balancer.retrying import IDEMPOTENT, MOST_ATTEMPTS, Refusal, after_answer, after_failure
from scalekit.balancer.traffic import Traffic
from scalekit.balancer.tunnels import Tunnel
from scalekit.balancer.upload import Upload
from scalekit.errors import Fault
from scalekit.http.upgrade import Handshake, handshake_of
from scalekit.net.h2_stream import H2Stream
from scalekit.net.pool import Pool
from scalekit.net.pooled import UNUSED
from scalekit.net.upstream import UpstreamConnection

if TYPE_CHECKING:
    from scalekit.balancer.proxy import ReverseProxy

#: A client that waits for 100 gets it after this even if the app server does not speak of it (RFC 9110 section 10.1.1
#: lets it go on without anyway); curl itself waits 1 s.
CONTINUE_SECONDS = 1.0


class Attempts:
    """
    The base of `scalekit.balancer.forward.Forward`.

    :ivar connection: the one that carries the present attempt; None while there is none.
    """

    connection: UpstreamConnection | H2Stream | None
    _proxy: ReverseProxy
    _exchange: Any
    _traffic: Traffic
    _instance: Instance | None
    _give_up: Callable[[], None] | None
    _continue_call: Any
    _handshake: Handshake | None
    _tunnel: Tunnel | None

    # Not slots: what most requests never change stands here once, and is not stored a thousand times a second.
    _outgoing = b""
    _body: Upload | None = None
    _has_begun = False
    _has_informed = False
    _has_replayed = False

    def one_ended(self, tunnel: Tunnel) -> None:
        """One direction of the tunnel has ended, and the other side knows."""
        raise NotImplementedError

    def refuse(self, fault: Fault) -> None:
        """The request turns out to be one that is not answered by an app server."""
        raise NotImplementedError

    def begin(self, instance: Instance) -> None:
        """Send it to this one first."""
        exchange = self._exchange
        exchange.observe(self)
        head = exchange.head
        upgrade = b""
        if head.upgrade:
            handshake = self._handshake = handshake_of(head, exchange.request_id)
            if handshake is not None:
                upgrade = handshake.lines
        self._outgoing = self._proxy.forwarder.head(
            head, exchange.client, exchange.request_id, b"" if head.host else instance.authority.encode(), upgrade
        )
        self._attempt(instance)

    def _attempt(self, instance: Instance) -> None:
        self._instance = instance
        instance.in_flight += 1
        exchange = self._exchange
        record = exchange.record
        record.instance = instance.id
        record.attempts += 1
        head = exchange.head
        pool = self._proxy.upstreams.pool(instance)
        connection = None
        if self._handshake is None:
            connection = pool.take() if head.method in IDEMPOTENT else pool.take_young()
        # What may become a tunnel is sent only once, so it goes where no close can be under way.
        if connection is None:
            self._open(pool)
        elif head.length == 0:
            self.connection = connection
            connection.send(self._outgoing, head.method, self)
        else:
            self._send(connection)

    def _open(self, pool: Pool, is_fresh: bool = False) -> None:
        self.connection = None
        if self._handshake is None:
            self._give_up = pool.open(self._send, self.failed, is_fresh)
        else:
            self._give_up = pool.open_alone(self._send, self.failed)

    def _cannot_try(self, fault: Exception) -> None:
        """No attempt could be made, as when what https app servers are trusted by cannot be read: nobody else tells."""
        self._leave()
        self._exchange.fail(fault)

    def _send(self, connection: UpstreamConnection | H2Stream) -> None:
        self._give_up = None
        self.connection = connection
        head = self._exchange.head
        length = head.length
        if length == 0:
            connection.send(self._outgoing, head.method, self, handshake=self._handshake)
            return
        connection.send(self._outgoing, head.method, self, True, length is None)
        body = self._body
        if body is not None:
            # Sent again: what has come so far, and then what comes.
            for piece in body.kept or ():
                connection.write(piece)
            if body.has_ended:
                body.finish(connection)
            else:
                self._exchange.resume()
        elif head.expects_continue:
            if self._continue_call is None:
                self._continue_call = self._proxy.clock.callLater(CONTINUE_SECONDS, self._receive)
        else:
            self._receive()

    def _receive(self) -> None:
        """Ask the client for its body."""
        self._stop_waiting()
        if self._body is None:
            body = self._body = Upload(self, self._traffic.max_body_bytes)
            self._exchange.receive(body)

    def _stop_waiting(self) -> None:
        call, self._continue_call = self._continue_call, None
        if call is not None and call.active():
            call.cancel()

    # If it comes to nothing.

    def failed(self, fault: Any) -> None:
        if not isinstance(fault, Fault):
            self._cannot_try(fault)
            return
        exchange, instance = self._exchange, self._instance
        assert instance is not None
        proxy = self._proxy
        was_sent = self.connection is not None
        if not was_sent:
            proxy.roster.connect_failed(instance, proxy.clock.seconds())
            fault = proxy.unreachable(fault)
        if self._has_begun:
            self._refuse_retry(Refusal.ANSWER_BEGUN)
            self._leave()
            if self._tunnel is not None and self._tunnel.is_told:
                exchange.finish()
                self.one_ended(self._tunnel)
            else:
                exchange.abort(fault)
            return
        if not was_sent or not self._was_unlucky(fault):
            proxy.roster.struck(instance, fault.reason, proxy.clock.seconds())
        refusal = after_failure(
            exchange.head.method,
            self._is_kept,
            # Or it has said itself that it did nothing of it (RFC 9113 section 8.7).
            not was_sent or self.connection.was_refused,  # type: ignore[union-attr]
            was_sent and self.connection.has_answered,  # type: ignore[union-attr]
            fault.status == 504,
            self._handshake is not None,
        )
        if not refusal:
            if was_sent and not self._has_replayed and self._was_unlucky(fault):
                # It closed a connection just as we used it: its fault as little as ours. A fresh one tells.
                self._has_replayed = True
                self._traffic.replays += 1
                self._hold_back()
                try:
                    self._open(proxy.upstreams.pool(instance), is_fresh=True)
                except Exception as why:
                    self._cannot_try(why)
                return
            refusal = self._send_elsewhere()
        if refusal:
            self._refuse_retry(refusal)
            self._leave()
            exchange.fail(fault)

    def _is_sent_again(self, head: Any) -> bool:
        """Whether another instance is asked instead of passing on an answer that says that nobody answers there."""
        if not 502 <= head.status <= 504:
            return False
        refusal = after_answer(
            self._exchange.head.method, self._is_kept, self._has_informed, head, self._handshake is not None
        )
        if not refusal:
            refusal = self._send_elsewhere()
        if refusal:
            self._refuse_retry(refusal)
        return not refusal

    @property
    def _is_kept(self) -> bool:
        """Whether what has come of the body is there to be sent again."""
        return self._body is None or self._body.kept is not None

    def _refuse_retry(self, refusal: Refusal) -> None:
        self._exchange.record.retry = refusal
        self._traffic.refusals[refusal] += 1

    def _send_elsewhere(self) -> Refusal:
        """Ask one more instance, if there is one that may be asked."""
        proxy, exchange = self._proxy, self._exchange
        if exchange.record.attempts >= MOST_ATTEMPTS:
            return Refusal.ATTEMPTS
        instance = self._instance
        assert instance is not None
        available = proxy.roster.available(exchange.record.service)
        candidates = self._traffic.picker.candidates(available, exchange)
        other = self._traffic.roomy(candidate for candidate in candidates if candidate is not instance)
        if other is None:
            return Refusal.NOBODY_ELSE
        if not self._traffic.budget.spend(proxy.clock.seconds()):
            return Refusal.BUDGET
        self._traffic.retries += 1
        self._hold_back()
        instance.in_flight -= 1
        self._instance = self.connection = None
        try:
            self._attempt(other)
        except Exception as fault:
            self._cannot_try(fault)
        if self._traffic.waiting:
            proxy.serve(exchange.record.service, self._traffic)
        return Refusal.NONE

    def _hold_back(self) -> None:
        """Let nothing flow until there is a connection again: what comes meanwhile might be too much to keep."""
        self._exchange.pause()
        self._stop_waiting()

    def _was_unlucky(self, fault: Fault) -> bool:
        """Whether the connection was about to end when the request came to it."""
        connection = self.connection
        assert connection is not None
        return connection.was_refused or (fault is UNUSED and connection.is_reused)

    # Its end.

    def _leave(self) -> None:
        """This exchange and the app server have no more to do with each other."""
        instance = self._instance
        if instance is not None:
            self._instance = None
            instance.in_flight -= 1
            if self._tunnel is not None:
                self._tunnel.left()
        self.connection = None
        self._give_up = None
        if self._continue_call is not None:
            self._stop_waiting()
        if self._traffic.waiting:
            self._proxy.serve(self._exchange.record.service, self._traffic)
