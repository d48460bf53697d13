"""The private port of a balancer in memory, for tests of who registers there."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.instance import Instance
from scalekit.balancer.members import BODY_LIMIT
from scalekit.balancer.registrar import RegistrarResource
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Routing
from scalekit.config.tokens import Grant, Tokens
from scalekit.http.heads import Client, ClientCertificate
from scalekit.web.access import registration_role
from scalekit.web.answers import Absent
from scalekit.web.guard import Guard
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site

HERE = Client("127.0.0.1", 40000, True, 2001, local_address="127.0.0.1")
THERE = Client("10.0.0.7", 40000, True, 2001, local_address="10.0.0.1")
NEIGHBOUR = Client("10.0.0.8", 40000, True, 2001, local_address="10.0.0.1")
SHOWN = Client("10.0.0.7", 40000, True, 2001, local_address="10.0.0.1", certificate=ClientCertificate("CN=shop", "ab"))
OPERATOR, SHOP = "o" * 16, "s" * 16
A = "/v1/services/shop/instances/a"


class MembersCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.roster = Roster(lambda: 0.5)
        self.routing = Routing()
        self.roster.observe_claims(self.routing.settle)
        self.secrets = iter(f"secret-{n}" for n in range(100))
        resource = RegistrarResource(
            self.roster,
            self.routing,
            self.clock,
            lambda: [("::", 2000), ("127.0.0.1", 2001)],
            lambda: next(self.secrets),
            Absent(),
        )
        tokens = Tokens([(OPERATOR, Grant("operator")), (SHOP, Grant("register", "shop"))])
        self.guard = Guard(Site(resource, BODY_LIMIT, parse_forms=False), ["10.0.0.1"], tokens, registration_role)

    def open(
        self, method: str, target: str, value: Any = None, client: Client = HERE, token: str = ""
    ) -> MemoryExchange:
        body = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
        fields = [(b"Accept", b"application/json")]
        if token:
            fields.append((b"Authorization", b"Bearer " + token.encode()))
        host = b"10.0.0.1:2001" if client is not HERE else b"localhost:2001"
        return ask(self.guard, method.encode(), target.encode(), fields, client=client, host=host, body=body)

    def ask(self, *arguments: Any, **keywords: Any) -> tuple[int, Any]:
        exchange = self.open(*arguments, **keywords)
        return exchange.status, json.loads(exchange.sent)

    def put(self, generation: int = 1, target: str = A, port: int = 3000, **more: Any) -> tuple[int, Any]:
        where = {name: more.pop(name) for name in ("client", "token") if name in more}
        return self.ask("PUT", target, {"generation": generation, "port": port, **more}, **where)

    def instance(self) -> Instance:
        found = self.roster.find("shop", "a")
        assert found is not None
        return found

    def refused(self, status: int, reason: str, *arguments: Any, **keywords: Any) -> str:
        """Refused as told, with one audit line, and nothing has changed; its detail."""
        before = repr(self.roster)
        with capturedLogs() as logged:
            found, answer = self.ask(*arguments, **keywords)
        self.assertEqual((found, answer["reason"]), (status, reason), answer)
        lines = [event for event in logged if "refused" in event.get("log_format", "")]
        self.assertEqual(len(lines), 1 if status in (403, 409) and reason != "token-role" else 0)
        self.assertEqual(repr(self.roster), before)
        return str(answer["detail"])
