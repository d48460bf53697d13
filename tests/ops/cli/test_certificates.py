"""``scalekit cert``."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import threading
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from scalekit.net.certificates import ensure_server_certificate
from tests.net.wire import AUTHORITY, CERTIFICATE
from tests.ops.cli.commands import NAMES, NOW, CommandCase


class ShowTests(CommandCase):
    def test_nothing_yet(self) -> None:
        self.assertIn(f"{self.tls}/server.pem: not found", self.refused("cert", "show"))
        self.assertFalse(self.tls.exists())

    def test_what_the_daemons_serve(self) -> None:
        ensure_server_certificate(self.tls, NAMES, NOW)
        done = self.run_command("cert", "show")
        file, names, issuer, end, fingerprint, *by_name = done.stdout.splitlines()
        self.assertEqual((done.status, file), (0, f"{self.tls}/server.pem"))
        self.assertEqual(names.split(maxsplit=1), ["names", "localhost, web1, 127.0.0.1"])
        self.assertTrue(issuer.startswith("  issuer    CN=scalekit local CA "))
        self.assertEqual(end, "  not after 2027-02-20 23:00 UTC, 89 days left")
        self.assertEqual(len(fingerprint.split()[1]), 95)
        self.assertEqual(by_name[:2], [f"{self.tls}/server-names.pem", "  names     localhost, web1"])

    def test_what_has_expired(self) -> None:
        ensure_server_certificate(self.tls, NAMES, NOW)
        self.now += timedelta(days=91)
        self.assertIn("UTC, expired", self.run_command("cert", "show").stdout)

    def test_what_is_configured(self) -> None:
        for name in ("a", "b"):
            AUTHORITY.issue_cert(f"{name}.example").cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")
        pair = 'certificate = "{0}.pem"\nprivate_key = "{0}.key"\n'
        file = self.configured(f"[tls]\n{pair.format('a')}[[tls.sni]]\n{pair.format('b')}")
        lines = self.run_command("cert", "show", "--config", file).stdout.splitlines()
        self.assertEqual(lines[::5], [f"{self.folder}/a.pem", f"{self.folder}/b.pem"])
        self.assertEqual([line.split()[1] for line in lines[1::5]], ["a.example", "b.example"])


class ShowElsewhereTests(CommandCase):
    def serve(self) -> int:
        """A server that shakes hands once; its port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        CERTIFICATE.configure_cert(context)
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(20)

        def shake() -> None:
            sock, _ = listening.accept()
            with context.wrap_socket(sock, server_side=True) as secure:
                secure.recv(1)

        thread = threading.Thread(target=shake)
        thread.start()
        self.addCleanup(listening.close)
        self.addCleanup(thread.join, 20)
        port: int = listening.getsockname()[1]
        return port

    def test_a_server(self) -> None:
        for place in ("127.0.0.1:{}", "https://localhost:{}/path"):
            done = self.run_command("cert", "show", place.format(self.serve()), "--server-name", "localhost")
            self.assertEqual((done.status, done.stderr), (0, ""))
            self.assertIn("localhost, 127.0.0.1, ::1", done.stdout)

    def test_nobody_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.assertEqual(self.refused("cert", "show", f"127.0.0.1:{port}"), f"127.0.0.1:{port}: Connection refused")
        for wrong in ("a b", "localhost:abc"):
            self.assertEqual(self.refused("cert", "show", wrong), f"found {wrong}, expected HOST:PORT")


class IssueTests(CommandCase):
    def test_for_another_machine(self) -> None:
        done = self.run_command("cert", "issue", "app.internal", "10.0.0.5", "--out", str(self.folder / "out"))
        self.assertEqual((done.status, done.stderr), (0, ""))
        file, key = self.folder / "out" / "app.internal.pem", self.folder / "out" / "app.internal.key"
        self.assertIn("app.internal, 10.0.0.5", done.stdout)
        self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        authority = x509.load_pem_x509_certificate((self.tls / "ca.pem").read_bytes())
        certificate.verify_directly_issued_by(authority)
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(usage), [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file, key)
        self.assertEqual(sorted(os.listdir(self.folder / "out")), ["app.internal.key", "app.internal.pem"])

    def test_nothing_is_overwritten(self) -> None:
        arguments = ("cert", "issue", "app.internal", "-o", str(self.folder))
        self.assertEqual(self.run_command(*arguments).status, 0)
        before = (self.folder / "app.internal.key").read_bytes()
        self.assertIn("app.internal.pem: is there already", self.refused(*arguments))
        self.assertEqual((self.folder / "app.internal.key").read_bytes(), before)

    def test_what_the_authority_may_not_sign(self) -> None:
        for name in ("shop.example", "8.8.8.8", "*.example"):
            why = self.refused("cert", "issue", "app.internal", name, "--out", str(self.folder))
            self.assertIn(f"its name constraints do not permit {name}", why)
        self.assertIn("ca.pem: found 'my host', expected a name such as", self.refused("cert", "issue", "my host"))
        self.assertEqual(list(self.folder.glob("*.pem")), [])

    def test_a_wildcard(self) -> None:
        done = self.run_command("cert", "issue", "*.team.internal", "-o", str(self.folder))
        self.assertIn("names     *.team.internal\n", done.stdout)
        self.assertEqual([file.name for file in self.folder.glob("*.pem")], ["_.team.internal.pem"])

    def test_names(self) -> None:
        """One that is written in two ways is one; more than travel in a handshake are refused, not left out."""
        done = self.run_command("cert", "issue", "App.test", "app.test.", "-o", str(self.folder))
        self.assertIn("names     app.test\n", done.stdout)
        many = [f"10.0.0.{number}" for number in range(65)]
        self.assertEqual(self.refused("cert", "issue", *many), "found 65 names, expected 64 at most in one certificate")

    def test_the_authority_is_for_this_machine_too(self) -> None:
        """Whichever comes first, a command or a daemon."""
        self.assertEqual(self.run_command("cert", "issue", "app.internal", "-o", str(self.folder)).status, 0)
        chain, _ = ensure_server_certificate(self.tls, NAMES, NOW)
        self.assertIn("127.0.0.1", self.run_command("cert", "show").stdout)
        self.assertTrue(chain.exists())


class RenewTests(CommandCase):
    def serial(self) -> int:
        return x509.load_pem_x509_certificate((self.tls / "server.pem").read_bytes()).serial_number

    def test_now(self) -> None:
        self.assertEqual(self.run_command("cert", "renew").status, 0)
        before, key = self.serial(), (self.tls / "server.key").read_bytes()
        self.now += timedelta(days=1)
        self.assertIn("2027-02-21", self.run_command("cert", "renew").stdout)
        self.assertNotEqual(self.serial(), before)
        self.assertEqual((self.tls / "server.key").read_bytes(), key)

    def test_one_that_others_issue(self) -> None:
        file = self.configured('[tls]\ncertificate = "a.pem"\nprivate_key = "a.key"\n')
        self.assertIn(
            "a.pem, expected it empty, as others issue that one", self.refused("cert", "renew", "--config", file)
        )


class AuthorityTests(CommandCase):
    def test_to_the_standard_output(self) -> None:
        done = self.run_command("cert", "ca")
        self.assertEqual(done, (0, (self.tls / "ca.pem").read_text(), ""))

    def test_to_a_file(self) -> None:
        out = self.folder / "team.pem"
        self.assertEqual(self.run_command("cert", "ca", "--out", str(out)), (0, "", ""))
        self.assertEqual(out.read_bytes(), (self.tls / "ca.pem").read_bytes())
        self.assertIn("Not a directory", self.refused("cert", "ca", "--out", str(out / "x")))

    def test_a_damaged_one(self) -> None:
        self.tls.mkdir(parents=True)
        Path(self.tls, "ca.pem").write_text("nonsense")
        self.assertIn("ca.pem: is damaged, expected a certificate in PEM", self.refused("cert", "ca"))
