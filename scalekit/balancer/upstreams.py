"""
The connections to every app server: one pool an instance, opened as the instance's scheme says.

``http`` is HTTP/1.1, ``unix`` the same on a socket file, and ``h2c`` HTTP/2, all in clear; over ``https`` the app
server chooses by ALPN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from scalekit.balancer.consent import CHALLENGE, ConsentAnswer
from scalekit.balancer.grpc_health import CHECK_BODY, HealthAnswer, check_head
from scalekit.balancer.instance import Instance, State, Transition
from scalekit.balancer.per_service import PerService
from scalekit.balancer.prober import PingAnswer, ping_head
from scalekit.errors import UpstreamFault
from scalekit.http.serializer import request_head
from scalekit.net.connecting import connect
from scalekit.net.deadlines import Wheel
from scalekit.net.h2_stream import HTTP_1_REQUIRED, H2Stream
from scalekit.net.pool import Pool
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.shared_pool import SharedPool, Wish
from scalekit.net.tls import ClientTLS

_LEAVING = (State.DRAINING, State.GONE)
#: Schemes whose app servers speak nothing else.
_HTTP_1 = ("http", "unix")
#: What servers of gRPC answer to a GET, where they do not reset it: Go's and Java's, Node's.
_NO_GET = (405, 415)


class Upstreams:
    """
    :param client_tls: gives how https instances are checked, and what they are offered by ALPN; called for each
        connection, so it may be replaced.
    :param new_nonce: what nobody can guess, for each probe that is a challenge, see `scalekit.balancer.consent`.
    """

    def __init__(
        self,
        reactor: Any,
        wheel: Wheel,
        timeouts: PerService[UpstreamTimeouts],
        client_tls: Callable[[], ClientTLS],
        new_nonce: Callable[[], str] = str,
    ) -> None:
        self._reactor = reactor
        self._wheel = wheel
        self._timeouts = timeouts
        self._client_tls = client_tls
        self._new_nonce = new_nonce
        self._pools: dict[Instance, Pool] = {}
        self._speak_grpc: set[Instance] = set()
        self._wishes: dict[Instance, Wish] = {}
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

    def reconfigure(self, timeouts: PerService[UpstreamTimeouts]) -> None:
        """With other timeouts, connections are opened anew: those in use go on by the old ones, and end then."""
        self._timeouts = timeouts
        for instance in list(self._pools):
            self._follow(instance)

    def _timeouts_of(self, instance: Instance) -> UpstreamTimeouts:
        return self._timeouts.of(instance.service).kept_for(instance.keep_alive)

    def _new_pool(self, instance: Instance) -> Pool:
        def opened(
            protocol: Any, failed: Callable[[UpstreamFault], None], tls: ClientTLS | None = None
        ) -> Callable[[], None]:
            return connect(
                self._reactor,
                instance.address if instance.scheme == "unix" else (instance.address, instance.port),
                protocol,
                failed,
                tls,
                instance.server_name or instance.address,
                timeouts.connect,
            )

        def secure(protocol: Any, failed: Callable[[UpstreamFault], None]) -> Callable[[], None]:
            return opened(protocol, failed, self._client_tls())

        def secure_http_1(protocol: Any, failed: Callable[[UpstreamFault], None]) -> Callable[[], None]:
            return opened(protocol, failed, self._client_tls().speaking("http/1.1"))

        timeouts = self._timeouts_of(instance)
        if instance.scheme in _HTTP_1:
            return Pool(opened, self._wheel, timeouts)
        if instance.scheme == "h2c":
            return SharedPool(opened, self._wheel, timeouts, self._soon, None)
        wish = self._wishes.get(instance)
        if wish is None:
            wish = Wish()
            if instance.state not in _LEAVING:
                self._wishes[instance] = wish
        return SharedPool(secure, self._wheel, timeouts, self._soon, secure_http_1, wish)

    def transition(self, change: Transition) -> None:
        """An instance that leaves keeps what is in flight and nothing else."""
        if change.after in _LEAVING:
            pool = self._pools.pop(change.instance, None)
            if pool is not None:
                pool.close()
            self._speak_grpc.discard(change.instance)
            self._wishes.pop(change.instance, None)

    def probe(self, instance: Instance) -> Deferred[int]:
        """
        Ask the instance on a connection of its own; fires with the status.

        It is asked for its ping path; one that knows no GET, and speaks gRPC, is asked in that language from then on.
        """
        # It may have registered again, and said another thing of idle connections than when its pool was made.
        self._follow(instance)
        if instance in self._speak_grpc:
            return self._check(instance).addCallbacks(
                self._checked, self._unchecked, callbackArgs=(instance,), errbackArgs=(instance,)
            )
        asked = self._ping(instance)
        # gRPC's health checking has no place for a challenge.
        if instance.scheme not in _HTTP_1 and not instance.secret:
            asked.addBoth(self._pinged, instance)
        return asked

    def _follow(self, instance: Instance) -> None:
        """Leave a pool that goes by other timeouts than the instance's."""
        pool = self._pools.get(instance)
        if pool is not None and pool.timeouts != self._timeouts_of(instance):
            del self._pools[instance]
            pool.close()

    def _pinged(self, result: int | Failure, instance: Instance) -> Any:
        if isinstance(result, Failure):
            fault = result.value
            knows_get = not isinstance(fault, UpstreamFault) or fault.reason != "stream-reset"
        else:
            knows_get = result not in _NO_GET or instance.health.rules.is_well(result)
        if knows_get:
            return result

        def checked(status: int) -> Any:
            if status:
                self._speak_grpc.add(instance)
            return status or result

        return self._check(instance).addCallbacks(checked, lambda _: result)

    def _checked(self, status: int, instance: Instance) -> Any:
        if status:
            return status
        self._speak_grpc.discard(instance)
        return self.probe(instance)

    def _unchecked(self, failure: Failure, instance: Instance) -> Failure:
        # What has come back there may be something else.
        self._speak_grpc.discard(instance)
        return failure

    def _ping(self, instance: Instance) -> Deferred[int]:
        def again(failure: Failure) -> Any:
            # Its wish is known now: it gets what it wants, and is no less well for it.
            if isinstance(failure.value, UpstreamFault) and failure.value.reason == HTTP_1_REQUIRED.reason:
                return self._ping_once(instance)
            return failure

        return self._ping_once(instance).addErrback(again)

    def _ping_once(self, instance: Instance) -> Deferred[int]:
        secret = instance.secret
        nonce = self._new_nonce() if secret else ""
        fields = [(CHALLENGE, nonce.encode("ascii"))] if secret else []

        def send(connection: Any, answer: PingAnswer) -> None:
            connection.send(request_head(ping_head(instance, *fields)), b"GET", answer)

        def new_answer(cut: Callable[[], None]) -> PingAnswer:
            rules = instance.health.rules
            return ConsentAnswer(cut, rules, nonce, secret) if secret else PingAnswer(cut, rules)

        return self._ask(instance, new_answer, send)

    def _check(self, instance: Instance) -> Deferred[int]:
        def send(connection: Any, answer: PingAnswer) -> None:
            if not isinstance(connection, H2Stream):
                connection.cancel()
                answer.failed(UpstreamFault(502, "no-grpc", "The app server chose HTTP/1.1."))
                return
            connection.send(request_head(check_head(instance)), b"POST", answer, True)
            connection.write(CHECK_BODY)
            connection.finish([])

        well = instance.health.rules.status or 200
        return self._ask(instance, lambda cut: HealthAnswer(cut, well), send)

    def _ask(
        self,
        instance: Instance,
        new_answer: Callable[[Callable[[], None]], PingAnswer],
        send: Callable[[Any, PingAnswer], None],
    ) -> Deferred[int]:
        give_up: list[Callable[[], None]] = []
        answer = new_answer(lambda: give_up[0]())

        def ready(connection: Any) -> None:
            give_up[0] = connection.cancel
            send(connection, answer)

        # Not from the instance's pool: what is to be known is whether a new connection is answered.
        pool = self._new_pool(instance)
        pool.close()
        give_up.append(lambda: None)
        give_up[0] = pool.open(ready, answer.failed)
        return answer.status

    def __repr__(self) -> str:
        return f"<Upstreams {len(self._pools)} pools>"
