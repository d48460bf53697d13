"""Tests of `scalekit.kit.joining`: what is found where an application runs, and its life on real sockets."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Site

from scalekit import kit
from scalekit.errors import ConfigurationFault
from scalekit.kit.client import make_client
from scalekit.kit.testing import AsyncMemoryBalancer
from tests.kit.test_serving import Application, Balancer


def environ(case: SynchronousTestCase, **variables: str) -> Path:
    """This and nothing else is the environment; where the state directory is in it."""
    home = Path(case.mktemp()).absolute()
    case.patch(os, "environ", {"HOME": str(home), **{f"SCALEKIT_{name}": text for name, text in variables.items()}})
    return home / ".local" / "state" / "scalekit"


class AppServerTests(TestCase):
    def setUp(self) -> None:
        self.balancer = Balancer()
        port = cast(Any, reactor).listenTCP(0, Site(self.balancer), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"

    async def test_nothing_but_the_application_is_said(self) -> None:
        """And it can be started again, as by `twisted.application.service`."""
        state = environ(self, BALANCER=self.url, SERVICE="shop", HOSTS="shop.example")
        server = kit.AppServer(Application(), max_in_flight=7)
        for _ in range(2):
            self.balancer.asked.clear()
            self.balancer.registered = Deferred()
            application = MultiService()
            server.setServiceParent(application)
            application.privilegedStartService()
            self.assertEqual(self.balancer.asked, [])
            application.startService()
            await self.balancer.registered
            [asked] = self.balancer.asked
            self.assertTrue(asked.startswith(f"/v1/services/shop/instances/127.0.0.1:{server.port} "), asked)
            for said in ("'scheme': 'https'", "'hosts': ['shop.example']", "'max_in_flight': 7"):
                self.assertIn(said, asked)
            client = make_client(reactor, str(state / "tls" / "ca.pem"))
            answer = await client.fetch("GET", f"https://127.0.0.1:{server.port}/", seconds=20)
            self.assertEqual(answer.body, b"the application")
            await client.close()
            await maybeDeferred(application.stopService)
            self.assertIn("/drain?", self.balancer.asked[-1])
            self.assertEqual(server.port, 0)
            server.disownServiceParent()

    async def test_added_to_what_runs_already_and_drained_before(self) -> None:
        environ(self, SCHEME="http")
        application = MultiService()
        application.startService()
        server = kit.AppServer(Site(Application()), balancer=self.url)
        self.assertIsNone(await server.drain())  # there is nothing yet
        server.setServiceParent(application)
        await self.balancer.registered
        answered = make_client(reactor, None)
        answer = await answered.fetch("GET", f"http://127.0.0.1:{server.port}/", seconds=20)
        self.assertEqual(answer.body, b"the application")
        await answered.close()
        await server.drain()
        self.assertEqual(len(self.balancer.asked), 2)
        await maybeDeferred(application.stopService)
        self.assertEqual(len(self.balancer.asked), 2)

    async def test_a_second_signal_while_it_drains(self) -> None:
        """It ends, though something is in flight."""
        environ(self, SCHEME="http")
        # What twistd has running; trial's reactor has left the signals to trial.
        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        signal.signal(signal.SIGTERM, cast(Any, reactor).sigTerm)
        balancer = AsyncMemoryBalancer(cast(Any, reactor))
        server = kit.AppServer(Application(), client=balancer)
        application = MultiService()
        server.setServiceParent(application)
        application.startService()
        [member] = balancer.instances()
        balancer.set_in_flight("default", member.id, 1)
        stopped = maybeDeferred(application.stopService)
        self.assertEqual((member.state, stopped.called), ("draining", False))
        os.kill(os.getpid(), signal.SIGTERM)
        await stopped
        self.assertEqual(signal.getsignal(signal.SIGTERM), cast(Any, reactor).sigTerm)
        balancer.set_in_flight("default", member.id, 0)  # nobody waits for it
        await deferLater(cast(Any, reactor), 0)

    async def test_a_balancer_in_memory(self) -> None:
        environ(self, SCHEME="http")
        balancer = AsyncMemoryBalancer(cast(Any, reactor))
        server = kit.AppServer(Application(), client=balancer)
        application = MultiService()
        server.setServiceParent(application)
        application.startService()
        self.assertEqual([(one.port, one.state) for one in balancer.instances()], [(server.port, "up")])
        await maybeDeferred(application.stopService)
        self.assertEqual(balancer.instances(), [])


class WhatIsWrongTests(SynchronousTestCase):
    def assert_refused(self, expected: str, **arguments: Any) -> None:
        fault = self.assertRaises(ValueError, kit.AppServer, Application(), **arguments)
        self.assertTrue(str(fault).startswith(expected), fault)

    def test_on_one_machine_nothing_is(self) -> None:
        environ(self)
        self.assertEqual(repr(kit.AppServer(Application())), "<AppServer at https://127.0.0.1:0>")
        self.assertEqual(repr(kit.AppServer(Application(), 3000, host="[::1]")), "<AppServer at https://[::1]:3000>")

    def test_arguments(self) -> None:
        environ(self)
        self.assert_refused("scheme: found 'h2c'", scheme="h2c")
        self.assert_refused("found one of certificate", certificate="shop.pem")
        self.assert_refused("host: found 'localhost'", host="localhost")
        self.assert_refused("port: found 70000", port=70000)

    def test_a_balancer_elsewhere_must_reach_and_trust_us(self) -> None:
        environ(self, BALANCER="https://lb:2001")
        self.assert_refused("host: found none")
        self.assert_refused("certificate: found none", host="10.0.0.7")
        kit.AppServer(Application(), host="10.0.0.7", scheme="http")
        environ(self, BALANCER="https://lb:2001", HOST="10.0.0.7", CERTIFICATE="shop.pem", PRIVATE_KEY="shop.key")
        kit.AppServer(Application())

    def test_a_token_that_is_not_there(self) -> None:
        environ(self, TOKEN_FILE="/nowhere/token")
        self.assertRaises(ConfigurationFault, kit.AppServer, Application())
        self.assertRaises(ConfigurationFault, kit.open_membership, 3000)


class MembershipTests(SynchronousTestCase):
    def test_it_is_of_here(self) -> None:
        environ(self, PORT="3000", SERVICE="shop")
        registered = "<Membership of 127.0.0.1:3000 at https://127.0.0.1:2001: not registered>"
        member = kit.open_membership()
        self.assertIsInstance(member, kit.Membership)
        self.assertEqual(repr(member), registered)

    def test_what_is_wrong(self) -> None:
        environ(self)
        self.assertRaises(ValueError, kit.open_membership)
        self.assertRaises(ValueError, kit.open_membership, 3000, scheme="ftp")
