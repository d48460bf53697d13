"""Tests of `scalekit.balancer.events`, `scalekit.balancer.streams` and `scalekit.balancer.instance_metrics`."""

from __future__ import annotations

import json
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import instance_metrics
from scalekit.balancer import streams as streams_module
from scalekit.balancer.events import EVENTS_KEPT, EventLog
from scalekit.balancer.instance import Instance, Notice
from scalekit.balancer.instance_metrics import InstanceMetrics
from scalekit.balancer.roster import Endpoint, Roster
from scalekit.balancer.streams import HEARTBEAT_SECONDS, EventsResource, EventStreams
from scalekit.web.answers import ProblemResource
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site


class StreamCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.roster = Roster(lambda: 0.5)
        self.log = EventLog("run", lambda: 1234.5678)
        self.roster.observe(self.log.transition)
        self.roster.observe_notices(self.log.notice)
        self.streams = EventStreams(self.log, self.clock)
        self.streams.startService()
        self.addCleanup(self.streams.stopService)
        root = ProblemResource()
        root.putChild(b"events", EventsResource(self.streams))
        self.site = Site(root)

    def open(self, last: str = "", method: bytes = b"GET") -> MemoryExchange:
        fields = [(b"Last-Event-ID", last.encode())] if last else []
        return ask(self.site, method, b"/events", fields)

    def join(self, port: int = 3000) -> Instance:
        return self.roster.register("default", Endpoint("http", "127.0.0.1", port), 0.0)

    def events(self, exchange: MemoryExchange, start: int = 0) -> list[tuple[str, str, Any]]:
        """Id, name and data of what came from this byte on, without the greeting."""
        found = []
        for block in exchange.sent[start:].decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "event" in lines:
                found.append((lines["id"], lines["event"], json.loads(lines["data"])))
        return found


class StreamTests(StreamCase):
    def test_as_it_happens(self) -> None:
        self.join(2999)
        reader = self.open()
        self.assertEqual(reader.values(b"content-type"), [b"text/event-stream"])
        self.assertEqual(reader.sent, b"retry: 2000\nid: run-1\n\n")
        self.join()
        said = {
            "at": 1234.568,
            "service": "default",
            "id": "127.0.0.1:3000",
            "before": None,
            "after": "joining",
            "reason": "registered",
        }
        self.assertEqual(self.events(reader), [("run-2", "transition", said)])
        self.log.notice(Notice("panic", "default", "why", 0.0))
        self.assertEqual(
            self.events(reader)[1:], [("run-3", "panic", {"at": 1234.568, "service": "default", "detail": "why"})]
        )

    def test_goes_on(self) -> None:
        """From Last-Event-ID, nothing twice and nothing lost."""
        for port in range(3000, 3005):
            self.join(port)
        self.assertEqual([id for id, _, _ in self.events(self.open("run-3"))], ["run-4", "run-5"])
        self.assertEqual(self.events(self.open("run-5")), [])
        self.assertEqual(len(self.events(self.open("run-0"))), 5)

    def test_cut_while_it_catches_up(self) -> None:
        """Wherever the connection is cut, a browser goes on from what it has got: the last id before a blank line."""
        for port in range(3000, 3005):
            self.join(port)
        sent = self.open("run-3").sent
        for end in range(len(sent) + 1):
            whole = sent[:end].rpartition(b"\n\n")[0].decode()
            last = ["run-3", *(line[4:] for line in whole.splitlines() if line.startswith("id: "))][-1]
            self.assertEqual(last, f"run-{3 + whole.count('data: ')}")

    def test_missed(self) -> None:
        """Of another run, of the future, or no longer kept: that is said, and what comes then is told."""
        for last in ("other-1", "run-1", "run-x", "run", "1", "run-9"):
            self.setUp()
            if last == "run-1":
                for _ in range(EVENTS_KEPT + 2):
                    self.log.notice(Notice("panic", "", "", 0.0))
            reader = self.open(last)
            self.assertEqual([name for _, name, _ in self.events(reader)], ["missed"], last)
            self.join()
            self.assertEqual([name for _, name, _ in self.events(reader)], ["missed", "transition"])

    def test_slow_reader(self) -> None:
        """Nothing is kept for one that does not read; later it gets what is in the ring, or hears that it missed it."""
        slow, other = self.open(), self.open()
        slow.hold()
        before = len(slow.sent)
        self.join()
        self.clock.advance(HEARTBEAT_SECONDS)
        self.assertEqual((len(slow.sent), len(self.events(other))), (before, 1))
        slow.release()
        self.assertEqual(len(self.events(slow)), 1)
        slow.hold()
        for _ in range(EVENTS_KEPT + 1):
            self.log.notice(Notice("panic", "", "", 0.0))
        slow.release()
        self.assertEqual([name for _, name, _ in self.events(slow)][1:], ["missed"])

    def test_heartbeat(self) -> None:
        reader = self.open()
        self.clock.advance(HEARTBEAT_SECONDS)
        self.assertTrue(reader.sent.endswith(b"\n\n: still here\n\n"))

    def test_a_session_that_has_lapsed(self) -> None:
        """Who has logged out, or did so too long ago, hears no more."""
        reader = self.open()
        self.patch(streams_module, "has_lapsed", lambda request: True)
        self.clock.advance(HEARTBEAT_SECONDS)
        self.assertTrue(reader.is_finished)
        self.assertEqual(self.streams.readers, set())

    def test_leaving_and_ending(self) -> None:
        """A reader that leaves is forgotten; when we end all streams end, and there is none any more."""
        gone, there = self.open(), self.open()
        gone.leave()
        self.assertEqual(len(self.streams.readers), 1)
        self.join()
        self.streams.close()
        self.assertTrue(there.is_finished)
        self.assertEqual((self.streams.readers, self.open().status), (set(), 503))

    def test_bounds(self) -> None:
        self.patch(streams_module, "READERS_LIMIT", 1)
        self.open()
        self.assertEqual((self.open().status, self.open(method=b"HEAD").status), (503, 200))
        self.assertEqual(len(self.streams.readers), 1)


class InstanceMetricsTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        roster, registry = Roster(lambda: 0.5), CollectorRegistry()
        registry.register(InstanceMetrics(roster))
        one = roster.register("shop", Endpoint("http", "127.0.0.1", 3000), 0.0)
        value = registry.get_sample_value
        self.assertEqual(value("scalekit_instances", {"service": "shop", "state": "joining"}), 1)
        for _ in range(3):
            roster.probed(one, 500, "", 0.0)
        self.assertEqual(value("scalekit_panic", {"service": "shop"}), 1)
        labels = {"service": "shop", "before": "joining", "after": "down"}
        self.assertEqual(value("scalekit_transitions_total", labels), 1)

    def test_bounded(self) -> None:
        """Services that are gone are forgotten when there are too many."""
        self.patch(instance_metrics, "SERIES_LIMIT", 4)
        roster, registry = Roster(lambda: 0.5), CollectorRegistry()
        registry.register(InstanceMetrics(roster))
        for service in ("a", "b", "c"):
            roster.register(service, Endpoint("http", "127.0.0.1", 3000), 0.0)
            if service != "c":
                roster.unregister(service, "127.0.0.1:3000", 0.0)
        joined = {"before": "none", "after": "joining"}
        value = registry.get_sample_value
        self.assertIsNone(value("scalekit_transitions_total", {"service": "a", **joined}))
        self.assertEqual(value("scalekit_transitions_total", {"service": "c", **joined}), 1)
