"""
What every `IRegistry` promises, held to by memory with its snapshot and by a real Redis; and what only sharing has.

Each suite has "here", where things are said, and "there", which has to know them: after a restart from the snapshot, or
at another balancer.
"""

from __future__ import annotations

import sys
from typing import Any, cast
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import succeed
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from scalekit.balancer import redis_link
from scalekit.balancer.instance import LEAVING, Instance, Notice
from scalekit.balancer.redis_link import RedisLink
from scalekit.balancer.registry import IRegistry
from scalekit.balancer.roster import Endpoint, Registration, Roster, State
from scalekit.balancer.routes import Claim
from scalekit.balancer.shared import SharedRegistry
from scalekit.balancer.sharing import SharingMetrics, new_link
from scalekit.balancer.snapshot import read_snapshot, restore_snapshot, take_snapshot
from scalekit.config.urls import RedisURL, parse_redis_url
from scalekit.errors import ClientFault, ConfigurationFault
from scalekit.net import redis
from tests.ports import free_ports
from tests.redis_server import RedisServer
from tests.waiting import settled, until

HTTP = Endpoint("http", "10.0.0.7", 3000)
CLAIM = Claim.of("shop", ["shop.example"], "/x")
FULL = Registration("a", Endpoint("h2c", "10.0.0.7", 3001), 2**63 - 2, 5, 30.0, CLAIM, {"zone": "b"}, 65.0, "s", 8)


def now() -> float:
    return float(cast(Any, reactor).seconds())


def members(roster: Roster) -> dict[tuple[str, str], Any]:
    """All that an app has said, of each instance that takes, or may come to take, requests."""
    return {
        one.key: (
            *(one.endpoint, one.generation, one.weight, one.lease_seconds, one.claim),
            *(one.meta, one.keep_alive, one.secret, one.max_in_flight),
        )
        for service in roster.services()
        for one in roster.instances(service)
        if one.state not in LEAVING
    }


class Conformance:
    """Mixed into a TestCase by each kind."""

    roster: Roster
    registry: IRegistry

    async def there(self) -> Roster:
        """A roster that knows all that was said here until now."""
        raise NotImplementedError

    async def agreed(self: Any) -> Roster:
        """The same, checked."""
        roster: Roster = await self.there()
        self.assertEqual(members(roster), members(self.roster))
        return roster

    def test_interface(self: Any) -> None:
        verifyObject(IRegistry, self.registry)

    async def test_everything_that_was_said(self: Any) -> None:
        """Generations to their last digit too."""
        self.registry.enrol("shop", FULL, now())
        self.registry.register("default", HTTP, now(), 3, Claim.of("default", [], "/y"), 5.0)
        self.assertEqual(set(members(await self.agreed())), {("shop", "a"), ("default", "10.0.0.7:3000")})

    async def test_consent_is_not_believed(self: Any) -> None:
        """Each asks for itself before it sends requests to who has a secret."""
        self.registry.enrol("shop", FULL, now())
        there = await self.agreed()
        self.assertEqual(there.available("shop"), ())

    async def test_generations(self: Any) -> None:
        """A higher one takes the place; a lower one is refused and changes nothing."""
        self.registry.enrol("shop", FULL._replace(generation=7), now())
        self.registry.enrol("shop", FULL._replace(generation=8, weight=9), now())
        self.assertRaises(ClientFault, self.registry.enrol, "shop", FULL._replace(generation=7), now())
        there = await self.agreed()
        self.assertEqual([(one.generation, one.weight) for one in there.instances("shop")], [(8, 9)])

    async def test_refreshed(self: Any) -> None:
        """The same generation may say something else."""
        self.registry.enrol("shop", FULL, now())
        await self.agreed()
        self.registry.enrol("shop", FULL._replace(weight=7, meta={"zone": "c"}), now())
        instance = self.roster.find("shop", "a")
        self.registry.reweigh(instance, 6)
        self.registry.register("default", HTTP, now())
        await self.agreed()
        self.registry.register("default", HTTP, now(), claim=Claim.of("default", [], "/z"), keep_alive=9.0)
        there = await self.agreed()
        self.assertEqual(there.find("shop", "a").weight, 6)

    async def test_drained(self: Any) -> None:
        """It is gone, and its generation may not come back, there either."""
        self.registry.enrol("shop", FULL, now())
        await self.agreed()
        self.registry.unregister("shop", "a", now(), generation=FULL.generation)
        self.assertRaises(ClientFault, self.registry.enrol, "shop", FULL, now())
        there = await self.agreed()
        self.assertEqual(members(there), {})
        self.assertRaises(ClientFault, there.enrol, "shop", FULL, now())
        self.registry.enrol("shop", FULL._replace(generation=FULL.generation + 1), now())
        self.assertEqual(len(members(await self.agreed())), 1)

    async def test_drained_without_a_generation(self: Any) -> None:
        """The tutorial's may come back at any time."""
        for _ in range(3):
            self.registry.register("default", HTTP, now())
            self.assertEqual(len(members(await self.agreed())), 1)
            self.registry.unregister("default", HTTP.id, now())
            self.assertEqual(members(await self.agreed()), {})

    async def test_renewed(self: Any) -> None:
        self.assertIsNone(self.registry.renew("shop", "a", 1, now()))
        self.registry.enrol("shop", FULL, now())
        renewed = self.registry.renew("shop", "a", FULL.generation, now())
        self.assertIs(renewed, self.roster.find("shop", "a"))
        self.assertRaises(ClientFault, self.registry.renew, "shop", "a", 1, now())
        there = await self.agreed()
        self.assertGreater(there.find("shop", "a").lease_until, now() + 20.0)

    async def test_unknown(self: Any) -> None:
        self.assertIsNone(self.registry.unregister("shop", "a", now()))
        self.assertEqual(members(await self.agreed()), {})

    async def test_configured_ones_are_nobody_elses(self: Any) -> None:
        self.roster.settle_static("shop", [HTTP], now())
        self.registry.register("shop", HTTP, now(), 1)
        self.assertEqual(members(await self.there()), {})


class MemoryTests(Conformance, TestCase):
    """One balancer, with a snapshot on disk."""

    def setUp(self) -> None:
        self.registry = self.roster = Roster(lambda: 0.5)

    async def there(self) -> Roster:
        await succeed(None)
        roster = Roster(lambda: 0.5)
        restore_snapshot(roster, read_snapshot(take_snapshot(self.roster, now())), now())
        return roster


class Sharer:
    """A balancer as far as sharing goes."""

    def __init__(self, case: TestCase, url: str, run: str, is_local: bool = True, password: str = "") -> None:
        self.roster = Roster(lambda: 0.5)
        self.registry = SharedRegistry(self.roster, lambda: [("127.0.0.1", 2000)], is_local)
        self.notices: list[Notice] = []
        self.link: RedisLink = new_link(
            self.registry, parse_redis_url(url), password, run, reactor, lambda: 0.5, self.notices.append
        )
        self.link.startService()
        case.addCleanup(self.stop)

    async def stop(self) -> None:
        await succeed(self.link.stopService())
        await settled()

    async def connected(self) -> Sharer:
        await until(lambda: not self.link.is_degraded, "the link stands")
        return self

    def find(self, service: str, id: str) -> Instance | None:
        found = self.roster.find(service, id)
        return None if found is None or found.state in LEAVING else found


class MissingTests(SynchronousTestCase):
    def test_without_txredisapi(self) -> None:
        """It is an extra: who asks for Redis is told how to get it."""
        hiding = patch.dict(sys.modules, {"txredisapi": None})
        hiding.start()
        self.addCleanup(hiding.stop)
        registry = SharedRegistry(Roster(lambda: 0.5), list, True)
        fault = self.assertRaises(
            ConfigurationFault, new_link, registry, RedisURL("shared"), "", "run", reactor, lambda: 0.5, print
        )
        self.assertEqual(
            str(fault),
            'redis.url: found redis://shared:6379, expected the package txredisapi: pip install "scalekit[redis]"',
        )


class RedisTests(Conformance, TestCase):
    """Several balancers, and a real redis-server."""

    timeout = 120

    def setUp(self) -> None:
        self.redis = RedisServer()
        self.addCleanup(self.redis.clean_up)
        self.here = self.sharer("one")
        self.other = self.sharer("two")
        self.roster, self.registry = self.here.roster, self.here.registry

    def sharer(self, run: str, is_local: bool = True) -> Sharer:
        return Sharer(self, self.redis.url, run, is_local)

    async def there(self) -> Roster:
        """The other one, which hears of changes; and a third that has just been started knows the same."""
        await self.here.connected()
        await self.other.connected()
        await until(lambda: not self.here.registry.unsaid, "all is said")
        await until(lambda: members(self.other.roster) == members(self.roster), "the other one knows")
        late = await self.sharer("late").connected()
        self.assertEqual(members(late.roster), members(self.other.roster))
        return self.other.roster

    async def test_configured_ones_are_nobody_elses(self) -> None:
        self.roster.settle_static("shop", [HTTP], now())
        self.registry.register("shop", HTTP, now(), 1)
        await self.here.connected()
        self.assertEqual(self.here.registry.unsaid, 0)

    async def test_both_ways(self) -> None:
        """What one has registered another may renew, and drain."""
        other = self.other.registry
        self.registry.enrol("shop", FULL, now())
        await self.agreed()
        until_then = self.roster.find("shop", "a").lease_until  # type: ignore[union-attr]
        other.renew("shop", "a", FULL.generation, now())
        await until(lambda: self.roster.find("shop", "a").lease_until > until_then, "renewed here")  # type: ignore
        other.unregister("shop", "a", now(), generation=FULL.generation)
        await until(lambda: self.here.find("shop", "a") is None, "drained here")
        self.assertRaises(ClientFault, self.registry.enrol, "shop", FULL, now())

    async def test_killed_and_back_empty(self) -> None:
        """What was said meanwhile, on either side, is known to both in the end; it is complained about once."""
        self.registry.enrol("shop", FULL, now())
        self.registry.register("default", HTTP, now())
        await self.agreed()
        before = members(self.roster)
        self.redis.kill()
        await until(lambda: self.here.link.is_degraded and self.other.link.is_degraded, "both have seen it")
        self.assertEqual((members(self.roster), members(self.other.roster)), (before, before))
        self.registry.register("default", HTTP._replace(port=3009), now())
        self.registry.unregister("default", HTTP.id, now())
        self.other.registry.enrol("shop", FULL._replace(id="b", endpoint=HTTP._replace(port=3010)), now())
        self.other.registry.unregister("shop", "a", now())
        told = [one.samples[0].value for one in SharingMetrics(self.here.link, self.here.registry).collect()]
        self.assertEqual(told, [1.0, 2.0])
        self.redis.restart()
        await until(lambda: self.roster_ids() == (["10.0.0.7:3009", "b"],) * 2, f"agreed: {self.roster_ids()}")
        await self.agreed()
        kinds = [notice.kind for notice in self.here.notices]
        self.assertEqual(kinds, ["registry-restored", "registry-degraded", "registry-restored"])

    def roster_ids(self) -> tuple[list[str], list[str]]:
        return tuple(sorted(id for _, id in members(one.roster)) for one in (self.here, self.other))  # type: ignore

    async def test_hanging(self) -> None:
        """SIGSTOP: found out at the deadline of an answer, here a short one."""
        self.patch(redis, "ANSWER_SECONDS", 1.0)
        self.patch(redis_link, "LISTEN_MILLISECONDS", 200)
        await self.here.connected()
        self.redis.process.send_signal(19)
        try:
            self.registry.enrol("shop", FULL, now())
            await until(lambda: self.here.link.is_degraded, "found out")
        finally:
            self.redis.process.send_signal(18)
        await self.agreed()

    async def test_health_is_each_ones_own(self) -> None:
        """Reconciling does not make anybody believe that one is well which its own probes find down."""
        self.registry.enrol("shop", FULL._replace(secret=""), now())
        self.registry.register("default", HTTP, now())
        there = await self.agreed()
        for instance in (there.find("shop", "a"), there.find("default", HTTP.id)):
            assert instance is not None
            for _ in range(3):
                there.probed(instance, None, "connection refused", now())
        revision = there.revision
        self.redis.kill()
        await until(lambda: self.other.link.is_degraded, "seen")
        self.redis.restart()
        await self.there()
        states = [one.state for service in there.services() for one in there.instances(service)]
        self.assertEqual((states, there.revision), ([State.DOWN] * 2, revision))

    async def test_password_and_database(self) -> None:
        """By TCP; a wrong password is told of, and asked again later."""
        (port,) = free_ports(1)
        self.redis.ask("CONFIG", "SET", "port", str(port))
        self.redis.ask("CONFIG", "SET", "requirepass", "open sesame")
        url = f"redis://127.0.0.1:{port}/3"
        one = await Sharer(self, url, "three", password="open sesame").connected()
        two = await Sharer(self, url, "four", password="open sesame").connected()
        one.registry.enrol("shop", FULL, now())
        await until(lambda: two.find("shop", "a"), "known")
        thief = Sharer(self, url, "thief", password="guess")
        await until(lambda: thief.notices, "told")
        self.assertIn("WRONGPASS", thief.notices[0].detail)
        self.assertIsNone(self.here.find("shop", "a"))  # that is another database

    async def test_away_from_the_start(self) -> None:
        self.redis.kill()
        late = self.sharer("late")
        late.registry.enrol("shop", FULL, now())
        await until(lambda: late.notices, "told")
        self.redis.restart()
        await until(lambda: self.here.find("shop", "a"), "known here")

    async def test_dead_ones_are_forgotten(self) -> None:
        """Whose lease is over is not brought in by Redis, and leaves it."""
        self.registry.enrol("shop", FULL, now())
        await self.agreed()
        self.redis.ask("ZADD", "scalekit:1:leases:shop", "1", "a")
        late = await self.sharer("later").connected()
        self.assertEqual(members(late.roster), {})
        self.assertEqual(self.redis.ask("HLEN", "scalekit:1:service:shop"), b":0\r\n")

    async def test_loopback_is_for_this_machine_only(self) -> None:
        far = await self.sharer("far", is_local=False).connected()
        self.registry.register("default", HTTP._replace(host="127.0.0.1"), now())
        await self.agreed()
        self.registry.register("default", HTTP, now())
        await until(lambda: far.find("default", HTTP.id), "what is at an address of all")
        self.assertIsNone(far.find("default", "127.0.0.1:3000"))
        far.registry.register("default", HTTP._replace(host="127.0.0.2"), now())
        self.assertEqual(far.registry.unsaid, 0)

    async def test_what_is_no_registration(self) -> None:
        """Redis is not believed everything: one line for each, and nobody sends requests to ourselves."""
        await self.here.connected()
        for port in (2000, 0):
            liar = await self.sharer(f"liar{port}").connected()
            liar.registry._listeners = list
            liar.registry.register("default", Endpoint("http", "127.0.0.1", port), now())
        self.redis.ask("HSET", "scalekit:1:service:default", "x", "what")
        self.redis.ask("XADD", "scalekit:1:changes", "*", "by", "x")
        self.registry.register("default", HTTP, now())
        with capturedLogs() as logs:
            await until(lambda: self.other.find("default", HTTP.id), "the others go on")
            late = await self.sharer("later").connected()
        self.assertEqual([id for _, id in members(late.roster)], [HTTP.id])
        refused = [event for event in logs if "refused" in event["log_format"]]
        self.assertGreaterEqual(len(refused), 3)
