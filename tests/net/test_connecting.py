"""Attempts in clear: TCP of both families, unix, and how they fail.  Over TLS: test_tls_scenarios.py."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as real_reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from scalekit.errors import UpstreamFault
from scalekit.net import connecting
from scalekit.net.connecting import Attempt, connect
from scalekit.net.ports import Admission, Port
from scalekit.net.unix_ports import UnixPort
from tests.net.wire import Recording, Serving

reactor: Any = real_reactor


class AttemptTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.factory = Serving()
        self.admission = Admission(100)
        self.faults: list[UpstreamFault] = []

    async def closed(self) -> None:
        await self.until(lambda: self.admission.open == 0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        give_up = reactor.seconds() + 30
        while not is_so():
            self.assertLess(reactor.seconds(), give_up)
            await deferLater(reactor, 0.002)

    async def talk(self, target: Any, **settings: Any) -> tuple[Any, Any]:
        """Connect and say hello: the two protocols."""
        client = Recording()
        server = self.factory.next()
        connect(reactor, target, client, self.faults.append, **settings)
        self.assertEqual(client.events, [], "nothing is told before connect returns")
        protocol = await server
        transport: Any = (await client.made).transport
        transport.write(b"hello")
        await protocol.hears(5)
        protocol.transport.write(b"and back")
        await client.hears(8)
        return client, protocol

    async def meet(self, port: Any, target: Callable[[], Any]) -> tuple[Any, Any]:
        port.startListening()
        self.addCleanup(port.stopListening)
        client, protocol = await self.talk(target())
        client.transport.loseConnection()
        await protocol.lost
        await client.lost
        await self.closed()
        self.assertEqual(self.faults, [])
        return client, protocol

    async def test_ipv4(self) -> None:
        port = Port(0, self.factory, "127.0.0.1", reactor, self.admission)
        await self.meet(port, lambda: ("127.0.0.1", port.getHost().port))

    async def test_ipv6(self) -> None:
        port = Port(0, self.factory, "::1", reactor, self.admission)
        client, _ = await self.meet(port, lambda: ("::1", port.getHost().port))
        self.assertEqual(repr(client.transport), f"<connection to {client.transport._peer}>")

    async def test_unix(self) -> None:
        with tempfile.TemporaryDirectory() as folder:  # trial's own may be too long for a socket's name
            path = os.path.join(folder, "socket")
            port = UnixPort(path, self.factory, reactor, self.admission)
            client, _ = await self.meet(port, lambda: path)
            self.assertEqual(client.transport.getPeer().name, path.encode())
            self.assertEqual(repr(port), f"<UnixPort {path}>")

    async def test_facts_of_the_transport(self) -> None:
        port = Port(0, self.factory, "127.0.0.1", reactor, self.admission)
        port.startListening()
        self.addCleanup(port.stopListening)
        client, protocol = await self.talk(("127.0.0.1", port.getHost().port))
        transport = client.transport
        self.assertEqual(transport.getPeer(), port.getHost())
        self.assertEqual(transport.getHost(), protocol.transport.getPeer())
        self.assertTrue(transport.getTcpNoDelay())
        self.assertFalse(transport.is_secure)
        protocol.transport.loseConnection()
        await client.lost
        await self.closed()

    async def fault(self, target: Any) -> UpstreamFault:
        client = Recording()
        connect(reactor, target, client, self.faults.append)
        self.assertEqual(self.faults, [], "nothing is told before connect returns")
        await self.until(lambda: bool(self.faults))
        self.assertEqual(client.events, [])
        (fault,) = self.faults
        self.faults.clear()
        return fault

    async def test_refused(self) -> None:
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            port = bound.getsockname()[1]
            fault = await self.fault(("127.0.0.1", port))
        self.assertEqual((fault.status, fault.reason), (502, "connect-refused"))
        self.assertEqual(fault.detail, f"127.0.0.1:{port}: Connection refused")
        missing = str(Path(tempfile.gettempdir()) / "no-such-socket")
        fault = await self.fault(missing)
        self.assertEqual(fault.reason, "connect-refused")
        self.assertEqual(fault.detail, f"{missing}: No such file or directory")

    async def test_unreachable(self) -> None:
        for target in (("0.0.0.256", 80), ("localhost", 80), ("127.0.0.1", 65_536), "/" + "x" * 200):
            fault = await self.fault(target)
            self.assertEqual((fault.status, fault.reason), (502, "connect-unreachable"), target)

    async def test_cancelled(self) -> None:
        """Given up at any moment: neither the protocol nor the callback hears anything, no socket is left."""
        port = Port(0, self.factory, "127.0.0.1", reactor, self.admission)
        port.startListening()
        self.addCleanup(port.stopListening)
        client = Recording()
        cancel = connect(reactor, ("127.0.0.1", port.getHost().port), client, self.faults.append)
        cancel()
        cancel()
        await self.closed()
        await deferLater(reactor, 0.01)
        self.assertEqual((client.events, self.faults), ([], []))

    async def test_cancelled_afterwards(self) -> None:
        port = Port(0, self.factory, "127.0.0.1", reactor, self.admission)
        port.startListening()
        self.addCleanup(port.stopListening)
        server = self.factory.next()
        client = Recording()
        cancel = connect(reactor, ("127.0.0.1", port.getHost().port), client, self.faults.append)
        await client.made
        cancel()
        transport: Any = client.transport
        transport.write(b"still there")
        self.assertEqual(await (await server).hears(11), b"still there")
        transport.loseConnection()
        await client.lost
        await self.closed()


class FaultTests(SynchronousTestCase):
    """What a system's error is called."""

    def test_names(self) -> None:
        reasons = {}
        for number in (errno.ECONNREFUSED, errno.ENOENT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EMFILE):
            reasons[number] = connecting.fault_of("x", OSError(number, "why")).reason
        self.assertEqual(
            reasons,
            {
                errno.ECONNREFUSED: "connect-refused",
                errno.ENOENT: "connect-refused",
                errno.EHOSTUNREACH: "connect-unreachable",
                errno.ENETUNREACH: "connect-unreachable",
                errno.EMFILE: "connect-unreachable",
            },
        )
        late = connecting.fault_of("x", OSError(errno.ETIMEDOUT, "Connection timed out"))
        self.assertEqual((late.status, late.reason, late.detail), (504, "connect-timeout", "x: Connection timed out"))

    def test_repr(self) -> None:
        attempt = Attempt(reactor, ("::1", 1), Recording(), lambda fault: None, None, "", 2.0)
        self.assertEqual(repr(attempt), "<Attempt [::1]:1>")
        attempt.cancel()
        self.assertEqual(repr(attempt), "<Attempt [::1]:1 over>")
