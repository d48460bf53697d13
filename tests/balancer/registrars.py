"""A private port in memory, under a stock twisted.web site."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from scalekit.balancer.registrar import RegistrarResource
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Claim, Routing
from scalekit.web.answers import Absent

HERE = IPv4Address("TCP", "127.0.0.1", 40000)
THERE = IPv4Address("TCP", "10.0.0.7", 40000)
LOCAL = IPv4Address("TCP", "10.0.0.1", 2001)


class Answer:
    """One answer, taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1]) if raw else 0
        self.fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}

    @property
    def value(self) -> Any:
        return json.loads(self.body)


class RegistrarCase(SynchronousTestCase):
    """A private port in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.roster = Roster(lambda: 0.5)
        self.routing = Routing([Claim.of("shop", ["shop.example"], "/")])
        self.roster.observe_claims(self.routing.settle)
        self.resource = RegistrarResource(
            self.roster,
            self.routing,
            self.clock,
            lambda: [("::", 2000), ("127.0.0.1", 2001)],
            lambda: "secret",
            Absent(),
            awaited=lambda instance, seconds: self.awaited.append((instance.id, seconds)),
        )
        self.awaited: list[tuple[str, float]] = []
        self.site = Site(self.resource, timeout=None)

    def open(self, target: str, method: str = "GET", peer: Any = HERE) -> StringTransport:
        """Send a request; returns the transport that its answer comes to."""
        transport = StringTransport(hostAddress=LOCAL, peerAddress=peer)
        channel = self.site.buildProtocol(peer)
        assert channel is not None
        channel.makeConnection(transport)
        transport.protocol = channel  # type: ignore[attr-defined]
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", "Accept: application/json"]
        if method == "POST":
            lines.append("Content-Length: 0")
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode())
        return transport

    def ask(self, target: str, method: str = "GET", peer: Any = HERE) -> Answer:
        return Answer(self.open(target, method, peer).value())

    def states(self) -> list[str]:
        return [
            f"{one.service}@{one.id} {one.state}" for s in self.roster.services() for one in self.roster.instances(s)
        ]
