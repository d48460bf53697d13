"""Tests of `scalekit.ops.certificates`."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import Config, ListenURL
from scalekit.config.model import SNI, TLS
from scalekit.errors import ConfigurationFault
from scalekit.net.names import names_in
from scalekit.ops.certificates import (
    RENEWAL_SECONDS,
    ROTATION_SECONDS,
    WATCH_SECONDS,
    CertificateMetrics,
    ServerCertificate,
    add_certificate,
    tls_directory,
)
from tests.net.test_tickets import Visitor
from tests.net.wire import AUTHORITY
from tests.ops import daemons

NAMES = ["localhost", "127.0.0.1"]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1).total_seconds()


def said(events: Any) -> str:
    """The lines of captured logs, each with its end."""
    return "".join(f"{formatEvent(event)}\n" for event in events)


class CertificatesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW.timestamp()
        self.clock = Clock()
        self.config = Config(state_directory=self.mktemp())
        self.directory = tls_directory(self.config)

    def make(self, config: Config | None = None, listen: Sequence[ListenURL] = ()) -> ServerCertificate:
        made = ServerCertificate(config or self.config, NAMES, self.clock, lambda: self.now, lambda config: listen)
        made.startService()
        self.addCleanup(lambda: made.running and made.stopService())
        return made

    def pair(self) -> Config:
        """A configuration with a pair of its own."""
        ServerCertificate(self.config, NAMES, self.clock, lambda: self.now)
        place = Path(self.mktemp())
        place.mkdir()
        for name in ("server.pem", "server.key"):
            shutil.copy(self.directory / name, place / name)
        tls = TLS(certificate=str(place / "server.pem"), private_key=str(place / "server.key"))
        return Config(state_directory=self.config.state_directory, tls=tls)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.clock.advance(seconds)

    def look(self) -> None:
        """Often enough that a change of files is seen."""
        for _ in range(2):
            self.pass_time(WATCH_SECONDS)

    def serial(self) -> int:
        return x509.load_pem_x509_certificate((self.directory / "server.pem").read_bytes()).serial_number


class ServerCertificateTests(CertificatesCase):
    def test_the_local_authority_signs_one(self) -> None:
        tls = self.make().tls
        self.assertEqual(tls.certificate, self.directory / "server.pem")
        self.assertTrue((self.directory / "ca.pem").exists())

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


class SeveralTests(CertificatesCase):
    """Certificates by server name, and by listener."""

    def issue(self, *names: str) -> tuple[str, str]:
        place = Path(self.mktemp()).absolute()
        place.mkdir()
        issued = AUTHORITY.issue_cert(*names)
        issued.cert_chain_pems[0].write_to_path(place / "a.pem")
        issued.private_key_pem.write_to_path(place / "a.key")
        return str(place / "a.pem"), str(place / "a.key")

    def entry(self, *names: str, listed: tuple[str, ...] = ()) -> SNI:
        certificate, private_key = self.issue(*names)
        return SNI(names=listed, certificate=certificate, private_key=private_key)

    def with_sni(self, *entries: SNI) -> Config:
        return Config(state_directory=self.config.state_directory, tls=TLS(sni=entries))

    def shown(self, tls: Any, server_name: str) -> list[str]:
        visitor = Visitor(check=False)
        visitor.visit(tls, server_name)
        return names_in(x509.load_der_x509_certificate(visitor.shown))

    def test_chosen_by_the_server_name(self) -> None:
        listed = ("*.shop.example", "shop.example")
        made = self.make(self.with_sni(self.entry("one.example"), self.entry("other", listed=listed)))
        for name, expected in (
            ("one.example", "one.example"),
            ("ONE.example", "one.example"),
            ("a.shop.example", "other"),
            ("a.b.shop.example", "localhost"),
            ("unknown.example", "localhost"),
        ):
            self.assertEqual((name, self.shown(made.tls, name)[0]), (name, expected))

    def test_doubts_are_told_once(self) -> None:
        config = self.with_sni(self.entry("one.example"), self.entry("one.example"))
        ca = Path(self.mktemp()).absolute()
        AUTHORITY.cert_pem.write_to_path(ca)
        with capturedLogs() as events:
            made = self.make(config, [ListenURL("https", "127.0.0.1", 1, client_ca=str(ca))])
            made.reload(config)
        self.assertEqual(said(events).count("is not served for one.example"), 1)

    def test_one_that_no_name_chooses_any_more(self) -> None:
        """It is not served; what was, stays."""
        entry = self.entry("one.example")
        made = self.make(self.with_sni(entry))
        issued = AUTHORITY.issue_cert(common_name="one.example")
        issued.cert_chain_pems[0].write_to_path(entry.certificate)
        issued.private_key_pem.write_to_path(entry.private_key)
        with capturedLogs() as events:
            self.look()
        self.assertIn("the old certificate stays: tls.sni[0].names: found none", said(events))
        self.assertEqual(self.shown(made.tls, "one.example"), ["one.example"])

    def test_another_configuration(self) -> None:
        made = self.make(self.with_sni(self.entry("one.example")))
        made.reload(self.with_sni(self.entry("two.example")))
        self.assertEqual(self.shown(made.tls, "one.example")[0], "localhost")
        self.assertEqual(self.shown(made.tls, "two.example")[0], "two.example")

    def test_one_that_cannot_be_used_keeps_no_other_from_being_renewed(self) -> None:
        broken, good = self.entry("one.example"), self.entry("two.example")
        made = self.make(self.with_sni(broken, good))
        Path(broken.certificate).write_text("nonsense")
        certificate, key = self.issue("two.example", "new.example")
        shutil.copy(certificate, good.certificate)
        shutil.copy(key, good.private_key)
        self.look()
        self.assertEqual(self.shown(made.tls, "one.example"), ["one.example"])
        self.assertEqual(self.shown(made.tls, "two.example"), ["two.example", "new.example"])

    def test_a_damaged_local_pair_keeps_no_other_from_being_renewed(self) -> None:
        """It is told of once, and again at SIGHUP."""
        for damaged in ("server.key", "ca.pem"):
            entry = self.entry("two.example")
            made = self.make(self.with_sni(entry))
            file = self.directory / damaged
            kept = file.read_bytes()
            file.write_text("nonsense")
            with capturedLogs() as events:
                for _ in range(5):
                    self.look()
            self.assertEqual(said(events).count("the old certificate stays"), 1, damaged)
            self.assertIn(f"{file}: is damaged", said(events))
            certificate, key = self.issue("two.example", "new.example")
            shutil.copy(certificate, entry.certificate)
            shutil.copy(key, entry.private_key)
            self.look()
            self.assertEqual(self.shown(made.tls, "two.example"), ["two.example", "new.example"])
            self.assertEqual(self.shown(made.tls, "localhost")[0], "localhost")
            self.assertIn(damaged, str(self.assertRaises(ConfigurationFault, made.reload, made._config)))
            file.write_bytes(kept)
            before = made.tls.context
            self.look()
            self.assertIsNot(made.tls.context, before)
            made.stopService()

    def test_a_damaged_local_certificate_is_made_anew(self) -> None:
        made = self.make()
        (self.directory / "server.pem").write_text("nonsense")
        with capturedLogs() as events:
            self.look()
        self.assertNotIn("stays", said(events))
        self.assertIn("server.pem has changed: serving a certificate for localhost", said(events))
        self.assertEqual(self.shown(made.tls, "localhost")[0], "localhost")

    def test_a_listener_with_its_own(self) -> None:
        certificate, private_key = self.issue("own.example")
        own = ListenURL("https", "127.0.0.1", 1, certificate=certificate, private_key=private_key)
        plain = ListenURL("https", "127.0.0.1", 2)
        made = self.make(self.config, [own, plain])
        self.assertEqual(self.shown(made.tls.of(own), "localhost"), ["own.example"])
        self.assertIs(made.tls.of(plain), made.tls)
        self.assertEqual(self.shown(made.tls, "localhost")[0], "localhost")

    def test_no_local_authority_where_nobody_needs_it(self) -> None:
        certificate, private_key = self.issue("own.example")
        self.make(self.config, [ListenURL("https", "127.0.0.1", 1, certificate=certificate, private_key=private_key)])
        self.assertFalse(self.directory.exists())

    def test_client_certificates(self) -> None:
        ca = Path(self.mktemp()).absolute()
        AUTHORITY.cert_pem.write_to_path(ca)
        required = ListenURL("https", "127.0.0.1", 1, client_ca=str(ca), client_certificates="required")
        optional = ListenURL("https", "127.0.0.1", 2, client_ca=str(ca), client_certificates="optional")
        made = self.make(self.config, [required, optional])
        whole = Path(self.mktemp())
        AUTHORITY.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(whole)
        foreign = Path(self.mktemp())
        trustme.CA().issue_cert("client").private_key_and_cert_chain_pem.write_to_path(foreign)
        for listener, file, is_let_in in (
            (required, whole, True),
            (required, None, False),
            (required, foreign, False),
            (optional, whole, True),
            (optional, None, True),
            (optional, foreign, False),
        ):
            chain = {"certfile": file} if file else {}
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                visitor = Visitor(version, check=False, **chain)
                try:
                    visitor.visit(made.tls.of(listener))
                    found = True
                except (ssl.SSLError, SSL.Error):
                    found = False
                self.assertEqual(
                    (listener.client_certificates, file, found), (listener.client_certificates, file, is_let_in)
                )

    def test_another_authority_of_clients(self) -> None:
        """That file is looked at too; one that cannot be read leaves who was trusted."""
        ca = Path(self.mktemp()).absolute()
        AUTHORITY.cert_pem.write_to_path(ca)
        listener = ListenURL("https", "127.0.0.1", 1, client_ca=str(ca), client_certificates="required")
        made = self.make(self.config, [listener])
        whole = Path(self.mktemp())
        AUTHORITY.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(whole)
        ca.write_text("nonsense")
        self.look()
        Visitor(check=False, certfile=whole).visit(made.tls.of(listener))
        trustme.CA().cert_pem.write_to_path(ca)
        self.look()
        self.assertRaises((ssl.SSLError, SSL.Error), Visitor(check=False, certfile=whole).visit, made.tls.of(listener))

    def test_an_authority_that_is_no_longer_trusted_and_a_pair_that_cannot_be_read(self) -> None:
        """At the same look: the old certificate stays, but not with the old authority."""
        ca = Path(self.mktemp()).absolute()
        AUTHORITY.cert_pem.write_to_path(ca)
        listener = ListenURL("https", "127.0.0.1", 1, client_ca=str(ca), client_certificates="required")
        entry = self.entry("shop.example")
        made = self.make(self.with_sni(entry), [listener])
        tls = made.tls.of(listener)
        revoked, trusted = Path(self.mktemp()), Path(self.mktemp())
        AUTHORITY.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(revoked)
        Visitor(check=False, certfile=revoked).visit(tls, "shop.example")
        other = trustme.CA()
        other.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(trusted)
        other.cert_pem.write_to_path(ca)
        Path(entry.certificate).write_text("nonsense")
        self.look()
        for name in ("shop.example", "localhost"):
            visitor = Visitor(check=False, certfile=trusted)
            visitor.visit(tls, name)
            self.assertIn(name, names_in(x509.load_der_x509_certificate(visitor.shown)))
            self.assertRaises((ssl.SSLError, SSL.Error), Visitor(check=False, certfile=revoked).visit, tls, name)


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
