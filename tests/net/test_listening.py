"""
What a daemon's listeners do, over real sockets: from binding one to what happens when that cannot be done.
"""

import errno
import os
import resource
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.application.service import MultiService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate as TrustedCertificate
from twisted.internet.ssl import optionsForClientTLS, trustRootFromCertificates
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from scalekit.config.urls import ListenURL
from scalekit.http.heads import ResponseHead
from scalekit.net.certificates import ensure_server_certificate
from scalekit.net.factory import HTTPFactory
from scalekit.net.listening import HTTPListening, ListeningService, connection_limit
from scalekit.net.tls import ServerTLS

LOCAL = ListenURL("http", "127.0.0.1", 0)


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


class Echo(Protocol):
    """Says whom it sees, then what it hears."""

    def connectionMade(self) -> None:
        peer: Any = self.transport.getPeer()  # type: ignore[union-attr]
        self.transport.write(f"{getattr(peer, 'host', 'unix')}\n".encode())  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]


class Client(Protocol):
    """Collects what comes."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[None] = Deferred()
        self._awaited: tuple[bytes, Deferred[bytes]] | None = None

    def until(self, end: bytes) -> Deferred[bytes]:
        """All that was received, once it ends so."""
        deferred: Deferred[bytes] = Deferred()
        self._awaited = end, deferred
        self.dataReceived(b"")
        return deferred

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self._awaited is not None and self.received.endswith(self._awaited[0]):
            (_, deferred), self._awaited = self._awaited, None
            deferred.callback(self.received)

    def connectionLost(self, reason: Failure = Failure(Exception())) -> None:  # noqa: B008
        self.closed.callback(None)


class ListeningCase(TestCase):
    def listen(self, *urls: ListenURL, **arguments: Any) -> ListeningService:
        service = ListeningService(urls, Factory.forProtocol(Echo), reactor, **arguments)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def connect(self, endpoint: Any) -> Client:
        client: Client = await endpoint.connect(Factory.forProtocol(Client))

        def close() -> Deferred[None]:
            client.transport.abortConnection()  # type: ignore[union-attr]
            return client.closed

        self.addCleanup(close)
        return client

    async def connect_to(self, service: ListeningService, host: str = "127.0.0.1") -> Client:
        kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
        return await self.connect(kind(reactor, host, service.addresses()[0].port))


class BindingTests(ListeningCase):
    async def test_port_chosen_by_the_system(self) -> None:
        service = self.listen(LOCAL, LOCAL)
        first, second = service.addresses()
        self.assertEqual((first.host, second.host), ("127.0.0.1", "127.0.0.1"))
        self.assertEqual(len({0, first.port, second.port}), 3)
        self.assertEqual(service.bound_urls(), [f"http://127.0.0.1:{one.port}" for one in (first, second)])
        client = await self.connect_to(service)
        self.assertEqual(await client.until(b"\n"), b"127.0.0.1\n")

    def test_bound_with_privileges(self) -> None:
        """Before twistd gives them up: ports below 1024 need them."""
        service = ListeningService([LOCAL], Factory.forProtocol(Echo), reactor)
        self.assertEqual(service.addresses(), [])
        service.privilegedStartService()
        self.addCleanup(service.stopService)
        bound = service.addresses()
        self.assertEqual(len(bound), 1)
        service.startService()
        self.assertEqual(service.addresses(), bound)

    def test_under_a_service_that_runs(self) -> None:
        parent = MultiService()
        parent.startService()
        self.addCleanup(parent.stopService)
        service = ListeningService([LOCAL], Factory.forProtocol(Echo), reactor)
        service.setServiceParent(parent)
        self.assertEqual(len(service.addresses()), 1)

    async def test_both_families_on_one_socket(self) -> None:
        """An IPv4 peer of it is an IPv4 peer, in whatever is decided by address."""
        if not has_ipv6():
            raise SkipTest("no IPv6 here")
        service = self.listen(ListenURL("http", "::", 0))
        self.assertEqual(service.bound_urls(), [f"http://[::]:{service.addresses()[0].port}"])
        for host in ("127.0.0.1", "::1"):
            client = await self.connect_to(service, host)
            self.assertEqual(await client.until(b"\n"), f"{host}\n".encode())

    async def test_no_ipv6(self) -> None:
        genuine = socket.socket

        def without_ipv6(family: int = -1, *arguments: Any) -> socket.socket:
            if family == socket.AF_INET6:
                raise OSError(97, "Address family not supported by protocol")
            return genuine(family, *arguments)

        self.patch(socket, "socket", without_ipv6)
        service = self.listen(ListenURL("http", "::", 0))
        self.patch(socket, "socket", genuine)
        self.assertEqual(service.addresses()[0].host, "0.0.0.0")
        client = await self.connect_to(service)
        self.assertEqual(await client.until(b"\n"), b"127.0.0.1\n")

    async def test_tls(self) -> None:
        directory = Path(self.mktemp()).absolute()
        names = ["localhost", "127.0.0.1"]
        certificate, key = ensure_server_certificate(directory, names, datetime.now(UTC))
        service = self.listen(ListenURL("https", "127.0.0.1", 0), tls=ServerTLS(certificate, key))
        authority = TrustedCertificate.loadPEM((directory / "ca.pem").read_bytes())
        port = service.addresses()[0].port
        self.assertEqual(service.bound_urls(), [f"https://127.0.0.1:{port}"])
        for name in names:
            options = optionsForClientTLS(name, trustRootFromCertificates([authority]))
            endpoint = wrapClientTLS(options, TCP4ClientEndpoint(reactor, "127.0.0.1", port))
            client = await self.connect(endpoint)
            self.assertEqual(await client.until(b"\n"), b"127.0.0.1\n")
            client.transport.write(b"hello!")  # type: ignore[union-attr]
            self.assertEqual(await client.until(b"!"), b"127.0.0.1\nhello!")

    def test_tls_without_a_certificate(self) -> None:
        with self.assertRaises(ValueError):
            ListeningService([ListenURL("https", "127.0.0.1", 0)], Factory(), reactor)


class RefusalTests(ListeningCase):
    """One line that names the listener; and what was bound already is free again."""

    def refusal(self, *urls: ListenURL) -> str:
        lines: list[str] = []
        service = self.listen(*urls, fail_start=lines.append)
        self.assertEqual(service.addresses(), [])
        # asked again when the service starts, as this one was not ended by it
        self.assertEqual(len(set(lines)), 1)
        return lines[0]

    def taken_port(self, host: str = "127.0.0.1") -> int:
        taken = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.addCleanup(taken.close)
        return int(taken.getsockname()[1])

    def test_taken(self) -> None:
        port = self.taken_port()
        self.assertEqual(
            self.refusal(LOCAL, ListenURL("http", "127.0.0.1", port)),
            f"cannot listen on http://127.0.0.1:{port}: Address already in use",
        )

    def test_taken_by_another_family(self) -> None:
        if not has_ipv6():
            raise SkipTest("no IPv6 here")
        port = self.taken_port("::1")
        self.assertEqual(
            self.refusal(ListenURL("http", "::1", port)),
            f"cannot listen on http://[::1]:{port}: Address already in use",
        )

    def test_not_an_address_of_ours(self) -> None:
        self.assertEqual(
            self.refusal(ListenURL("http", "203.0.113.77", 2000)),
            "cannot listen on http://203.0.113.77:2000: Cannot assign requested address",
        )

    def test_raised(self) -> None:
        """Without somebody to tell it is an error with that line, of the kind that Twisted raises."""
        port = self.taken_port()
        service = ListeningService([ListenURL("http", "127.0.0.1", port)], Factory.forProtocol(Echo), reactor)
        with self.assertRaises(CannotListenError) as caught:
            service.privilegedStartService()
        self.assertEqual(str(caught.exception), f"cannot listen on http://127.0.0.1:{port}: Address already in use")

    async def test_the_others_are_closed(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            free = listener.getsockname()[1]
        taken = self.taken_port()
        urls = [ListenURL("http", "127.0.0.1", port) for port in (free, taken)]
        service = ListeningService(urls, Factory.forProtocol(Echo), reactor, fail_start=lambda line: None)
        service.privilegedStartService()
        await service.stop_listening()
        with self.assertRaises(ConnectionRefusedError):
            await TCP4ClientEndpoint(reactor, "127.0.0.1", free).connect(Factory.forProtocol(Client))


class StoppingTests(ListeningCase):
    async def test_connections_live_on(self) -> None:
        service = self.listen(LOCAL)
        port = service.addresses()[0].port
        client = await self.connect_to(service)
        await client.until(b"\n")
        await service.stop_listening()
        self.assertEqual((service.addresses(), service.bound_urls()), ([], []))
        client.transport.write(b"still here!")  # type: ignore[union-attr]
        self.assertEqual(await client.until(b"!"), b"127.0.0.1\nstill here!")
        with self.assertRaises(ConnectionRefusedError):
            await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(Client))

    async def test_it_says_where_it_listens_and_when_no_more(self) -> None:
        with capturedLogs() as captured:
            service = self.listen(LOCAL, LOCAL)
            urls = ", ".join(service.bound_urls())
            await service.stop_listening()
        self.assertEqual(
            [
                event["log_format"].format(**event)
                for event in captured
                if event["log_namespace"].startswith("scalekit")
            ],
            [f"listening on {urls}", f"no longer listening on {urls}"],
        )

    async def test_a_start_that_goes_no_further_says_nothing(self) -> None:
        """What the daemon needs beside it may still refuse to start."""
        service = ListeningService([LOCAL], Factory.forProtocol(Echo), reactor)
        with capturedLogs() as captured:
            service.privilegedStartService()
            await service.stopService()
        self.assertEqual([event for event in captured if event["log_namespace"].startswith("scalekit")], [])

    async def test_again(self) -> None:
        """Twice is once, and a stopped one can be started."""
        service = self.listen(LOCAL)
        await service.stop_listening()
        await service.stop_listening()
        await service.stopService()
        service.privilegedStartService()
        service.startService()
        client = await self.connect_to(service)
        self.assertEqual(await client.until(b"\n"), b"127.0.0.1\n")


class DrainingTests(TestCase):
    """`HTTPListening.drain`: whoever has connected is served, and nobody connects any more."""

    timeout = 60

    def listen(self, url: ListenURL, tls: ServerTLS | None = None) -> HTTPListening:
        def respond(exchange: Any) -> None:
            exchange.answer(ResponseHead(200, []), b"hello")

        responder: Any = SimpleNamespace(respond=respond)
        service = HTTPListening([url], HTTPFactory(responder, reactor, time.time, b"t"), reactor, tls)
        service.privilegedStartService()
        service.startService()
        self.addCleanup(service.stopService)
        return service

    def dial(self, service: HTTPListening) -> socket.socket:
        address = service.addresses()[0]
        client = socket.create_connection((address.host, address.port), 20)
        self.addCleanup(client.close)
        return client

    def heard(self, client: socket.socket) -> Deferred[bytes]:
        def read() -> bytes:
            return b"".join(iter(lambda: client.recv(65_536), b""))

        return deferToThread(read)

    async def test_who_waits_to_be_accepted(self) -> None:
        service = self.listen(LOCAL)
        clients = [self.dial(service) for _ in range(100)]
        for client in clients[:50]:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        drained = service.drain()
        for client in clients[50:]:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            heard = await self.heard(client)
            self.assertTrue(heard.startswith(b"HTTP/1.1 200 OK\r\n") and heard.endswith(b"\r\n\r\nhello"), heard)
            self.assertIn(b"\r\nConnection: close\r\n", heard)
        await drained

    async def test_who_comes_before_it_is_closed_is_not_taken(self) -> None:
        """Not accepted, then to be reset, that is: it tries again, and hears then that nobody is there."""
        service = self.listen(LOCAL)
        (_, port), host = service._ports[0], service.addresses()[0]
        client = self.dial(service)
        port.take_last()
        self.assertEqual(service.admission.open, 1)
        with socket.socket() as late:
            late.setblocking(False)
            self.assertEqual(late.connect_ex((host.host, host.port)), errno.EINPROGRESS)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertTrue((await self.heard(client)).startswith(b"HTTP/1.1 200 OK\r\n"))
            await service.stop_listening()
            self.assertRaises(OSError, late.getpeername)
        self.assertEqual(service.admission.open, 0)

    async def test_a_handshake_is_waited_for(self) -> None:
        folder = Path(self.mktemp()).absolute()
        pair = ensure_server_certificate(folder, ["localhost", "127.0.0.1"], datetime.now(UTC))
        service = self.listen(ListenURL("https", "127.0.0.1", 0), ServerTLS(*pair))
        client = self.dial(service)
        drained = service.drain()
        self.assertNoResult(drained)
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        secure = await deferToThread(context.wrap_socket, client, server_hostname="localhost")
        self.addCleanup(secure.close)
        secure.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue((await self.heard(secure)).startswith(b"HTTP/1.1 200 OK\r\n"))
        secure.close()
        await drained


class LimitTests(ListeningCase):
    async def test_over_the_limit(self) -> None:
        """Closed at once and counted; there is room again when one has gone."""
        service = self.listen(LOCAL, LOCAL, max_connections=2)
        one, two = await self.connect_to(service), await self.connect_to(service)
        for client in (one, two):
            await client.until(b"\n")
        three = await self.connect_to(service)
        await three.closed
        self.assertEqual((three.received, service.admission.open, service.admission.refused), (b"", 2, 1))
        one.transport.loseConnection()  # type: ignore[union-attr]
        await one.closed
        four = await self.connect_to(service)
        self.assertEqual(await four.until(b"\n"), b"127.0.0.1\n")
        self.assertEqual(repr(service.admission), "<Admission 2 of 2, 1 refused>")


class UnixTests(ListeningCase):
    def setUp(self) -> None:
        # Not below trial's own directory: a socket's path has at most 103 bytes.
        self.path = f"/tmp/scalekit-{os.getpid()}-{id(self):x}.sock"
        self.addCleanup(lambda: os.path.lexists(self.path) and os.unlink(self.path))
        self.url = ListenURL("unix", path=self.path)

    async def test_listening(self) -> None:
        service = self.listen(self.url)
        self.assertEqual(service.bound_urls(), [f"unix://{self.path}"])
        self.assertEqual(f"{os.stat(self.path).st_mode & 0o777:o}", "660")
        client = await self.connect(UNIXClientEndpoint(reactor, self.path))
        self.assertEqual(await client.until(b"\n"), b"unix\n")
        await service.stopService()
        self.assertFalse(os.path.exists(self.path))

    async def test_left_by_a_dead_process(self) -> None:
        script = f"import os, socket; socket.socket(socket.AF_UNIX).bind({self.path!r}); os.kill(os.getpid(), 9)"
        subprocess.run([sys.executable, "-c", script], check=False)
        self.assertTrue(os.path.exists(self.path))
        self.listen(self.url)
        client = await self.connect(UNIXClientEndpoint(reactor, self.path))
        self.assertEqual(await client.until(b"\n"), b"unix\n")

    async def test_in_use(self) -> None:
        lines: list[str] = []
        self.listen(self.url)
        self.listen(self.url, fail_start=lines.append)
        self.assertEqual(set(lines), {f"cannot listen on unix://{self.path}: Address already in use"})
        client = await self.connect(UNIXClientEndpoint(reactor, self.path))
        self.assertEqual(await client.until(b"\n"), b"unix\n")

    def test_another_kind_of_file(self) -> None:
        """Somebody's data is not removed for us."""
        Path(self.path).write_text("precious")
        lines: list[str] = []
        self.listen(self.url, fail_start=lines.append)
        self.assertEqual(set(lines), {f"cannot listen on unix://{self.path}: Address already in use"})
        self.assertEqual(Path(self.path).read_text(), "precious")

    def test_no_directory(self) -> None:
        lines: list[str] = []
        self.listen(ListenURL("unix", path="/nonexistent/x.sock"), fail_start=lines.append)
        self.assertEqual(set(lines), {"cannot listen on unix:///nonexistent/x.sock: No such file or directory"})


class ConnectionLimitTests(SynchronousTestCase):
    def test_from_descriptors(self) -> None:
        for files, limit in {256: 28, 1024: 412, 524288: 10_000, resource.RLIM_INFINITY: 10_000, 20: 16}.items():
            self.patch(resource, "getrlimit", lambda _, files=files: (files, files))
            self.assertEqual(connection_limit(), limit)
