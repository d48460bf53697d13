"""
The connections to every app server: one pool an instance, opened as the instance's scheme says.

``http`` is HTTP/1.1 and ``h2c`` HTTP/2, both in clear; over ``https`` the app server chooses by ALPN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from scalekit.balancer.instance import Instance, State, Transition
from scalekit.balancer.prober import PingAnswer, ping_head
from scalekit.errors import UpstreamFault
from scalekit.http.serializer import request_head
from scalekit.net.connecting import connect
from scalekit.net.deadlines import Wheel
from scalekit.net.pool import Pool
from scalekit.net.shared_pool import SharedPool
from scalekit.net.tls import ClientTLS
from scalekit.net.upstream import UpstreamTimeouts

_LEAVING = (State.DRAINING, State.GONE)


class Upstreams:
    """
    :param client_tls: gives how https instances are checked, and what they are offered by ALPN; called for each
        connection, so it may be replaced.
    """

    def __init__(
        self,
        reactor: Any,
        wheel: Wheel,
        timeouts: UpstreamTimeouts,
        client_tls: Callable[[], ClientTLS],
        ping_path: str,
    ) -> None:
        self._reactor = reactor
        self._wheel = wheel
        self._timeouts = timeouts
        self._client_tls = client_tls
        self._ping_path = ping_path
        self._pools: dict[Instance, Pool] = {}
        # Only our own reactor has turns that end.
        self._soon = getattr(reactor, "at_turn_end", None) or (lambda callback: reactor.callLater(0, callback))

    def pool(self, instance: Instance) -> Pool:
        """The pool of this instance."""
        pool = self._pools.get(instance)
        if pool is None:
            pool = self._new_pool(instance)
            if instance.state in _LEAVING:
                # A request that began before is tried once more: for it alone, nothing is kept.
                pool.close()
            else:
                self._pools[instance] = pool
        return pool

    def _new_pool(self, instance: Instance) -> Pool:
        def opened(
            protocol: Any, failed: Callable[[UpstreamFault], None], tls: ClientTLS | None = None
        ) -> Callable[[], None]:
            return connect(
                self._reactor,
                (instance.address, instance.port),
                protocol,
                failed,
                tls,
                instance.server_name or instance.address,
                self._timeouts.connect,
            )

        def secure(protocol: Any, failed: Callable[[UpstreamFault], None]) -> Callable[[], None]:
            return opened(protocol, failed, self._client_tls())

        def secure_http_1(protocol: Any, failed: Callable[[UpstreamFault], None]) -> Callable[[], None]:
            return opened(protocol, failed, self._client_tls().speaking("http/1.1"))

        if instance.scheme == "http":
            return Pool(opened, self._wheel, self._timeouts)
        if instance.scheme == "h2c":
            return SharedPool(opened, self._wheel, self._timeouts, self._soon, None)
        return SharedPool(secure, self._wheel, self._timeouts, self._soon, secure_http_1)

    def transition(self, change: Transition) -> None:
        """An instance that leaves keeps what is in flight and nothing else."""
        if change.after in _LEAVING:
            pool = self._pools.pop(change.instance, None)
            if pool is not None:
                pool.close()

    def probe(self, instance: Instance) -> Deferred[int]:
        """Ask the instance's ping path on a connection of its own; fires with the status."""
        give_up: list[Callable[[], None]] = []
        answer = PingAnswer(lambda: give_up[0]())

        def ready(connection: Any) -> None:
            give_up[0] = connection.cancel
            connection.send(request_head(ping_head(instance, self._ping_path)), b"GET", answer)

        # Not from the instance's pool: what is to be known is whether a new connection is answered.
        pool = self._new_pool(instance)
        pool.close()
        give_up.append(lambda: None)
        give_up[0] = pool.open(ready, answer.failed)
        return answer.status

    def __repr__(self) -> str:
        return f"<Upstreams {len(self._pools)} pools>"
