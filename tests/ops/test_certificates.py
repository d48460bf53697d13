"""Tests of `scalekit.ops.certificates`."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from twisted.logger import capturedLogs

from scalekit.config import Config, ListenURL
from scalekit.config.model import TLS, Logs
from scalekit.errors import ConfigurationFault
from scalekit.ops.certificates import (
    RENEWAL_SECONDS,
    ROTATION_SECONDS,
    WATCH_SECONDS,
    CertificateMetrics,
    ServerCertificate,
    add_certificate,
    check_certificates,
    listeners_of,
)
from tests.net.test_tickets import Visitor
from tests.net.wire import AUTHORITY
from tests.ops import daemons
from tests.ops.certificates import DAY, NAMES, NOW, CertificatesCase, said


class ServerCertificateTests(CertificatesCase):
    def test_the_local_authority_signs_one(self) -> None:
        tls = self.make().tls
        self.assertEqual(tls.certificate, self.directory / "server.pem")
        self.assertTrue((self.directory / "ca.pem").exists())

    def test_listeners_for_syslog_have_them_too(self) -> None:
        """Of ``tls``; what is wrong with one's files is said with its place."""
        url = ListenURL("tls", "127.0.0.1", 6514, client_ca="/nowhere/ca.pem", client_certificates="required")
        config = Config(logs=Logs(listen=(), syslog=(ListenURL("tcp", "127.0.0.1", 5514), url)))
        self.assertIn(url, listeners_of(config))
        fault = self.assertRaises(ConfigurationFault, check_certificates, config, [url])
        self.assertTrue(str(fault).startswith("logs.syslog[1].client_ca: /nowhere/ca.pem: "), fault)

    def test_it_is_renewed_when_two_thirds_have_passed(self) -> None:
        tls = self.make().tls
        before = self.serial()
        for _ in range(4):
            self.pass_time(RENEWAL_SECONDS)
        self.assertEqual(self.serial(), before)
        self.now += 60 * DAY
        self.pass_time(RENEWAL_SECONDS)
        self.assertNotEqual(self.serial(), before)
        self.assertEqual(tls.certificate, self.directory / "server.pem")

    def test_keys_of_tickets_are_rotated_for_every_kind_of_pair(self) -> None:
        for config in (self.config, self.pair()):
            tls = self.make(config).tls
            visitor, late = Visitor(ca=self.directory / "ca.pem"), Visitor(ca=self.directory / "ca.pem")
            visitor.visit(tls)
            late.visit(tls)
            self.pass_time(ROTATION_SECONDS)
            self.assertTrue(visitor.visit(tls))
            self.pass_time(ROTATION_SECONDS)
            self.assertFalse(late.visit(tls))

    def test_a_renewal_that_fails_leaves_the_old_one_and_is_tried_again(self) -> None:
        config = self.pair()
        tls = self.make(config).tls
        before, key = tls.context, Path(config.tls.private_key)
        kept = key.read_bytes()
        key.write_text("nonsense")
        with capturedLogs() as events:
            self.pass_time(RENEWAL_SECONDS)
        self.assertIs(tls.context, before)
        self.assertIn(f"the old certificate stays: tls.private_key: {key}: found no private key", said(events))
        key.write_bytes(kept)
        self.pass_time(RENEWAL_SECONDS)
        self.assertIsNot(tls.context, before)

    def test_what_nobody_expects_does_not_end_the_renewals(self) -> None:
        made = self.make(self.pair())
        before = made.tls.context
        self.patch(made, "_terms", lambda config: 1 / 0)
        self.pass_time(RENEWAL_SECONDS)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        del made._terms
        self.pass_time(RENEWAL_SECONDS)
        self.assertIsNot(made.tls.context, before)

    def test_a_pair_of_one_s_own_is_used_as_it_is(self) -> None:
        config = self.pair()
        shutil.rmtree(self.directory)
        self.assertEqual(str(self.make(config).tls.certificate), config.tls.certificate)
        self.assertFalse(self.directory.exists())

    def test_another_configuration(self) -> None:
        made = self.make()
        config = self.pair()
        context = made.tls.context
        made.reload(config)
        self.assertEqual((str(made.tls.certificate), made.tls.context is context), (config.tls.certificate, False))

    def test_of_a_configuration_is_used_what_can_be_used(self) -> None:
        """And the rest as soon as it can be."""
        made = self.make()
        before = (made.tls.context, made.tls.certificate)
        config = self.pair()
        file = Path(config.tls.certificate)
        kept = file.read_bytes()
        file.unlink()
        fault = self.assertRaises(ConfigurationFault, made.reload, config)
        self.assertEqual(
            str(fault), f"tls.certificate: {file}: No such file or directory, expected a readable PEM file"
        )
        self.assertEqual((made.tls.context, made.tls.certificate), before)
        file.write_bytes(kept)
        self.look()
        self.assertEqual(made.tls.certificate, file)

    def test_nothing_is_left_behind(self) -> None:
        self.make().stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WatchTests(CertificatesCase):
    """Files that change are read without being asked to."""

    def setUp(self) -> None:
        super().setUp()
        self.config = self.pair()
        self.file, self.key = Path(self.config.tls.certificate), Path(self.config.tls.private_key)
        self.made = self.make()
        self.before = self.made.tls.context

    def renewed(self) -> tuple[bytes, bytes]:
        issued = AUTHORITY.issue_cert("renewed.example")
        return issued.cert_chain_pems[0].bytes(), issued.private_key_pem.bytes()

    def test_a_new_pair(self) -> None:
        certificate, key = self.renewed()
        self.file.write_bytes(certificate)
        self.key.write_bytes(key)
        with capturedLogs() as events:
            self.look()
        self.assertIsNot(self.made.tls.context, self.before)
        self.assertIn(f"{self.file} has changed: serving a certificate for renewed.example until", said(events))
        now = self.made.tls.context
        self.look()
        self.assertIs(self.made.tls.context, now)

    def test_halves(self) -> None:
        """Between the two files of a pair there is nothing to read, nor to complain of."""
        certificate, key = self.renewed()
        self.file.write_bytes(certificate)
        with capturedLogs() as events:
            self.pass_time(WATCH_SECONDS)
            self.key.write_bytes(key)
            self.pass_time(WATCH_SECONDS)
            self.assertIs(self.made.tls.context, self.before)
            self.pass_time(WATCH_SECONDS)
        self.assertIsNot(self.made.tls.context, self.before)
        self.assertNotIn("stays", said(events))

    def test_what_cannot_be_used_is_told_once(self) -> None:
        self.file.write_bytes(self.renewed()[0])
        with capturedLogs() as events:
            for _ in range(5):
                self.look()
        self.assertIs(self.made.tls.context, self.before)
        self.assertEqual(said(events).count("the old certificate stays"), 1)

    def test_behind_links(self) -> None:
        """As Kubernetes does it: a link to a folder, which is replaced by another link."""
        place = Path(self.mktemp()).absolute()
        pair = self.pair()
        (place / "1").mkdir(parents=True)
        for name, file in (("a.pem", pair.tls.certificate), ("a.key", pair.tls.private_key)):
            shutil.copy(file, place / "1" / name)
        (place / "now").symlink_to("1")
        tls = TLS(certificate=str(place / "now" / "a.pem"), private_key=str(place / "now" / "a.key"))
        made = self.make(Config(state_directory=self.config.state_directory, tls=tls))
        before = made.tls.context
        (place / "2").mkdir()
        certificate, key = self.renewed()
        (place / "2" / "a.pem").write_bytes(certificate)
        (place / "2" / "a.key").write_bytes(key)
        (place / "next").symlink_to("2")
        (place / "next").rename(place / "now")
        self.look()
        self.assertIsNot(made.tls.context, before)


class ExpiryTests(CertificatesCase):
    def test_it_is_warned_of_once_a_day(self) -> None:
        config = self.pair()
        self.make(config)  # of 90 days
        with capturedLogs() as events:
            for _ in range(75):
                self.pass_time(DAY)
            self.assertEqual(said(events), "")
            for _ in range(2):
                self.pass_time(DAY)
            line = f"{config.tls.certificate} expires on 2027-02-20\n"
            self.assertEqual(said(events), line * 2)
            for _ in range(13):
                self.pass_time(DAY)
        self.assertTrue(said(events).endswith("has expired on 2027-02-20\n"))

    def authorities(self, *days: int) -> Path:
        """A file with authorities of the same name that end in so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "partners")])
        file = Path(self.mktemp()).absolute()
        with file.open("wb") as out:
            for day in days:
                builder = x509.CertificateBuilder(name, name, key.public_key(), day, NOW, NOW + timedelta(days=day))
                builder = builder.add_extension(x509.BasicConstraints(True, None), True)
                out.write(builder.sign(key, SHA256()).public_bytes(Encoding.PEM))
        return file

    def test_authorities_too(self) -> None:
        file = self.authorities(20, 500)
        listeners = [ListenURL("https", "127.0.0.1", port, client_ca=str(file)) for port in (1, 2)]
        made = self.make(self.config, listeners)
        with capturedLogs() as events:
            for _ in range(7):
                self.pass_time(DAY)
        self.assertEqual(said(events), f"CN=partners in {file} expires on 2026-12-13\n")
        [family] = CertificateMetrics(made.tls).collect()
        values = {sample.labels["file"]: (sample.labels["name"], sample.value) for sample in family.samples}
        self.assertEqual(len(family.samples), 3)
        self.assertEqual(values[str(file)], ("CN=partners", (NOW + timedelta(days=20)).timestamp()))
        local = x509.load_pem_x509_certificate((self.directory / "ca.pem").read_bytes())
        expected = (local.subject.rfc4514_string(), local.not_valid_after_utc.timestamp())
        self.assertEqual(values[str(self.directory / "ca.pem")], expected)
        made.reload(self.pair())
        self.assertNotIn("/ca.pem", str(list(CertificateMetrics(made.tls).collect())))

    def test_a_replacement_is_warned_of_at_once(self) -> None:
        """And not at every look: of what stays as it is the next day tells."""
        file = self.authorities(500)
        made = self.make(self.config, [ListenURL("https", "127.0.0.1", 1, client_ca=str(file))])
        shutil.copy(self.authorities(3), file)
        with capturedLogs() as events:
            self.look()
            self.look()
            made.reload(self.config)
        self.assertEqual(said(events), f"CN=partners in {file} expires on 2026-11-26\n")

    def test_metric(self) -> None:
        tls = self.make().tls
        [family] = CertificateMetrics(tls).collect()
        sample, _ = family.samples
        self.assertEqual(sample.name, "scalekit_certificate_expiry_timestamp_seconds")
        self.assertEqual(sample.labels, {"name": "localhost", "file": str(self.directory / "server.pem")})
        certificate = x509.load_pem_x509_certificate((self.directory / "server.pem").read_bytes())
        self.assertEqual(sample.value, certificate.not_valid_after_utc.timestamp())


class AddCertificateTests(CertificatesCase):
    def add(self, *arguments: str) -> tuple[Any, Any]:
        options = daemons.options(self.config.state_directory, *arguments)
        daemon = daemons.daemon(options, self.clock)
        return daemon, add_certificate(daemon, options, NAMES, self.clock, lambda: self.now)

    def test_for_https(self) -> None:
        daemon, tls = self.add("--listen", "http://127.0.0.1:0", "--listen", "https://127.0.0.1:0")
        before = tls.context
        self.assertEqual([type(service) for service in daemon], [ServerCertificate])
        daemon.reload()
        self.assertIsNot(tls.context, before)

    def test_not_for_what_is_in_clear(self) -> None:
        daemon, tls = self.add("--listen", "http://127.0.0.1:0", "--listen", "unix:///run/x.sock")
        self.assertEqual((tls, list(daemon)), (None, []))
        self.assertFalse(self.directory.exists())
