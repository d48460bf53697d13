"""
TLS as others see it: a scanner, clients with certificates, HAProxy in front; and certificates that change under load.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import trustme

from tests.ports import free_ports
from tests.requirements import require
from tests.scenarios.daemons import ScenarioCase, ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, Daemon, until

LOOPBACK = "127.0.0.1"


class TLSCase(ScenarioCase):
    """A balancer with certificates of the test's own authority."""

    def setUp(self) -> None:
        super().setUp()
        self.authority = trustme.CA()
        self.ca = self.folder / "ca.pem"
        self.authority.cert_pem.write_to_path(self.ca)
        self.app, _ = self.start_stock_app()

    def issue(self, name: str, *names: str) -> Path:
        """``NAME.pem`` and ``NAME.key``, each put in its place whole; that of the former."""
        issued = self.authority.issue_cert(*names)
        for suffix, data in (
            (".key", issued.private_key_pem.bytes()),
            (".pem", b"".join(pem.bytes() for pem in issued.cert_chain_pems)),
        ):
            aside = self.folder / f"{name}{suffix}.new"
            aside.write_bytes(data)
            aside.rename(self.folder / f"{name}{suffix}")
        return self.folder / f"{name}.pem"

    def start_with(self, listen: str, *tables: str, ports: list[int], private: str = "") -> Daemon:
        """A balancer with these listeners; ``tables`` is more TOML."""
        folder = self.folder / "balancer"
        folder.mkdir()
        private = private or f'"http://{LOOPBACK}:{free_ports(1)[0]}"'
        text = "\n".join(
            (
                f"[balancer]\nlisten = [{listen}]",
                f"[registration]\nlisten = [{private}]",
                f'[[balancer.service]]\nservers = ["http://{LOOPBACK}:{self.app}"]',
                '[balancer.health]\ninterval = "200ms"',
                *tables,
            )
        )
        (folder / "scalekit.toml").write_text(text)
        arguments = ["--config", str(folder / "scalekit.toml"), "--state-directory", str(folder / "state")]
        balancer = Daemon(folder, "scalekit-balancer", *arguments)
        self.addCleanup(balancer.clean_up)

        def is_serving() -> bool:
            assert balancer.process.poll() is None, balancer.stdout + balancer.stderr
            return all(map(is_listening, ports)) and "-> up" in balancer.stdout

        until(is_serving, f"the balancer serves: {balancer.stdout}")
        return balancer

    def curl(self, url: str, *arguments: str) -> tuple[int, str]:
        """The status of an answer, 0 without one, and what was said on the way."""
        done = subprocess.run(
            [require("curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", self.ca, *arguments, url],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
        return int(done.stdout), done.stderr.decode()


class ScanTests(TLSCase):
    def test_versions_suites_and_groups(self) -> None:
        """TLS 1.2 and 1.3, ECDHE, three groups, and nothing else."""
        balancer = self.start_balancer()
        command = [require("sslscan"), "--no-colour", f"{LOOPBACK}:{balancer.secure}"]
        told = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS).stdout.decode()
        self.assertEqual(re.findall(r"^(\S+) +enabled$", told, re.M), ["TLSv1.2", "TLSv1.3"])
        suites = re.findall(r"^(?:Preferred|Accepted) +(\S+) +\d+ bits +(\S+)", told, re.M)
        self.assertEqual({version for version, _ in suites}, {"TLSv1.2", "TLSv1.3"})
        for version, suite in suites:
            self.assertTrue(suite.startswith("ECDHE-" if version == "TLSv1.2" else "TLS_"), suite)
            self.assertTrue("GCM" in suite or "POLY1305" in suite, suite)
        groups = re.findall(r"^TLSv1\.3 +\d+ bits +(\S+)", told.partition("Key Exchange Group")[2], re.M)
        self.assertEqual(set(groups), {"x25519", "secp256r1", "secp384r1"})
        for expected in ("Session renegotiation not supported", "TLSv1.2 not vulnerable to heartbleed"):
            self.assertIn(expected, told)


class Visitors:
    """
    Threads that ask all the time: some on connections that they keep, some on a new one each time.

    :ivar faults: whatever went wrong.
    :ivar seen: the serial numbers of the certificates that new connections were shown.
    """

    def __init__(self, port: int, ca: Path) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=ca)
        self.faults: list[Any] = []
        self.seen: list[str] = []
        self.answers = 0
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(keeps,)) for keeps in (True, True, False, False)]
        for thread in self._threads:
            thread.start()

    def _ask(self, keeps: bool) -> None:
        connection = self._connect()
        try:
            while not self._is_over.is_set():
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read()
                if answer.status != 200 or not body:
                    self.faults.append((answer.status, body))
                if keeps and answer.will_close:
                    self.faults.append("a kept connection was closed")
                self.answers += 1
                if not keeps:
                    connection.close()
                    connection = self._connect()
        except Exception as why:
            self.faults.append(why)
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(LOOPBACK, self.port, timeout=PATIENCE_SECONDS, context=self.context)
        connection.auto_open = 0  # whoever is dropped shall not come back unnoticed
        connection.connect()
        sock: Any = connection.sock
        self.seen.append(sock.getpeercert()["serialNumber"])
        return connection

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)


class RenewalTests(TLSCase):
    def test_under_load(self) -> None:
        """By itself, by SIGHUP, and not at all when the new one is broken; nobody loses a connection or an answer."""
        self.issue("a", LOOPBACK)
        port, private = free_ports(2)
        tls = f'[tls]\ncertificate = "{self.folder}/a.pem"\nprivate_key = "{self.folder}/a.key"'
        balancer = self.start_with(
            f'"https://{LOOPBACK}:{port}"', tls, ports=[port, private], private=f'"http://{LOOPBACK}:{private}"'
        )
        visitors = Visitors(port, self.ca)
        self.addCleanup(visitors.end)

        def shows(serial: str) -> None:
            until(lambda: visitors.faults or visitors.seen[-1:] == [serial], "the new certificate is shown")
            self.assertEqual(visitors.faults, [])
            before = visitors.answers
            until(lambda: visitors.faults or visitors.answers > before + 50, "the load goes on")

        shows(serial_of(self.folder / "a.pem"))
        shows(serial_of(self.issue("a", LOOPBACK)))
        balancer.wait_for("a.pem has changed: serving a certificate for 127.0.0.1 until")
        last = self.issue("a", LOOPBACK)
        balancer.send(signal.SIGHUP)
        shows(serial_of(last))
        serial = serial_of(last)
        last.write_bytes(b"nonsense")
        balancer.wait_for("the old certificate stays: ")
        shows(serial)
        labels = f'{{file="{self.folder}/a.pem",name="{LOOPBACK}"}}'
        self.assertIn(f"scalekit_certificate_expiry_timestamp_seconds{labels} 3.250368e+10", metrics(private))
        visitors.end()
        self.assertEqual(visitors.faults, [])
        self.assertNotIn("Traceback", balancer.stdout)


class NameTests(TLSCase):
    def test_certificates_by_name(self) -> None:
        self.issue("default", "default.example")
        self.issue("shop", "shop.example")
        self.issue("wild", "*.blog.example")
        [port] = free_ports(1)
        tables = [f'[tls]\ncertificate = "{self.folder}/default.pem"\nprivate_key = "{self.folder}/default.key"']
        for name in ("shop", "wild"):
            tables.append(
                f'[[tls.sni]]\ncertificate = "{self.folder}/{name}.pem"\nprivate_key = "{self.folder}/{name}.key"'
            )
        self.start_with(f'"https://{LOOPBACK}:{port}"', *tables, ports=[port])

        def ask(name: str, *arguments: str) -> tuple[int, str]:
            return self.curl(f"https://{name}:{port}/", "--resolve", f"{name}:{port}:{LOOPBACK}", *arguments)

        for name in ("default.example", "shop.example", "a.blog.example"):
            self.assertEqual(ask(name), (200, ""))
        # Nobody has it: the default certificate, which is not for it.
        self.assertEqual(ask("a.b.blog.example")[0], 0)
        self.assertEqual(ask("a.b.blog.example", "--insecure")[0], 421)
        # Who was let in under one name does not reach what stands behind another.
        self.assertEqual(ask("shop.example", "-H", "Host: default.example")[0], 421)
        self.assertEqual(ask("a.blog.example", "-H", "Host: b.blog.example")[0], 200)


class ClientCertificateTests(TLSCase):
    def setUp(self) -> None:
        super().setUp()
        self.pair = f'certificate = "{self.issue("server", LOOPBACK)}", private_key = "{self.folder}/server.key"'

    def listener(self, port: int, how: str, host: str = LOOPBACK) -> str:
        url = f'url = "https://{host}:{port}"'
        return f'{{ {url}, {self.pair}, client_ca = "{self.ca}", client_certificates = "{how}" }}'

    def test_required_and_optional(self) -> None:
        self.issue("client", "client.example")
        chain = ["--cert", str(self.folder / "client.pem"), "--key", str(self.folder / "client.key")]
        required, optional = free_ports(2)
        listen = f"{self.listener(required, 'required')}, {self.listener(optional, 'optional')}"
        self.start_with(listen, ports=[required, optional])
        self.assertEqual(self.curl(f"https://{LOOPBACK}:{required}/", *chain), (200, ""))
        self.assertEqual(self.curl(f"https://{LOOPBACK}:{required}/")[0], 0)
        for arguments in (chain, []):
            self.assertEqual(self.curl(f"https://{LOOPBACK}:{optional}/", *arguments), (200, ""))

    def test_they_stand_in_for_tokens(self) -> None:
        """A private listener that others can reach starts with them."""
        self.issue("client", "client.example")
        chain = ["--cert", str(self.folder / "client.pem"), "--key", str(self.folder / "client.key")]
        public, private = free_ports(2)
        self.start_with(
            f'"http://{LOOPBACK}:{public}"',
            ports=[public, private],
            private=self.listener(private, "required", "0.0.0.0"),
        )
        url = f"https://{LOOPBACK}:{private}/v1/services"
        self.assertEqual(self.curl(url, *chain), (200, ""))
        self.assertEqual(self.curl(url)[0], 0)


class ProxyProtocolTests(TLSCase):
    def test_behind_haproxy(self) -> None:
        """Versions 1 and 2, before TLS and in clear: the access log has the client, not HAProxy."""
        self.issue("a", LOOPBACK)
        clear, secure, *fronts = free_ports(6)
        proxies = f'proxy_protocol_from = ["{LOOPBACK}/32"]'
        pair = f'certificate = "{self.folder}/a.pem", private_key = "{self.folder}/a.key"'
        listen = f'{{ url = "http://{LOOPBACK}:{clear}", {proxies} }}, '
        listen += f'{{ url = "https://{LOOPBACK}:{secure}", {pair}, {proxies} }}'
        balancer = self.start_with(listen, ports=[])
        sections = ["defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 20s\n  timeout server 20s\n"]
        for front, back, how in zip(
            fronts, (clear, clear, secure, secure), ("send-proxy", "send-proxy-v2") * 2, strict=True
        ):
            sections.append(f"listen l{front}\n  bind {LOOPBACK}:{front}\n  server s {LOOPBACK}:{back} {how}\n")
        (self.folder / "haproxy.cfg").write_text("".join(sections))
        haproxy = subprocess.Popen([require("haproxy"), "-db", "-f", str(self.folder / "haproxy.cfg")])
        self.addCleanup(haproxy.wait)
        self.addCleanup(haproxy.kill)
        until(lambda: all(map(is_listening, fronts)), "haproxy listens")
        until(lambda: "-> up" in balancer.stdout, "the app server is up")
        for number, front in enumerate(fronts, 2):
            scheme = "http" if number < 4 else "https"
            # The whole of 127.0.0.0/8 is this machine.
            found = self.curl(f"{scheme}://{LOOPBACK}:{front}/", "--interface", f"127.0.0.{number}", "--retry", "3")
            self.assertEqual(found, (200, ""))
        log = balancer.state / "access.log"
        until(lambda: log.exists() and len(log.read_text().splitlines()) >= 4, "all is in the access log")
        clients = {json.loads(line)["client"] for line in log.read_text().splitlines()}
        self.assertEqual(clients, {f"127.0.0.{number}" for number in range(2, 6)})

    def test_what_is_no_header_is_closed_and_counted(self) -> None:
        [public] = free_ports(1)
        [private] = free_ports(1)
        listen = f'{{ url = "http://{LOOPBACK}:{public}", proxy_protocol_from = ["{LOOPBACK}/32"] }}'
        self.start_with(listen, ports=[private], private=f'"http://{LOOPBACK}:{private}"')
        until(lambda: is_listening(public), "it listens")
        with socket.create_connection((LOOPBACK, public), PATIENCE_SECONDS) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try:
                self.assertEqual(sock.recv(100), b"")
            except ConnectionResetError:
                pass
        self.assertIn(
            'scalekit_connections_refused_total{listener="balancer",reason="proxy-header"} 1.0', metrics(private)
        )


def metrics(port: int) -> str:
    """What a private listener in clear tells."""
    status, body = ask(f"http://{LOOPBACK}:{port}/metrics")
    assert status == 200, body
    return body.decode()


def serial_of(file: Path) -> str:
    """The serial number as ``getpeercert`` gives it."""
    decoded: Any = ssl._ssl._test_decode_cert(str(file))  # type: ignore[attr-defined]
    return str(decoded["serialNumber"])
