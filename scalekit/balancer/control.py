"""What decides, put together: the roster and the routes, who hears of their changes, the first members, and the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from scalekit.balancer.events import EventLog
from scalekit.balancer.instance import Notice, Transition
from scalekit.balancer.instance_metrics import InstanceMetrics
from scalekit.balancer.keeping import SnapshotKeeper
from scalekit.balancer.prober import Prober
from scalekit.balancer.resolver import StaticServers
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Routing
from scalekit.balancer.settings import claims_of, health_rules_of, servers_of, upstream_timeouts_of
from scalekit.balancer.streams import EventStreams
from scalekit.balancer.tunnels import Tunnels
from scalekit.balancer.upstreams import Upstreams
from scalekit.config import Config
from scalekit.net.deadlines import Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.listening import HTTPListening
from scalekit.ops.daemon import DrainingService
from scalekit.ops.draining import ANNOUNCE_SECONDS, INTERRUPTED_DRAIN_SECONDS
from scalekit.ops.trust import UpstreamTrust

_log = Logger(namespace="scalekit.balancer")


class Control(NamedTuple):
    """The parts that others are told of, see each one's module."""

    roster: Roster
    routing: Routing
    upstreams: Upstreams
    tunnels: Tunnels
    events: EventLog
    streams: EventStreams
    instances: InstanceMetrics

    def tell(self, notice: Notice) -> None:
        """In the log, and by events."""
        _tell(notice)
        self.events.notice(notice)


def add_control(
    daemon: DrainingService,
    settings: Config,
    wheel: Wheel,
    reactor: Any,
    random: Callable[[], float],
    wall: Callable[[], float],
    new_secret: Callable[[], str],
    run: str,
) -> Control:
    """
    Add it to a daemon.

    :param random: as `random.random`.
    :param wall: as `time.time`.
    :param new_secret: makes what nobody else can guess.
    :param run: names this run of the balancer.
    """
    config = settings.balancer
    roster = Roster(random, health_rules_of(config), config.drain.deadline, config.health.panic)
    routing = Routing(claims_of(config))
    roster.observe_claims(routing.settle)
    trust = UpstreamTrust(settings, reactor)
    trust.setServiceParent(daemon)
    daemon.on_reload(trust.reload, "balancer.upstream_tls", check=trust.check)
    upstreams = Upstreams(reactor, wheel, upstream_timeouts_of(config), trust, new_secret)
    roster.observe(upstreams.transition)
    tunnels = Tunnels(wheel, random)
    roster.observe(tunnels.transition)
    roster.observe(_tell)
    roster.observe_notices(_tell)
    events = EventLog(run, wall)
    roster.observe(events.transition)
    roster.observe_notices(events.notice)
    streams = EventStreams(events, reactor)
    streams.setServiceParent(daemon)
    daemon.on_drain(lambda is_hurried: streams.close())
    return Control(roster, routing, upstreams, tunnels, events, streams, InstanceMetrics(roster))


def add_members(daemon: DrainingService, settings: Config, control: Control, reactor: Any) -> StaticServers:
    """Add who was here before a restart, and the servers of the configuration; and the probes of all."""
    roster = control.roster
    Prober(roster, control.upstreams.probe, reactor).setServiceParent(daemon)
    # Ahead of the configured servers, which take the place of what was registered at their addresses.
    SnapshotKeeper(roster, Path(settings.state_directory) / "registry.json", reactor).setServiceParent(daemon)
    servers = StaticServers(roster, servers_of(settings.balancer), reactor.nameResolver, reactor)
    servers.setServiceParent(daemon)
    return servers


def drained(
    reactor: Any,
    factory: HTTPFactory,
    public: HTTPListening,
    tunnels: Tunnels,
    deadline_seconds: Callable[[], float],
    is_hurried: bool,
) -> Deferred[Any]:
    """Let what is under way on the public listeners come to its end; fires then."""
    # Until it is told, a load balancer above us goes on sending: take it, and say on every answer that we close.
    factory.is_draining = True
    announced: Deferred[Any] = deferLater(reactor, 0 if is_hurried else ANNOUNCE_SECONDS)
    announced.addCallback(lambda _: tunnels.end_all(INTERRUPTED_DRAIN_SECONDS if is_hurried else deadline_seconds()))
    return announced.addCallback(lambda _: public.drain())


def _tell(change: Transition | Notice) -> None:
    _log.info("{change!r}", change=change)
