"""Several certificates in one daemon: by server name, and by listener."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from OpenSSL import SSL
from twisted.logger import capturedLogs

from scalekit.config import Config, ListenURL
from scalekit.config.model import SNI, TLS
from scalekit.errors import ConfigurationFault
from scalekit.net.names import names_in
from tests.net.test_tickets import Visitor
from tests.net.wire import AUTHORITY
from tests.ops.certificates import CertificatesCase, said


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

    def test_who_comes_by_a_name_is_shown_one_without_addresses(self) -> None:
        """What is configured for that name goes before it; and nobody may ask for less."""
        made = self.make()
        self.assertEqual(self.shown(made.tls, "localhost"), ["localhost"])
        for name in ("127.0.0.1", "unknown.example"):
            self.assertEqual(self.shown(made.tls, name), ["localhost", "127.0.0.1"])
        self.assertFalse(made.tls.is_name_decisive)
        self.assertEqual((made.tls.doubts(), len(list(made.tls.endings()))), ([], 2))  # the CA's is the other
        for listed in ("localhost", "*.localhost"):
            made = self.make(self.with_sni(self.entry("one", listed=(listed,))))
            name = listed.replace("*", "app")
            visitor = Visitor(check=False)
            visitor.visit(made.tls, name)
            self.assertEqual(names_in(x509.load_der_x509_certificate(visitor.shown)), ["one"])
        self.assertEqual(self.shown(made.tls, "localhost"), ["localhost"])
        self.assertTrue(made.tls.is_name_decisive)
        visitor = Visitor(check=False)
        visitor.visit(made.tls, "localhost")
        self.assertIn(b"127.0.0.1:2000", made.tls.covered(visitor.connection) or ())

    def test_a_wildcard_that_is_configured_goes_before_it(self) -> None:
        self.names = ["web1.corp.internal", "10.0.0.9"]
        made = self.make(self.with_sni(self.entry("one", listed=("*.corp.internal",))))
        self.assertEqual(self.shown(made.tls, "web1.corp.internal"), ["one"])

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
