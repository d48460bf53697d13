"""Clients accept what the local authority signs, and any number of processes may start at once."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scalekit.errors import ConfigurationFault
from scalekit.net import pem
from tests.net.local_ca import NAMES, NOW, CertificatesCase, read
from tests.requirements import require

STARTER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from scalekit.net.certificates import ensure_server_certificate

sys.stdin.readline()
certificate, key = ensure_server_certificate(
    Path(sys.argv[1]), ["localhost", "127.0.0.1"], datetime.fromtimestamp(float(sys.argv[2]), UTC)
)
print(certificate.read_text(), key.read_text(), Path(sys.argv[1], "ca.pem").read_text())
"""


class ManyProcessesTests(CertificatesCase):
    def start_together(self, now: datetime) -> set[str]:
        """Six daemons start at once (as many as we have); what each has seen in the files."""
        processes = []
        for _ in range(6):
            process = subprocess.Popen(
                [sys.executable, "-c", STARTER, str(self.directory), str(now.timestamp())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=Path(__file__).parents[2],
                text=True,
            )
            self.addCleanup(process.kill)
            processes.append(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        seen = {process.communicate(timeout=60)[0] for process in processes}
        self.assertEqual([process.returncode for process in processes], [0] * 6)
        return seen

    def test_one_result(self) -> None:
        first = self.start_together(NOW)
        self.assertEqual(len(first), 1)
        renewed = self.start_together(NOW + timedelta(days=61))
        self.assertEqual(len(renewed), 1)
        self.assertNotEqual(first, renewed)

    def test_lock_of_a_stopped_process(self) -> None:
        """Nobody waits for ever."""
        self.patch(pem, "LOCK_TRIES", 2)
        with pem.locked(self.directory), self.assertRaises(ConfigurationFault) as caught:
            self.made()
        self.assertEqual(str(caught.exception), f"{self.directory}/.lock: another process has held the lock for 0 s")


class AcceptanceTests(CertificatesCase):
    """Real clients: OpenSSL by way of Python and of its own command, curl and a browser."""

    def handshake(self, trusted: Path, chain: Path, key: Path, name: str) -> str:
        """Empty, or why the client refused."""
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(chain, key)
        client_context = ssl.create_default_context(cafile=str(trusted))
        client_context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = server_context.wrap_bio(incoming, outgoing, server_side=True)
        client = client_context.wrap_bio(outgoing, incoming, server_hostname=name)
        for _ in range(3):
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLCertVerificationError as why:
                    return why.verify_message
        self.assertEqual(client.version(), "TLSv1.3")
        return ""

    def test_python(self) -> None:
        chain, key = self.made()
        for name in NAMES:
            self.assertEqual(self.handshake(self.directory / "ca.pem", chain, key, name), "")
        self.assertIn(
            "not valid for 'other.local'", self.handshake(self.directory / "ca.pem", chain, key, "other.local")
        )

    def forged(self, *names: x509.GeneralName) -> tuple[Path, Path]:
        """What a thief of ca.key could make."""
        _, key = self.made()
        authority = read(self.directory / "ca.pem")
        signing_key = serialization.load_pem_private_key((self.directory / "ca.key").read_bytes(), None)
        assert isinstance(signing_key, ec.EllipticCurvePrivateKey)
        genuine = read(self.directory / "server.pem")
        builder = x509.CertificateBuilder(
            authority.subject, genuine.subject, genuine.public_key(), 8, NOW - timedelta(1), NOW + timedelta(9)
        )
        for extension in genuine.extensions:
            if not isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, extension.critical)
        certificate = builder.add_extension(x509.SubjectAlternativeName(names), False).sign(
            signing_key, hashes.SHA256()
        )
        path = self.directory / "forged.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path, key

    def test_foreign_names_are_refused(self) -> None:
        """What ca.key signs for others is worth nothing, so ca.pem does little harm in a browser."""
        permitted = x509.DNSName("blog.local")
        self.assertEqual(self.handshake(self.directory / "ca.pem", *self.forged(permitted), "blog.local"), "")
        for name in ("bank.example", "localhost.example", "corp.example"):
            forged = self.forged(x509.DNSName(name))
            self.assertEqual(self.handshake(self.directory / "ca.pem", *forged, name), "permitted subtree violation")
        address = x509.IPAddress(ip_address("8.8.8.8"))
        refused = self.handshake(self.directory / "ca.pem", *self.forged(permitted, address), "8.8.8.8")
        self.assertEqual(refused, "permitted subtree violation")

    def test_openssl(self) -> None:
        openssl = require("openssl")
        chain, _ = self.made()
        command = [
            openssl,
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            str(self.directory / "ca.pem"),
        ]
        for path in (chain, self.directory / "server-names.pem"):
            accepted = subprocess.run([*command, str(path)], capture_output=True, text=True)
            self.assertEqual((accepted.returncode, accepted.stdout), (0, f"{path}: OK\n"))
        forged, _ = self.forged(x509.DNSName("bank.example"))
        refused = subprocess.run([*command, str(forged)], capture_output=True, text=True)
        self.assertIn("permitted subtree violation", refused.stderr)

    @contextlib.contextmanager
    def served(self, chain: Path, key: Path) -> Iterator[int]:
        """A server of one page, in a thread; the port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                while True:
                    try:
                        accepted, _ = listener.accept()
                    except OSError:
                        return  # the test is over
                    accepted.settimeout(20)
                    # a client that refuses the certificate, or opens a connection that it does not use
                    with accepted, contextlib.suppress(OSError), context.wrap_socket(accepted, server_side=True) as tls:
                        tls.recv(65536)
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            try:
                yield listener.getsockname()[1]
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(30)

    def test_curl(self) -> None:
        command = [require("curl"), "-sS4", "--noproxy", "*", "--max-time", "20"]
        with self.served(*self.made()) as port:
            command += ["--cacert", f"{self.directory}/ca.pem"]
            for host in ("127.0.0.1", "localhost"):
                finished = subprocess.run([*command, f"https://{host}:{port}/"], capture_output=True, text=True)
                self.assertEqual((finished.stdout, finished.stderr), ("hello", ""))

    def test_chromium(self) -> None:
        """A person puts ca.pem into the browser: our pages open, those of a thief of ca.key do not."""
        chromium, certutil = require("chromium"), require("certutil")
        genuine, key = self.made()
        home = self.directory.parent
        trusted = home / ".pki" / "nssdb"
        trusted.mkdir(parents=True)
        database = [certutil, "-d", f"sql:{trusted}"]
        subprocess.run([*database, "-N", "--empty-password"], check=True)
        subprocess.run([*database, "-A", "-t", "C,,", "-n", "ours", "-i", self.directory / "ca.pem"], check=True)
        # --no-sandbox: the tests may run as root
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--dump-dom"]
        command += [f"--user-data-dir={home / 'profile'}", "--host-resolver-rules=MAP bank.example 127.0.0.1"]

        def visit(chain: Path, host: str) -> tuple[bool, bool]:
            """Whether the page is shown, whether its certificate is called invalid."""
            with self.served(chain, key) as port:
                finished = subprocess.run(
                    [*command, f"https://{host}:{port}/"],
                    env={**os.environ, "HOME": str(home)},
                    capture_output=True,
                    text=True,
                    timeout=100,
                )
            return "hello" in finished.stdout, "ERR_CERT_INVALID" in finished.stdout + finished.stderr

        self.assertEqual(visit(genuine, "127.0.0.1"), (True, False))
        self.assertEqual(visit(genuine, "localhost"), (True, False))
        forged, _ = self.forged(x509.DNSName("bank.example"))
        self.assertEqual(visit(forged, "bank.example"), (False, True))
