"""
The reverse proxy: an exchange goes to an app server of its route's service and the answer comes back, both streaming.

What happens to each on its way is in `scalekit.balancer.forward`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from zope.interface import implementer

from scalekit.balancer.explain import algorithm_of
from scalekit.balancer.explained import ExplainedExchange, explanation, is_asked
from scalekit.balancer.forward import Forward, new_forward
from scalekit.balancer.picking.turns import RoundRobin
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Route, Routing
from scalekit.balancer.traffic import Traffic
from scalekit.balancer.tunnels import Tunnels
from scalekit.balancer.upload import too_large
from scalekit.balancer.upstreams import Upstreams
from scalekit.errors import ClientFault, Fault, UpstreamFault
from scalekit.http.forwarding import Forwarder, is_last_hop
from scalekit.http.heads import Outcome, RequestHead
from scalekit.http.targets import is_plain, readings
from scalekit.interfaces import IResponder

#: Connects that fail are told this often: the access log has a line for each request.
COMPLAINT_SECONDS = 1.0

#: What is kept of services that are gone, until it is let go: some come for a branch of the code, and for a day.
FORGOTTEN_SERVICES = 64

NO_APP_SERVERS = "No app servers found"

_log = Logger()


@implementer(IResponder)
class ReverseProxy:
    """
    :param clock: an `IReactorTime`.
    :param new_traffic: makes what is kept for a service, by its name.

    :ivar traffic: what is kept, for each service that was asked for.
    """

    def __init__(
        self,
        roster: Roster,
        routing: Routing,
        upstreams: Upstreams,
        tunnels: Tunnels,
        forwarder: Forwarder,
        clock: Any,
        new_traffic: Callable[[str], Traffic] = lambda service: Traffic(RoundRobin()),
    ) -> None:
        self.roster = roster
        self.upstreams = upstreams
        self.tunnels = tunnels
        self.forwarder = forwarder
        self.clock = clock
        self._routing = routing
        self._new_traffic = new_traffic
        self.traffic: dict[str, Traffic] = {}
        #: Services whose line is being worked off.
        self._serving: set[str] = set()
        self._told_at = float("-inf")

    def respond(self, exchange: Any) -> None:
        head: RequestHead = exchange.head
        routed = head.routed
        if routed is not None and routed[0] is self._routing.table:
            service: str = routed[1]
        else:
            if self.is_explained(exchange):
                self.explain(exchange, self.respond)
                return
            service = self.service_of(head)
        exchange.record.service = service
        available = self.roster.available(service)
        if not available:
            raise UpstreamFault(503, "no-app-servers", NO_APP_SERVERS)
        traffic = self.traffic.get(service)
        if traffic is None:
            traffic = self.traffic[service] = self._new_traffic(service)
        length = head.length
        if length and traffic.max_body_bytes is not None and length > traffic.max_body_bytes:
            raise too_large(traffic.max_body_bytes)
        traffic.budget.requests += 1
        if traffic.sticky is None:
            instance = traffic.picker.first(available, exchange)
        else:
            instance = traffic.sticky.instance_of(exchange, available) or traffic.picker.first(available, exchange)
        forward = new_forward(self, exchange, traffic)
        if instance.max_in_flight > instance.in_flight < traffic.most:
            forward.begin(instance)
            return
        other = traffic.roomy(traffic.picker.candidates(available, exchange))
        if other is not None:
            forward.begin(other)
        else:
            forward.wait()

    def tick(self) -> None:
        """Do what is due; called a few times a second."""
        now = self.clock.seconds()
        # A copy: who is answered may have a request behind it, for a service that has not been asked for yet.
        for service, traffic in list(self.traffic.items()):
            traffic.budget.settle(now)
            for forward in traffic.line.expire(now):
                self._end_wait(forward, forward.waited_in_vain)
            # One may have room without having had a request: it is new, or back.
            self.serve(service, traffic)
        if len(self.traffic) > 2 * len(self.roster.services()) + FORGOTTEN_SERVICES:
            there = {*self.roster.services(), *(name for name, traffic in self.traffic.items() if traffic.waiting)}
            self.traffic = {name: traffic for name, traffic in self.traffic.items() if name in there}

    def serve(self, service: str, traffic: Traffic) -> None:
        """Send on who waits, as far as there is room; called by one of them, it goes on when that one is done."""
        if service in self._serving:
            return  # A thousand whose attempts end at once would each be served inside the one before.
        self._serving.add(service)
        try:
            while traffic.waiting:
                available = self.roster.available(service)
                if traffic.roomy(available) is None:
                    return
                forward = traffic.line.next(self.clock.seconds())
                assert forward is not None
                traffic.waits["served"] += 1
                self._end_wait(forward, forward.end_waiting, available)
        finally:
            self._serving.discard(service)

    def _end_wait(self, forward: Forward, end: Callable[..., None], *arguments: Any) -> None:
        """What that raises, as of a decorator around its exchange, is the end of this one and of no other."""
        try:
            end(*arguments)
        except Exception as fault:
            _log.failure("{forward!r} could not be answered", forward=forward)
            forward.break_off(fault)

    def is_explained(self, exchange: Any) -> bool:
        """Whether its client wants to be told how it was answered, and may be."""
        return self.forwarder.is_trusted(exchange.client) and is_asked(exchange.head)

    def explain(self, exchange: Any, respond: Callable[[Any], None]) -> None:
        """Let it be answered, and say how that came about."""

        def tell(record: Outcome) -> bytes:
            route = self._routing.table.route(exchange.head.host, exchange.head.normal_path)
            traffic = self.traffic.get(record.service)
            picker = algorithm_of(traffic.picker) if traffic is not None and record.instance else ""
            if picker and traffic is not None and traffic.sticky is not None:
                back = traffic.sticky.instance_of(exchange, self.roster.available(record.service))
                if back is not None and back.id == record.instance:
                    picker = "sticky"
            return explanation(record, route, picker)

        explained = ExplainedExchange(exchange, self.forwarder.via, tell)
        try:
            respond(explained)
        except Fault as fault:
            explained.fail(fault)

    def service_of(self, head: RequestHead) -> str:
        """
        The service of a request, whose head is checked once if it comes again and again.

        :raises Fault: it has none, or its path may be read as one of another.
        """
        table = self._routing.table
        routed = head.routed
        if routed is None or routed[0] is not table:
            routed = head.routed = table, self._route(head)
        service: str = routed[1]
        return service

    def _route(self, head: RequestHead) -> str:
        route = self._routing.table.route(head.host, head.normal_path)
        if not is_plain(head.path):
            self._check_readings(head, route)
        if route is None:
            raise UpstreamFault(503, "no-route", "No service is configured for this host and path.")
        if is_last_hop(head):
            raise ClientFault(
                405, "last-hop", "Max-Forwards ends here, and the balancer itself answers no such request."
            )
        return route.service

    def _check_readings(self, head: RequestHead, route: Route | None) -> None:
        """Refuse a path that an app server may read as one of another route: `/public/..%2fadmin`."""
        find = self._routing.table.route
        for reading in readings(head.path):
            if find(head.host, reading) != route:
                raise ClientFault(400, "ambiguous-path", "The path means different routes to different readers.")

    def unreachable(self, fault: Fault) -> Fault:
        """What a client may know of a connect that failed: where app servers stand is for our own log."""
        now = self.clock.seconds()
        if now - self._told_at >= COMPLAINT_SECONDS:
            self._told_at = now
            _log.warn("{reason}: {detail}", reason=fault.reason, detail=fault.detail)
        return UpstreamFault(fault.status, fault.reason, "No connection to an app server could be opened.")

    def __repr__(self) -> str:
        return f"<ReverseProxy {self._routing!r}>"
