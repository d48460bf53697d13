"""
Clients accept what the local authority signs; it signs nothing else, and any number of processes may start at once.
"""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.net import certificates, pem
from scalekit.net.certificates import ensure_local_ca, ensure_server_certificate
from scalekit.net.constraints import MOST_NAMES
from tests.requirements import require

# Clients look at the real clock, so the tests that meet one do as well.
NOW = datetime.now(UTC)
NAMES = ["localhost", "127.0.0.1", "::1", "web1", "web1.corp.example", "192.168.7.3", "fd00::7"]


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_of(path: Path) -> list[str]:
    extension = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


class CertificatesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute() / "tls"

    def made(self, names: list[str] = NAMES, now: datetime = NOW) -> tuple[Path, Path]:
        return ensure_server_certificate(self.directory, names, now)

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.iterdir()}


class AuthorityTests(CertificatesCase):
    def test_made_once(self) -> None:
        path = ensure_local_ca(self.directory, NOW)
        before = self.contents()
        self.assertEqual(path, self.directory / "ca.pem")
        self.assertEqual(ensure_local_ca(self.directory, NOW + timedelta(days=3000)), path)
        self.assertEqual(self.contents(), before)
        self.assertEqual(sorted(before), [".lock", "ca.key", "ca.pem"])

    def test_what_it_is(self) -> None:
        certificate = read(ensure_local_ca(self.directory, NOW, ["web1"]))
        self.assertIsInstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        self.assertEqual((certificate.not_valid_after_utc - NOW).days, 3651)
        self.assertEqual(
            certificate.extensions.get_extension_for_class(x509.BasicConstraints).value,
            x509.BasicConstraints(ca=True, path_length=0),
        )
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
        self.assertTrue(constraints.critical)
        permitted = [str(tree.value) for tree in constraints.value.permitted_subtrees or ()]
        self.assertLessEqual({"localhost", "local", "web1", "127.0.0.0/8", "::1/128", "10.0.0.0/8"}, set(permitted))

    def test_modes(self) -> None:
        self.made()
        modes = {path.name: f"{path.stat().st_mode & 0o777:o}" for path in self.directory.glob("*.*")}
        self.assertEqual(
            {name: modes[name] for name in ("ca.key", "server.key", "ca.pem")},
            {"ca.key": "600", "server.key": "600", "ca.pem": "644"},
        )
        self.assertEqual(f"{self.directory.stat().st_mode & 0o777:o}", "700")

    def test_name_that_may_be_a_top_level_domain(self) -> None:
        """A host called "dev" must not get its owner a key to every site below .dev."""
        certificate = read(ensure_local_ca(self.directory, NOW, ["dev", "xn--p1ai", "dev.local", "shop.example"]))
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        permitted = [tree.value for tree in constraints.permitted_subtrees or () if isinstance(tree, x509.DNSName)]
        self.assertEqual(permitted, [*certificates.PERMITTED_NAMES, "shop.example"])

    def test_last_months(self) -> None:
        """It is made anew by its own key and name, for the same names; what the server has is signed anew as well."""
        self.made()
        before, later = self.contents(), NOW + timedelta(days=3600)
        self.made(now=later)
        after = self.contents()
        self.assertEqual(after["ca.key"], before["ca.key"])
        former, latter = (x509.load_pem_x509_certificate(one["ca.pem"]) for one in (before, after))
        self.assertEqual(former.subject, latter.subject)
        self.assertGreater(latter.not_valid_after_utc, later + timedelta(days=3600))
        self.assertEqual(
            former.extensions.get_extension_for_class(x509.NameConstraints),
            latter.extensions.get_extension_for_class(x509.NameConstraints),
        )
        read(self.directory / "server.pem").verify_directly_issued_by(latter)

    def test_clock_that_is_behind(self) -> None:
        """A machine that starts in 1970 keeps the authority that browsers trust."""
        self.made()
        before = self.contents()
        ensure_local_ca(self.directory, datetime(1970, 1, 2, tzinfo=UTC))
        self.assertEqual(self.contents(), before)


class ServerCertificateTests(CertificatesCase):
    def test_made_once(self) -> None:
        paths = self.made()
        before = self.contents()
        self.assertEqual(paths, (self.directory / "server.pem", self.directory / "server.key"))
        self.assertEqual(self.made(now=NOW + timedelta(days=59)), paths)
        self.made(NAMES[:2])
        self.assertEqual(self.contents(), before)

    def test_names(self) -> None:
        self.assertEqual(names_of(self.made()[0]), NAMES)

    def test_names_that_may_not_be_signed(self) -> None:
        """With one of them in it, clients would refuse the whole certificate."""
        strange = ["8.8.8.8", "2001:4860::8888", "dev", "not a name", "", "fe80::1%eth0", "WEB2.Local.", "localhost"]
        self.assertEqual(names_of(self.made([*strange])[0]), ["fe80::1", "web2.local", "localhost"])

    def test_renewed_at_two_thirds(self) -> None:
        self.made()
        before = self.contents()
        self.made(now=NOW + timedelta(days=60))
        after = self.contents()
        self.assertEqual([name for name in before if before[name] != after[name]], ["server.pem"])
        self.assertEqual(
            read(self.directory / "server.pem").not_valid_after_utc - NOW.replace(microsecond=0),
            timedelta(days=150, hours=-1),
        )

    def test_renewed_for_a_name(self) -> None:
        self.made(["localhost"])
        self.made(["localhost", "10.0.0.9"])
        self.assertEqual(names_of(self.directory / "server.pem"), ["localhost", "10.0.0.9"])

    def test_renewed_for_an_authority(self) -> None:
        self.made()
        for name in ("ca.pem", "ca.key"):
            (self.directory / name).unlink()
        self.made()
        read(self.directory / "server.pem").verify_directly_issued_by(read(self.directory / "ca.pem"))

    def test_renewed_for_a_key(self) -> None:
        """Also what is left by a process that died after it had written the key."""
        _, key = self.made()
        key.unlink()
        certificate, _ = self.made()
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)

    def test_few_names(self) -> None:
        """Thousands of addresses would travel in every handshake; the first are the most important."""
        many = ["localhost", *(f"10.0.{high}.{low}" for high in range(20) for low in range(100))]
        self.assertEqual(names_of(self.made(many)[0]), many[:MOST_NAMES])
        before = self.contents()
        self.made(many)
        self.assertEqual(self.contents(), before)

    def test_no_authority_key_needed_to_serve(self) -> None:
        """A team may keep ca.key elsewhere."""
        self.made()
        (self.directory / "ca.key").unlink()
        self.made()
        self.assertEqual(ensure_local_ca(self.directory, NOW), self.directory / "ca.pem")
        with self.assertRaises(ConfigurationFault) as caught:
            self.made(now=NOW + timedelta(days=70))
        self.assertEqual(
            str(caught.exception),
            f"{self.directory}/ca.key: not found, expected the private key of ca.pem, or ca.pem removed as well",
        )

    def test_authority_of_a_team(self) -> None:
        """Used as it is: without constraints it may sign anything, and it is never made anew."""
        self.directory.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP384R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Example Org CA")])
        authority = (
            x509.CertificateBuilder(name, name, key.public_key(), 7, NOW - timedelta(1), NOW + timedelta(30))
            .add_extension(x509.BasicConstraints(True, None), True)
            .sign(key, hashes.SHA384())
        )
        (self.directory / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        pem, pkcs8, plain = (
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (self.directory / "ca.key").write_bytes(key.private_bytes(pem, pkcs8, plain))
        certificate, _ = self.made(["shop.example", "8.8.8.8", "dev"])
        self.assertEqual(names_of(certificate), ["shop.example", "8.8.8.8", "dev"])
        self.assertEqual(read(certificate).not_valid_after_utc, authority.not_valid_after_utc)
        with self.assertRaises(ConfigurationFault) as caught:
            self.made(now=NOW + timedelta(days=31))
        self.assertIn(f"{self.directory}/ca.pem: expired ", str(caught.exception))


class FaultTests(CertificatesCase):
    def fault(self, now: datetime = NOW) -> str:
        with self.assertRaises(ConfigurationFault) as caught:
            self.made(now=now)
        return str(caught.exception).replace(str(self.directory), "DIR")

    def test_damaged(self) -> None:
        later = NOW + timedelta(days=61)
        expected = {
            "ca.pem": "DIR/ca.pem: is damaged, expected a certificate in PEM",
            "ca.key": "DIR/ca.key: is damaged, expected a private key in PEM without a password",
            "server.key": "DIR/server.key: is damaged, expected a private key in PEM without a password",
        }
        for name, message in expected.items():
            self.made()
            path = self.directory / name
            whole = path.read_bytes()
            for damaged in (b"", whole[: len(whole) // 2], b"\0" * 100, whole.replace(b"M", b"!")):
                path.write_bytes(damaged)
                self.assertEqual(self.fault(later), message)
            path.write_bytes(whole)

    def test_damaged_certificate_of_the_server(self) -> None:
        """It can be signed again."""
        self.made()
        path = self.directory / "server.pem"
        whole = path.read_bytes()
        for damaged in (b"", whole[: len(whole) // 2]):
            path.write_bytes(damaged)
            self.made()
            self.assertEqual(x509.load_pem_x509_certificate(path.read_bytes()).not_valid_before_utc.year, NOW.year)
        path.unlink()
        path.mkdir()
        self.assertEqual(self.fault(), "DIR/server.pem: cannot be read: Is a directory")

    def test_unreadable(self) -> None:
        self.made()
        (self.directory / "server.key").unlink()
        (self.directory / "server.key").mkdir()
        self.assertEqual(self.fault(), "DIR/server.key: cannot be read: Is a directory")

    def test_no_directory(self) -> None:
        self.directory.parent.mkdir()
        self.directory.write_bytes(b"")
        self.assertEqual(self.fault(), "DIR/ca.pem: cannot be read: Not a directory")

    def test_unwritable(self) -> None:
        self.directory.mkdir(parents=True)
        (self.directory / ".ca.key.new").mkdir()
        self.assertEqual(self.fault(), "DIR/ca.key: cannot be written: Is a directory")

    def test_no_authority(self) -> None:
        self.made()
        (self.directory / "ca.pem").write_bytes((self.directory / "server.pem").read_bytes())
        self.assertEqual(
            self.fault(), "DIR/ca.pem: found a certificate that may not sign others, expected that of a CA"
        )

    def test_another_key(self) -> None:
        self.made()
        (self.directory / "ca.key").write_bytes((self.directory / "server.key").read_bytes())
        self.assertEqual(
            self.fault(NOW + timedelta(days=61)),
            "DIR/ca.key: found another key, expected the private key of ca.pem",
        )

    def test_nothing_to_sign(self) -> None:
        with self.assertRaises(ConfigurationFault) as caught:
            self.made(["8.8.8.8", "dev"])
        self.assertEqual(
            str(caught.exception), f"{self.directory}/ca.pem: its name constraints permit none of 8.8.8.8, dev"
        )


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
        accepted = subprocess.run([*command, str(chain)], capture_output=True, text=True)
        self.assertEqual((accepted.returncode, accepted.stdout), (0, f"{chain}: OK\n"))
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
