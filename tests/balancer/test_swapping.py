"""Another configuration while requests go on, in memory."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import Endpoint, Instance, State
from scalekit.balancer.policies import Policies
from scalekit.balancer.resolver import StaticServers
from scalekit.balancer.settings import claims_of, servers_of, upstream_timeouts_of
from scalekit.balancer.swapping import LIVE_KEYS, Parts, Swap, plan_changes
from scalekit.config.decode import all_keys
from scalekit.config.model import Balancer, Drain, Health, Limits, Service, ServiceHealth, ServiceTimeouts
from scalekit.config.urls import parse_server_url
from scalekit.errors import ConfigurationFault
from scalekit.net.pool import Pool
from tests.balancer.proxied import HELLO, Case, Proxied, get
from tests.balancer.test_resolver import MemoryResolver
from tests.net.app_server import AppServer


def service(name: str, *ports: int, **keys: Any) -> Service:
    """At ``/NAME``, with servers on these ports."""
    servers = tuple(parse_server_url(f"http://192.0.2.1:{port}") for port in ports)
    return Service(name=name, path=f"/{name}", servers=servers, **keys)


class Swapped(Proxied):
    """A balancer that is configured anew, with an app server for each instance."""

    def __init__(self, *services: Service, **keys: Any) -> None:
        super().__init__(0)
        self.by_instance: dict[Instance, AppServer] = {}
        self.settings = Balancer(service=services, **keys)
        self.policies = Policies(self.settings, lambda: 0.5, lambda head, client: client.address, b"k" * 32)
        self.servers = StaticServers(self.roster, servers_of(self.settings), MemoryResolver(), self.clock)
        self.servers.startService()
        self.routing.reconfigure(claims_of(self.settings))
        self.proxy._new_traffic = self.policies.traffic
        self.limited: list[Balancer] = []
        self.timeouts: list[Any] = []
        self.told: list[str] = []
        upstreams: Any = self
        parts = Parts(
            self.roster,
            self.routing,
            self.servers,
            self.policies,
            self.proxy,
            upstreams,
            lambda old, fresh: self.limited.append(fresh),
            self.sticky_key,
            lambda notice: self.told.append(f"{notice.kind}: {notice.detail}"),
        )
        self.swap = Swap(self.settings, parts, self.clock.seconds)

    def sticky_key(self, settings: Balancer) -> bytes:
        if any(one.name == "unlucky" for one in settings.service):
            raise ConfigurationFault("sticky.key: is damaged")
        return b"k" * 32

    def reconfigure(self, timeouts: Any) -> None:
        """As the upstreams do it."""
        self.timeouts.append(timeouts)

    def pool(self, instance: Instance) -> Pool:
        app = self.by_instance.get(instance)
        if app is None:
            app = self.by_instance[instance] = AppServer(self.clock, self.factory.wheel)
            self.apps.append(app)
        self.asked.append(app)
        return app.pool

    def take(self, *services: Service, **keys: Any) -> None:
        self.swap.take(Balancer(service=services, **keys))

    def has(self, name: str) -> bool:
        """Whether any request can reach this service."""
        return any(route.service == name for route in self.routing.table.routes)

    def of(self, name: str) -> list[Instance]:
        return list(self.roster.instances(name))


class SwapTests(Case):
    def test_requests_under_way_finish_and_new_ones_go_by_the_new(self) -> None:
        it = Swapped(service("a", 1), service("b", 2))
        it.says(get(b"/b"))
        it.accepts()
        (old,) = it.of("b")
        it.take(service("a", 1), service("c", 3))
        self.assertEqual((old.state, old.reason), (State.DRAINING, "no longer configured"))
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO)
        it.waits(0.25)
        it.roster.expire(it.clock.seconds())
        self.assertIs(old.state, State.GONE)
        it.says(get(b"/c"))
        it.accepts()
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO)
        it.says(get(b"/b"))
        self.assertIn(b"503", it.hears().partition(b"\r\n")[0])
        self.assertEqual([one.record.service for one in it.seen], ["b", "c", "default"])
        self.assertEqual(it.told, ["configuration: services added: c; services removed: b"])

    def test_what_is_known_of_other_services_stays(self) -> None:
        """What is in flight, strikes, ejections, slow start, who waits, whose turn it is."""
        it = Swapped(service("a", 1, 2, max_in_flight=1), service("b", 3))
        for _ in range(2):
            it.connect()
            it.says(get(b"/a"))
            it.accepts()
        it.connect()
        it.says(get(b"/a"))
        one, other = it.of("a")
        one.strikes, one.until, other.share = 3, 77.0, 0.4
        traffic, before = it.proxy.traffic["a"], [repr(one), repr(other), it.roster.available("a")]
        picker = traffic.picker
        it.take(service("a", 1, 2, max_in_flight=1), service("c", 4), limits=Limits(max_body_bytes=7))
        self.assertEqual([repr(one), repr(other), it.roster.available("a")], before)
        self.assertEqual((one.strikes, one.until, other.share), (3, 77.0, 0.4))
        self.assertIs(it.proxy.traffic["a"], traffic)
        self.assertIs(traffic.picker, picker)
        self.assertEqual((len(traffic.waiting), traffic.max_body_bytes), (1, 7))

    def test_who_waits_gets_the_room_that_is_new(self) -> None:
        it = Swapped(service("a", 1, max_in_flight=1))
        for _ in range(2):
            it.connect()
            it.says(get(b"/a"))
        self.assertEqual(len(it.proxy.traffic["a"].waiting), 1)
        it.take(service("a", 1, max_in_flight=2))
        it.waits(0.25)
        self.assertEqual((len(it.proxy.traffic["a"].waiting), it.of("a")[0].in_flight), (0, 2))
        self.assertEqual(it.told, ["configuration: services changed: a (max_in_flight)"])

    def test_apps_that_have_registered_stay(self) -> None:
        """Their service is there without a configuration too; only its routes are those that they claim."""
        it = Swapped(service("a", 1), service("b"))
        instance = it.roster.register("b", Endpoint("http", "192.0.2.1", 9), 0.0)
        it.take(service("a", 1))
        self.assertEqual((instance.state, it.has("b")), (State.JOINING, False))
        it.take(service("a", 1), service("b"))
        it.says(get(b"/b"))
        self.assertEqual(instance.in_flight, 1)

    def test_everybody_is_told_the_rest(self) -> None:
        it = Swapped(service("a", 1))
        it.take(
            service("a", 1),
            algorithm="random",
            health=Health(fall=7, path="/well", panic="fail"),
            drain=Drain(deadline=3.0),
        )
        self.assertEqual((it.timeouts, it.limited), ([upstream_timeouts_of(it.swap.settings)], [it.swap.settings]))
        self.assertEqual(it.of("a")[0].health.rules, HealthRules(fall=7, path="/well"))
        self.assertEqual(
            it.told,
            [
                "configuration: keys changed: balancer.algorithm, balancer.health.fall, balancer.health.path, "
                "balancer.health.panic, balancer.drain.deadline"
            ],
        )
        it.take(
            *it.swap.settings.service, **{k: getattr(it.swap.settings, k) for k in ("algorithm", "health", "drain")}
        )
        self.assertEqual(len(it.told), 1, "nothing is different")

    def test_what_a_service_is_asked_for(self) -> None:
        it = Swapped(service("a", 1), service("b", 2))
        it.take(service("a", 1, health=ServiceHealth(path="/well", body="fine")), service("b", 2))
        self.assertEqual(it.of("a")[0].health.rules, HealthRules(path="/well", text=b"fine"))
        self.assertEqual(it.of("b")[0].health.rules, HealthRules())
        self.assertEqual(it.told, ["configuration: services changed: a (health.path, health.body)"])

    def test_what_a_service_takes_and_how_long_it_may(self) -> None:
        it = Swapped(service("a", 1), service("b", 2))
        it.says(get(b"/a"))
        it.accepts()
        it.answers(HELLO)
        it.take(service("a", 1, max_body_bytes=3, timeouts=ServiceTimeouts(first_byte=5.0)), service("b", 2))
        for path, status in ((b"/a", b"413"), (b"/b", b"200")):
            it.connect()
            it.says(get(path, b"Content-Length: 4", method=b"POST") + b"four")
            if status == b"200":
                it.accepts()
                it.answers(HELLO)
            self.assertIn(status, it.hears().partition(b"\r\n")[0])
        self.assertEqual([it.timeouts[0].of(name).first_byte for name in "ab"], [5.0, 30.0])
        self.assertEqual(it.told, ["configuration: services changed: a (max_body_bytes, timeouts.first_byte)"])

    def test_a_fault_is_found_before_anything_is_changed(self) -> None:
        it = Swapped(service("a", 1))
        for attempt in (it.swap.check, it.swap.take):
            self.assertRaises(ConfigurationFault, attempt, Balancer(service=(service("unlucky"),)))
            self.assertIs(it.swap.settings, it.settings)
            self.assertTrue(it.has("a"))
        it.swap.check(Balancer())
        self.assertTrue(it.has("a"))


class ChangesTests(SynchronousTestCase):
    def test_in_words(self) -> None:
        old = Balancer(service=(service("a", 1), service("b"), service("d")))
        new = Balancer(service=(service("a", 2, sticky=True), service("c"), service("d")), access_log="/elsewhere")
        changes = plan_changes(old, new)
        self.assertEqual(str(changes), "services added: c; services removed: b; services changed: a (servers, sticky)")
        self.assertTrue(changes)
        self.assertFalse(plan_changes(new, new))

    def test_live_keys_are_keys(self) -> None:
        known = {key for key, _ in all_keys()}
        for key in LIVE_KEYS:
            self.assertTrue(key in known or any(one.startswith(f"{key}.") for one in known), key)
