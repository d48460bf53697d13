"""Tests of `scalekit.balancer.snapshot` and `scalekit.balancer.keeping`."""

from __future__ import annotations

from pathlib import Path

import msgspec
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import directory
from scalekit.balancer.instance import Instance
from scalekit.balancer.keeping import SAVE_SECONDS, SnapshotKeeper
from scalekit.balancer.roster import Endpoint, Registration, Roster, State
from scalekit.balancer.routes import Claim
from scalekit.balancer.snapshot import read_snapshot, restore_snapshot, take_snapshot
from scalekit.errors import ClientFault

CLAIM = Claim.of("shop", ["shop.example"], "/x")
FULL = Registration(
    "a", Endpoint("h2c", "10.0.0.7", 3000), 7, 5, 30.0, CLAIM, {"zone": "b"}, 65.0, "secret", max_in_flight=8
)


def well(roster: Roster, instance: Instance, now: float = 0.0) -> None:
    for _ in range(2):
        roster.probed(instance, 200, "answered 200", now)


class SnapshotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.roster = Roster(lambda: 0.5)

    def again(self, now: float = 100.0) -> Roster:
        """Another roster, from the snapshot of this one."""
        roster = Roster(lambda: 0.5)
        restore_snapshot(roster, read_snapshot(take_snapshot(self.roster, 50.0)), now)
        return roster

    def test_everything(self) -> None:
        """All that the app has said, and a new lease; suspect, asked at once, and it still gets requests."""
        well(self.roster, self.roster.enrol("shop", FULL, 0.0))
        claims: list[tuple[Claim, ...]] = []
        roster = Roster(lambda: 0.5)
        roster.observe_claims(claims.append)
        restore_snapshot(roster, read_snapshot(take_snapshot(self.roster, 50.0)), 100.0)
        (one,) = roster.instances("shop")
        self.assertEqual((one.id, one.endpoint, one.generation, one.weight), ("a", FULL.endpoint, 7, 5))
        self.assertEqual((one.lease_until, one.meta, one.keep_alive), (130.0, {"zone": "b"}, 65.0))
        self.assertEqual((one.secret, one.has_consented, one.max_in_flight), ("secret", True, 8))
        self.assertEqual((one.state, one.reason, claims), (State.SUSPECT, "from the snapshot", [(CLAIM,)]))
        self.assertEqual((roster.available("shop"), roster.due(100.0)), ((one,), [one]))
        self.assertEqual(take_snapshot(roster, 0.0), take_snapshot(self.roster, 0.0))

    def test_who_was_not_well_joins(self) -> None:
        """Who has not consented yet, too; the tutorial's has no lease; what leaves, or is configured, is not in it."""
        down = self.roster.register("default", Endpoint("http", "127.0.0.1", 3000), 0.0)
        for _ in range(3):
            self.roster.probed(down, 500, "", 0.0)
        self.roster.enrol("default", FULL, 0.0)
        leaving = self.roster.register("default", Endpoint("http", "127.0.0.1", 3001), 0.0)
        leaving.in_flight = 1
        self.roster.unregister("default", leaving.id, 0.0)
        self.roster.settle_static("other", [Endpoint("http", "127.0.0.1", 3002)], 0.0)
        roster = self.again()
        self.assertEqual(roster.services(), ("default",))
        tutorial, new = roster.instances("default")
        self.assertEqual((tutorial.state, tutorial.lease_seconds), (State.JOINING, None))
        self.assertEqual((new.state, new.has_consented), (State.JOINING, False))
        self.assertEqual(roster.available("default"), (tutorial,))

    def test_routes_of_the_departed(self) -> None:
        """They are kept over a restart too, for what is left of their time."""
        self.roster.enrol("shop", FULL, 0.0)
        self.roster.unregister("shop", "a", 40.0)
        roster = self.again()
        self.assertEqual((roster.departed.items(), roster.departed_at("shop")), ([(CLAIM, 90.0)], 90.0))
        damaged = take_snapshot(self.roster, 50.0).replace(b'"/x"', b'"x"')
        roster = Roster(lambda: 0.5)
        restore_snapshot(roster, read_snapshot(damaged), 100.0)
        self.assertEqual(roster.departed.items(), [])

    def test_drained_stays_away(self) -> None:
        """Over a restart too, for what is left of its time."""
        self.roster.enrol("shop", FULL, 0.0)
        self.roster.unregister("shop", "a", 0.0)
        roster = self.again()
        self.assertRaises(ClientFault, roster.enrol, "shop", FULL, 100.0)
        roster.expire(649.0)
        self.assertRaises(ClientFault, roster.enrol, "shop", FULL, 649.0)
        roster.expire(651.0)
        self.assertEqual(roster.enrol("shop", FULL, 651.0).generation, 7)

    def test_what_has_no_room(self) -> None:
        """Whoever is there already stays, and the limits hold."""
        for port in (3000, 3001, 3002):
            self.roster.register("default", Endpoint("http", "127.0.0.1", port), 0.0)
        snapshot = read_snapshot(take_snapshot(self.roster, 0.0))
        roster = Roster(lambda: 0.5)
        there = roster.register("default", Endpoint("https", "127.0.0.1", 3000), 0.0)
        self.patch(directory, "INSTANCES_LIMIT", 2)
        self.assertEqual(restore_snapshot(roster, snapshot, 0.0), 1)
        self.assertEqual([one.id for one in roster.instances("default")], [there.id, "127.0.0.1:3001"])

    def test_damaged(self) -> None:
        good = take_snapshot(self.roster, 0.0)
        for data in (b"", good[:-1], b"{}", b"\0" * 100, good.replace(b'"version":1', b'"version":2')):
            self.assertRaises(ValueError, read_snapshot, data)
        self.assertEqual(msgspec.json.decode(good), {"version": 1, "instances": []})


class KeeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp()) / "registry.json"

    def keep(self) -> tuple[Roster, SnapshotKeeper]:
        roster = Roster(lambda: 0.5)
        keeper = SnapshotKeeper(roster, self.path, self.clock)
        keeper.startService()
        self.addCleanup(lambda: keeper.running and keeper.stopService())
        return roster, keeper

    def test_saved_within_a_second_and_when_it_stops(self) -> None:
        """Readable by nobody else; and not again while nothing changes."""
        roster, keeper = self.keep()
        roster.register("default", Endpoint("http", "127.0.0.1", 3000), 0.0)
        self.clock.advance(SAVE_SECONDS)
        self.assertEqual(len(read_snapshot(self.path.read_bytes()).instances), 1)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        written = self.path.stat().st_ino
        roster.register("default", Endpoint("http", "127.0.0.1", 3000), 0.0)
        self.clock.advance(SAVE_SECONDS)
        self.assertEqual(self.path.stat().st_ino, written)
        roster.register("default", Endpoint("http", "127.0.0.1", 3001), 0.0)
        keeper.stopService()
        self.assertEqual(len(read_snapshot(self.path.read_bytes()).instances), 2)
        again, _ = self.keep()
        self.assertEqual(len(again.instances("default")), 2)

    def test_a_damaged_file_is_set_aside(self) -> None:
        """And that is said."""
        self.path.parent.mkdir()
        self.path.write_bytes(b"{")
        with capturedLogs() as logged:
            roster, _ = self.keep()
        self.assertIn("is damaged", logged[0]["log_format"])
        self.assertEqual((roster.services(), self.path.exists()), ((), False))
        self.assertEqual(self.path.with_name("registry.json.damaged").read_bytes(), b"{")

    def test_a_disk_that_cannot_be_written(self) -> None:
        """Said once, tried on."""
        roster, _ = self.keep()
        self.path.parent.write_bytes(b"in the way")
        roster.register("default", Endpoint("http", "127.0.0.1", 3000), 0.0)
        with capturedLogs() as logged:
            self.clock.pump([SAVE_SECONDS] * 3)
        self.assertEqual([event["log_format"] for event in logged], ["{path} cannot be written: {why}"])
        self.path.parent.unlink()
        self.clock.advance(SAVE_SECONDS)
        self.assertTrue(self.path.exists())

    def test_one_that_cannot_be_read(self) -> None:
        self.path.mkdir(parents=True)
        with capturedLogs() as logged:
            roster, keeper = self.keep()
            keeper.stopService()
        self.assertIn("cannot be read", logged[0]["log_format"])
        self.assertEqual(roster.services(), ())
