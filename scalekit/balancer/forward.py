"""
One exchange on its way through the proxy: it may have to wait, it is sent by `scalekit.balancer.attempts`, and its
answer comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from scalekit.balancer.attempts import Attempts
from scalekit.balancer.instance import Instance
from scalekit.balancer.traffic import Traffic
from scalekit.balancer.tunnels import Tunnel
from scalekit.balancer.waiting import PATIENCE_SECONDS
from scalekit.errors import Fault, UpstreamFault
from scalekit.http.forwarding import safe_trailers
from scalekit.http.heads import Fields
from scalekit.http.proxy_status import passed_on
from scalekit.interfaces import IAnswerObserver, IAnswerReceiver

if TYPE_CHECKING:
    from scalekit.balancer.proxy import ReverseProxy


def _busy(reason: str, detail: str) -> UpstreamFault:
    return UpstreamFault(503, reason, detail, round(PATIENCE_SECONDS))


@implementer(IAnswerReceiver, IAnswerObserver)
class Forward(Attempts):
    """One exchange on its way through the proxy; `new_forward` makes it."""

    def wait(self) -> None:
        """Nobody has room for it now."""
        traffic = self._traffic
        if not traffic.line.join(self, self._proxy.clock.seconds()):
            traffic.waits["full"] += 1
            raise _busy("queue-full", "The app servers are busy, and too many requests wait for them already.")
        self._exchange.observe(self)

    def waited_in_vain(self) -> None:
        """Nobody had room in time."""
        self._traffic.waits["timeout"] += 1
        self._exchange.fail(_busy("queue-timeout", "The app servers were busy for too long."))

    def break_off(self, fault: Exception) -> None:
        """It can be neither sent nor answered."""
        self.aborted(fault)
        self._exchange.abort(fault)

    def end_waiting(self, available: tuple[Instance, ...]) -> None:
        """One of these has room."""
        exchange = self._exchange
        instance = self._traffic.roomy(self._traffic.picker.candidates(available, exchange))
        assert instance is not None
        try:
            self.begin(instance)
        except Exception as fault:  # as a listener does for those that need not wait
            self._cannot_try(fault)

    # The app server's answer: IAnswerReceiver.

    def continued(self) -> None:
        if self._continue_call is not None:
            self._receive()

    def informed(self, status: int, fields: Fields) -> None:
        self._has_informed = True
        self._exchange.inform(status, fields)

    def answered(self, head: Any, body: bytes) -> None:
        if head.status > 501 or self._instance.strikes:  # type: ignore[union-attr]
            self._judge(head.status)
            if self._is_sent_again(head):
                return
            head = self._passed_on(head)
        if self._traffic.sticky is not None:
            head = self._marked(head)
        exchange = self._exchange
        self._leave()
        try:
            exchange.answer(head, body)
        except Exception as fault:  # of a decorator around us: nobody else would end the exchange
            exchange.fail(fault)

    def began(self, head: Any) -> None:
        if head.status > 501 or self._instance.strikes:  # type: ignore[union-attr]
            self._judge(head.status)
            connection = self.connection
            if self._is_sent_again(head):
                connection.cancel()  # type: ignore[union-attr]
                return
            head = self._passed_on(head)
        self._has_begun = True
        if self._traffic.sticky is not None:
            head = self._marked(head)
        if self._continue_call is not None:
            if head.status < 300:
                # It takes the body without having asked for it, and sends what it makes of it meanwhile.
                self._receive()
            else:
                self._stop_waiting()  # It answers without the body.
        self._exchange.begin(head)

    def _judge(self, status: int) -> None:
        """What the answer says of the instance: 500 is one bad URL perhaps, these mean that nobody is well there."""
        instance, proxy = self._instance, self._proxy
        assert instance is not None
        if status in (502, 503, 504):
            proxy.roster.struck(instance, f"answered {status}", proxy.clock.seconds())
        else:
            instance.strikes = 0

    def _passed_on(self, head: Any) -> Any:
        """The head of an answer; one that might be taken for ours says whose it is."""
        if not 502 <= head.status <= 504:
            return head
        return head.with_fields([*head.fields, passed_on(self._proxy.forwarder.via, head.status)])

    def switched(self, head: Any) -> None:
        self._has_begun = True
        self._judge(101)
        if self._traffic.sticky is not None:
            head = self._marked(head)
        assert self._instance is not None
        tunnel = self._tunnel = self._proxy.tunnels.begin(self, self._exchange, self._instance)
        self._exchange.switch(head, tunnel)

    def _marked(self, head: Any) -> Any:
        """The head with the cookie that the client needs to come back."""
        exchange, sticky = self._exchange, self._traffic.sticky
        assert sticky is not None and self._instance is not None
        return sticky.marked(head, exchange, self._instance, self._proxy.roster.available(exchange.record.service))

    def one_ended(self, tunnel: Tunnel) -> None:
        """One direction of the tunnel has ended, and the other side knows."""
        tunnel.open_ends -= 1
        if not tunnel.open_ends:
            self._leave()
            tunnel.over()

    def data(self, piece: bytes) -> None:
        if self._tunnel is None:
            self._exchange.write(piece)
        else:
            self._tunnel.answer(piece)

    def ended(self, trailers: Fields) -> None:
        exchange = self._exchange
        if self._tunnel is not None:
            exchange.finish()
            self.one_ended(self._tunnel)
            if self._tunnel.is_told:
                # What is left of it is between the client and us: the app server would hear no end of it later.
                if self.connection is not None:
                    self.connection.finish([])
                self._leave()
            return
        self._leave()
        if trailers:
            head = exchange.head
            # Over HTTP/2 they need no leave: whoever does not want them leaves them (RFC 9113 section 8.1).
            is_wanted = head.version == 20 or b"trailers" in (head.get(b"te") or b"").lower()
            trailers = safe_trailers(trailers) if is_wanted else []
        try:
            exchange.finish(trailers)
        except Exception as fault:  # see `answered`
            exchange.fail(fault)

    def hold(self) -> None:
        self._exchange.pause()

    def release(self) -> None:
        self._exchange.resume()

    # The client: IAnswerObserver.

    def aborted(self, fault: Exception) -> None:
        connection, give_up = self.connection, self._give_up
        if self._instance is None and self._traffic.line.leave(self):
            self._traffic.waits["gone"] += 1
        self._leave()
        if self._tunnel is not None:
            self._tunnel.over()
        if connection is not None:
            connection.cancel()
        elif give_up is not None:
            give_up()

    def pause(self) -> None:
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume()

    def refuse(self, fault: Fault) -> None:
        exchange = self._exchange
        self.aborted(fault)
        exchange.fail(fault)

    def __repr__(self) -> str:
        return f"<Forward {self._exchange!r} to {self._instance!r}>"


_new = object.__new__


def new_forward(proxy: ReverseProxy, exchange: Any, traffic: Traffic) -> Forward:
    """For an exchange that begins.  Not its class' constructor: the call of one costs as much as all that it stores."""
    it = _new(Forward)
    it._proxy = proxy
    it._exchange = exchange
    it._traffic = traffic
    # What each request asks for: it is found on the instance in a tenth of the time.
    it.connection = it._instance = it._give_up = it._continue_call = it._handshake = it._tunnel = None
    return it
