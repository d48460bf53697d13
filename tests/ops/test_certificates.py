"""Tests of `scalekit.ops.certificates`."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import Config
from scalekit.config.model import TLS, Balancer, UpstreamTLS
from scalekit.errors import ConfigurationFault
from scalekit.ops.certificates import (
    RENEWAL_SECONDS,
    ServerCertificate,
    UpstreamTrust,
    add_certificate,
    tls_directory,
)
from tests.ops import daemons

NAMES = ["localhost", "127.0.0.1"]
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1).total_seconds()


class CertificatesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = NOW.timestamp()
        self.clock = Clock()
        self.config = Config(state_directory=self.mktemp())
        self.directory = tls_directory(self.config)

    def make(self, config: Config | None = None) -> ServerCertificate:
        made = ServerCertificate(config or self.config, NAMES, self.clock, lambda: self.now)
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

    def test_keys_of_tickets_are_renewed_for_every_kind_of_pair(self) -> None:
        """They are the context's."""
        for config in (self.config, self.pair()):
            tls = self.make(config).tls
            before = tls.context
            self.pass_time(RENEWAL_SECONDS)
            self.assertIsNot(tls.context, before)

    def test_a_renewal_that_fails_leaves_the_old_one_and_is_tried_again(self) -> None:
        config = self.pair()
        tls = self.make(config).tls
        before, key = tls.context, Path(config.tls.private_key)
        kept = key.read_bytes()
        key.write_text("nonsense")
        self.pass_time(RENEWAL_SECONDS)
        self.assertIs(tls.context, before)
        (failure,) = self.flushLoggedErrors(ConfigurationFault)
        self.assertIn(str(key), str(failure.value))
        key.write_bytes(kept)
        self.pass_time(RENEWAL_SECONDS)
        self.assertIsNot(tls.context, before)

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

    def test_a_configuration_that_cannot_be_used_leaves_everything(self) -> None:
        made = self.make()
        before = (made.tls.context, made.tls.certificate, made.tls.private_key)
        config = self.pair()
        Path(config.tls.certificate).unlink()
        fault = self.assertRaises(ConfigurationFault, made.reload, config)
        self.assertEqual(
            str(fault), f"{config.tls.certificate}: No such file or directory, expected a readable PEM file"
        )
        self.assertEqual((made.tls.context, made.tls.certificate, made.tls.private_key), before)
        self.pass_time(RENEWAL_SECONDS)  # by the old configuration, without a word
        self.assertEqual(made.tls.certificate, before[1])

    def test_nothing_is_left_behind(self) -> None:
        self.make().stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


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


class UpstreamTrustTests(CertificatesCase):
    def test_the_local_authority_once_it_is_there(self) -> None:
        trust = UpstreamTrust(self.config)
        self.make()
        self.assertEqual(trust().ca, self.directory / "ca.pem")
        self.assertIs(trust(), trust())

    def test_else_the_system(self) -> None:
        self.assertIsNone(UpstreamTrust(self.config)().ca)

    def test_what_is_configured(self) -> None:
        self.make()
        own = shutil.copy(self.directory / "ca.pem", self.mktemp())
        trust = UpstreamTrust(self.with_trust(ca=own, verify=False))
        self.assertEqual((str(trust().ca), trust().verify), (own, False))

    def test_read_again(self) -> None:
        self.make()
        trust = UpstreamTrust(self.config)
        before = trust()
        trust.reload(self.with_trust(verify=False))
        self.assertIsNot(trust(), before)
        self.assertFalse(trust().verify)

    def test_a_file_that_cannot_be_used_leaves_what_was_trusted(self) -> None:
        self.make()
        trust = UpstreamTrust(self.config)
        before = trust()
        self.assertRaises(ConfigurationFault, trust.reload, self.with_trust(ca="/does/not/exist.pem"))
        self.assertIs(trust(), before)

    def with_trust(self, **settings: Any) -> Config:
        balancer = Balancer(upstream_tls=UpstreamTLS(**settings))
        return Config(state_directory=self.config.state_directory, balancer=balancer)
