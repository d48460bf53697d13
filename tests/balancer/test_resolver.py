"""Tests of `scalekit.balancer.resolver`."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.balancer.resolver import RESOLVE_SECONDS, StaticServers
from scalekit.balancer.roster import Roster, State
from scalekit.config.urls import ServerURL, parse_server_url


@implementer(IHostnameResolver)
class MemoryResolver:
    """Answers from a dict; a name that is None is left hanging."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[Any] | None] = {}
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(hostName)
        found = self.hosts.get(hostName, [])
        resolutionReceiver.resolutionBegan(None)
        if found is not None:
            for host in found:
                resolutionReceiver.addressResolved(host)
            resolutionReceiver.resolutionComplete()
        return resolutionReceiver


def v4(host: str) -> IPv4Address:
    return IPv4Address("TCP", host, 0)


def parsed(services: dict[str, list[str]]) -> dict[str, list[ServerURL]]:
    return {name: [parse_server_url(url) for url in urls] for name, urls in services.items()}


class StaticServersTests(SynchronousTestCase):
    """Names and addresses of configured servers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.roster = Roster(lambda: 0.5)
        self.resolver = MemoryResolver()

    def start(self, **services: list[str]) -> StaticServers:
        static = StaticServers(self.roster, parsed(services), self.resolver, self.clock)
        static.startService()
        self.addCleanup(static.stopService)
        return static

    def shown(self, service: str = "shop") -> list[str]:
        return [
            f"{one.scheme}://{one.id} {one.server_name or '-'}"
            for one in self.roster.instances(service)
            if one.state is not State.DRAINING
        ]

    def test_literals(self) -> None:
        """Addresses are members at once, and nobody is asked for them."""
        self.start(shop=["http://127.0.0.1:8001", "https://[::1]:8002"], api=["http://127.0.0.1:8003"])
        self.assertEqual(self.shown(), ["http://127.0.0.1:8001 -", "https://[::1]:8002 -"])
        self.assertEqual(self.shown("api"), ["http://127.0.0.1:8003 -"])
        self.assertEqual(self.resolver.asked, [])

    def test_names(self) -> None:
        """Each address of a name is a member; with https its certificate is verified for the name."""
        self.resolver.hosts["app"] = [v4("10.0.0.1"), v4("10.0.0.2"), v4("10.0.0.1"), IPv6Address("TCP", "fd00::1", 0)]
        self.start(shop=["https://app:8001", "http://app:8002"])
        self.assertEqual(
            self.shown(),
            [
                "https://10.0.0.1:8001 app",
                "https://10.0.0.2:8001 app",
                "https://[fd00::1]:8001 app",
                "http://10.0.0.1:8002 -",
                "http://10.0.0.2:8002 -",
                "http://[fd00::1]:8002 -",
            ],
        )
        self.assertEqual(self.resolver.asked, ["app"])

    def test_socket_files(self) -> None:
        """They are members at once as well, each one, and go when they are no longer named."""
        static = self.start(shop=["unix:///run/a.sock", "unix:///run/b.sock"])
        self.assertEqual(
            [one.id for one in self.roster.instances("shop")], ["unix:///run/a.sock", "unix:///run/b.sock"]
        )
        static.reconfigure(parsed({"shop": ["unix:///run/b.sock"]}))
        self.assertEqual([one.address for one in self.roster.instances("shop")], ["/run/b.sock"])
        self.assertEqual(self.resolver.asked, [])

    def test_again(self) -> None:
        """Every 30 s the names are asked for again; what is new joins, what is no longer named goes."""
        self.resolver.hosts["app"] = [v4("10.0.0.1"), v4("10.0.0.2")]
        self.start(shop=["http://app:8001"])
        first, second = self.roster.instances("shop")
        self.assertEqual((first.address, second.address), ("10.0.0.1", "10.0.0.2"))
        self.resolver.hosts["app"] = [v4("10.0.0.3"), v4("10.0.0.2")]
        self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual(self.shown(), ["http://10.0.0.2:8001 -", "http://10.0.0.3:8001 -"])
        self.assertIs(self.roster.instances("shop")[0], second)
        self.assertIs(first.state, State.GONE)

    def test_last_good_answer(self) -> None:
        """A name without an answer keeps the last good one, and a line of the log says so."""
        self.resolver.hosts["app"] = [v4("10.0.0.1")]
        self.start(shop=["http://app:8001"])
        self.resolver.hosts["app"] = []
        with capturedLogs() as captured:
            self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual(self.shown(), ["http://10.0.0.1:8001 -"])
        self.assertEqual([(event["name"], event["services"]) for event in captured], [("app", "shop")])
        with capturedLogs() as captured:
            self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual(captured, [], "once is enough")
        self.resolver.hosts["app"] = [v4("10.0.0.1")]
        with capturedLogs() as captured:
            self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual([event["hosts"] for event in captured], ["10.0.0.1"])

    def test_comes_up_late(self) -> None:
        """A name that is unknown at first is a member as soon as it is known; the others do not wait for it."""
        self.start(shop=["http://app:8001", "http://127.0.0.1:8001"])
        self.assertEqual(self.shown(), ["http://127.0.0.1:8001 -"])
        self.resolver.hosts["app"] = [v4("10.0.0.1"), UNIXAddress("/x")]
        self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual(self.shown(), ["http://127.0.0.1:8001 -", "http://10.0.0.1:8001 -"])

    def test_hanging(self) -> None:
        """A question that hangs is not asked again on top."""
        self.resolver.hosts["app"] = None
        self.start(shop=["http://app:8001", "http://other:8001"])
        self.clock.pump([RESOLVE_SECONDS] * 2)
        self.assertEqual(self.resolver.asked.count("app"), 1)
        self.assertEqual(self.resolver.asked.count("other"), 3)

    def test_resolver_that_raises(self) -> None:
        """A resolver that raises is logged, and asked again."""
        resolve = self.resolver.resolveHostName
        self.patch(self.resolver, "resolveHostName", lambda *_: 1 / 0)
        self.start(shop=["http://app:8001"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.patch(self.resolver, "resolveHostName", resolve)
        self.resolver.hosts["app"] = [v4("10.0.0.1")]
        self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual(self.shown(), ["http://10.0.0.1:8001 -"])

    def test_roster_that_refuses(self) -> None:
        """What the roster refuses is logged; the loop goes on."""
        self.patch(self.roster, "settle_static", lambda *_: 1 / 0)
        self.start(shop=["http://127.0.0.1:8001"])
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_stop(self) -> None:
        """After the end nothing is asked, and a late answer changes nothing."""
        self.resolver.hosts["app"] = [v4("10.0.0.1")]
        static = self.start(shop=["http://app:8001"])
        static.stopService()
        static.resolved("app", ("10.0.0.9",))
        self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual((self.shown(), self.resolver.asked), (["http://10.0.0.1:8001 -"], ["app"]))
        self.assertEqual(repr(static), "<StaticServers {'app': ('10.0.0.1',)}>")

    def test_one_address_twice(self) -> None:
        """Where two servers have one address, the first one in the configuration says how to talk to it."""
        self.resolver.hosts["app"] = [v4("127.0.0.1")]
        self.start(shop=["http://127.0.0.1:8001", "https://app:8001"])
        self.assertEqual(self.shown(), ["http://127.0.0.1:8001 -"])


class ReconfigureTests(StaticServersTests):
    """Other servers while it runs; the tests above hold for it as well."""

    def start(self, **services: list[str]) -> StaticServers:
        static = super().start(other=["http://127.0.0.9:1"])
        static.reconfigure(parsed(services))
        return static

    def again(self, static: StaticServers, **services: list[str]) -> None:
        self.told: list[str] = []
        self.roster.observe(lambda one: self.told.append(f"{one.instance.service}@{one.instance.id} {one.reason}"))
        static.reconfigure(parsed(services))

    def test_what_is_the_same_is_left_alone(self) -> None:
        """One service goes, one comes, one has another server."""
        static = self.start(shop=["http://127.0.0.1:1"], blog=["http://127.0.0.1:2"], api=["http://127.0.0.1:3"])
        self.again(static, shop=["http://127.0.0.1:1"], api=["http://127.0.0.1:4"], new=["http://127.0.0.1:5"])
        self.assertEqual(
            self.told,
            [
                "blog@127.0.0.1:2 no longer configured",
                "blog@127.0.0.1:2 nothing in flight",
                *sorted(
                    (
                        "api@127.0.0.1:3 no longer configured",
                        "api@127.0.0.1:4 configured",
                        "api@127.0.0.1:3 nothing in flight",
                        "new@127.0.0.1:5 configured",
                    ),
                    key=self.told.index,
                ),
            ],
        )

    def test_whom_an_operator_has_drained(self) -> None:
        """Other servers for its service, and it is back; the same, and it is not."""
        static = self.start(shop=["http://127.0.0.1:1"])
        self.roster.hold("shop", "127.0.0.1:1", 0.0)
        for other, state in (([], State.DRAINED), (["http://127.0.0.1:2"], State.JOINING)):
            static.reconfigure(parsed({"shop": ["http://127.0.0.1:1", *other], "new": ["http://127.0.0.1:3"]}))
            self.assertIs(self.roster.instances("shop")[0].state, state)

    def test_nobody_goes_before_others_are_known(self) -> None:
        """The servers of before stay until a name that is new has been answered, or is known to have no address."""
        static = self.start(shop=["http://127.0.0.1:1"])
        for answer, after in ((("10.0.0.1",), ["http://10.0.0.1:8001 -"]), ((), [])):
            static.reconfigure(parsed({"shop": ["http://127.0.0.1:1"]}))
            name = f"app{len(after)}"
            self.resolver.hosts[name] = None
            static.reconfigure(parsed({"shop": [f"http://{name}:8001"]}))
            self.assertEqual(self.shown(), ["http://127.0.0.1:1 -"])
            static.resolved(name, answer)
            self.assertEqual(self.shown(), after)

    def test_a_name_that_is_no_longer_wanted(self) -> None:
        """Its late answer changes nothing, and it is asked for no more."""
        self.resolver.hosts["app"] = None
        static = self.start(shop=["http://app:8001"])
        static.reconfigure(parsed({"shop": ["http://127.0.0.1:1"]}))
        static.resolved("app", ("10.0.0.1",))
        self.clock.advance(RESOLVE_SECONDS)
        self.assertEqual((self.shown(), self.resolver.asked), (["http://127.0.0.1:1 -"], ["app"]))

    def test_a_name_that_is_wanted_again(self) -> None:
        """That it had no address then says nothing of now: it is asked for at once, and the others stay until then."""
        static = self.start(shop=["http://app:8001"])
        static.reconfigure(parsed({"shop": ["http://127.0.0.1:1"]}))
        self.resolver.hosts["app"] = None
        static.reconfigure(parsed({"shop": ["http://app:8001"]}))
        self.assertEqual((self.shown(), self.resolver.asked), (["http://127.0.0.1:1 -"], ["app", "app"]))
        static.resolved("app", ("10.0.0.1",))
        self.assertEqual(self.shown(), ["http://10.0.0.1:8001 -"])

    def test_a_name_that_is_known(self) -> None:
        """Another service has it already: nobody has to wait."""
        self.resolver.hosts["app"] = [v4("10.0.0.1")]
        static = self.start(shop=["http://app:8001"])
        static.reconfigure(parsed({"shop": ["http://app:8001"], "blog": ["http://app:8002"]}))
        self.assertEqual((self.shown("blog"), self.resolver.asked), (["http://10.0.0.1:8002 -"], ["app"]))

    def test_a_name_with_other_addresses(self) -> None:
        self.resolver.hosts["app"] = [v4("10.0.0.1")]
        static = self.start(shop=["http://app:8001"])
        self.resolver.hosts["app"] = [v4("10.0.0.2")]
        self.again(static, shop=["http://app:8001"])
        self.clock.advance(RESOLVE_SECONDS)
        self.assertIn("shop@10.0.0.1:8001 its name has other addresses", self.told)
