"""The listeners for syslog together, on real sockets."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet import reactor as _reactor
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from scalekit.config.urls import ListenURL, parse_syslog_url
from scalekit.logs.collector import Collector
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.syslog.intake import Intake
from scalekit.logs.syslog.listening import Syslog, among
from scalekit.logs.syslog.metrics import SyslogMetrics
from scalekit.logs.threads import DirectLane
from scalekit.net.certificates import ensure_server_certificate
from scalekit.net.tls import ServerTLS
from tests.logs.syslog.test_stamps import utc

REACTOR: Any = _reactor
PATIENCE_SECONDS = 20.0


def send_and_wait(url: str, ca: Path, data: bytes) -> bytes:
    """Over a stream; what is answered until the other side closes, as rsyslog looks for it."""
    parts = urlsplit(url)
    sock = socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS)
    if parts.scheme == "tls":
        sock = ssl.create_default_context(cafile=ca).wrap_socket(sock, server_hostname=parts.hostname)
    with sock:
        sock.sendall(data)
        return sock.recv(1)


class SyslogTests(TestCase):
    """`Syslog`, with a collector in memory."""

    timeout = 60

    def start(self, *urls: ListenURL) -> dict[str, str]:
        """Its real URLs, by scheme."""
        self.directory = MemoryDirectory()
        self.collector = Collector(
            lambda: self.directory, REACTOR, (DirectLane(), DirectLane(), DirectLane()), wall=lambda: 1_795_472_055.0
        )
        self.collector.startService()
        self.tls = Path(self.mktemp()).absolute()
        tls = ServerTLS(*ensure_server_certificate(self.tls, ["127.0.0.1"], datetime.now(UTC)))
        intake = Intake(self.collector, REACTOR, lambda: 1_795_472_055.0, utc)
        self.syslog = Syslog(urls, intake, REACTOR, tls)
        self.syslog.privilegedStartService()
        self.syslog.startService()
        return {urlsplit(url).scheme: url for url in self.syslog.bound_urls()}

    async def stop(self) -> str:
        """Drain and end as a daemon does; what is in the file then."""
        await self.syslog.drain()
        await self.syslog.stopService()
        await self.collector.stopService()
        return self.directory.read("log.txt").decode()

    async def test_all_transports(self) -> None:
        """What has been sent before the end is in the file after it; every sender is told that it is the end."""
        urls = self.start(*(parse_syslog_url(f"{scheme}://127.0.0.1:0") for scheme in ("udp", "tcp", "tls")))
        ca = self.tls / "ca.pem"
        stream = deferToThread(send_and_wait, urls["tcp"], ca, b"<14>a: one\n<14>b: two")
        secure = deferToThread(send_and_wait, urls["tls"], ca, b"12 <14>c: three")
        counts = self.collector.counts.syslog
        while not (counts["tcp"]["received"] and counts["tls"]["received"]):
            await deferToThread(lambda: None)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"<14>d: four\0", ("127.0.0.1", urlsplit(urls["udp"]).port or 0))
        self.assertRegex(repr(self.syslog), r"^<Syslog tcp://127.0.0.1:[0-9]+ tls://127.0.0.1:[0-9]+ udp://127.0.0.1:")
        registry = CollectorRegistry()
        registry.register(SyslogMetrics(self.syslog, counts))
        lines = generate_latest(registry).decode().splitlines()
        for line in (
            'scalekit_logs_syslog_received_total{transport="tls"} 1.0',
            'scalekit_logs_syslog_dropped_total{reason="kernel",transport="udp"} 0.0',
            'scalekit_logs_syslog_dropped_total{reason="http",transport="tcp"} 0.0',
            'scalekit_logs_syslog_connections{transport="tls"} 1.0',
            'scalekit_logs_syslog_refused_total{reason="too-many",transport="tcp"} 0.0',
        ):
            self.assertIn(line, lines)
        text = await self.stop()
        self.assertEqual((await stream, await secure), (b"", b""))
        self.assertEqual(
            sorted(line.split(";", 1)[1] for line in text.splitlines()),
            ["INFO;a;one", "INFO;b;two", "INFO;c;three", "INFO;d;four"],
        )

    async def test_a_port_that_is_taken(self) -> None:
        """Is said in one line, and nothing of ours stays bound by it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            url = ListenURL("udp", "127.0.0.1", taken.getsockname()[1])
            with self.assertRaises(CannotListenError) as caught:
                self.start(url)
        self.assertEqual(str(caught.exception), f"cannot listen on {url}: Address already in use")
        await self.syslog.drain()
        await self.collector.stopService()

    async def test_none(self) -> None:
        """Without a listener it is a service like any other."""
        self.assertEqual(self.start(), {})
        self.assertEqual(await self.stop(), "")


class AmongTests(SynchronousTestCase):
    """`among`."""

    def test_networks(self) -> None:
        is_among = among((ip_network("10.0.0.0/8"), ip_network("fe80::/10")))
        for host, expected in (
            ("10.1.2.3", True),
            ("11.1.2.3", False),
            ("fe80::1%eth0", True),
            ("::1", False),
        ):
            self.assertIs(is_among(host), expected)
        self.assertTrue(among(())("11.1.2.3"))
