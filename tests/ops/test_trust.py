"""Tests of `scalekit.ops.trust`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import trustme
from twisted.logger import capturedLogs

from scalekit.config import Config
from scalekit.config.model import Balancer, UpstreamTLS
from scalekit.errors import ConfigurationFault
from scalekit.ops.trust import UpstreamTrust
from tests.ops.certificates import CertificatesCase, said


class TrustCase(CertificatesCase):
    def with_trust(self, **settings: Any) -> Config:
        balancer = Balancer(upstream_tls=UpstreamTLS(**settings))
        return Config(state_directory=self.config.state_directory, balancer=balancer)

    def trust(self, **settings: Any) -> UpstreamTrust:
        trust = UpstreamTrust(self.with_trust(**settings) if settings else self.config, self.clock)
        trust.startService()
        self.addCleanup(trust.stopService)
        return trust


class UpstreamTrustTests(TrustCase):
    def test_the_local_authority_once_it_is_there(self) -> None:
        trust = self.trust()
        self.make()
        self.assertEqual(trust().ca, self.directory / "ca.pem")
        self.assertIs(trust(), trust())

    def test_else_the_system(self) -> None:
        self.assertIsNone(self.trust()().ca)

    def test_what_is_configured(self) -> None:
        self.make()
        own = shutil.copy(self.directory / "ca.pem", self.mktemp())
        trust = self.trust(ca=own, verify=False)
        self.assertEqual((str(trust().ca), trust().verify), (own, False))

    def test_what_is_offered(self) -> None:
        self.assertEqual(self.trust()().protocols, ("h2", "http/1.1"))
        self.assertEqual(self.trust(http2=False)().protocols, ("http/1.1",))

    def test_read_again(self) -> None:
        self.make()
        trust = self.trust()
        before = trust()
        trust.reload(self.with_trust(verify=False))
        self.assertIsNot(trust(), before)
        self.assertFalse(trust().verify)

    def test_a_file_that_cannot_be_used_leaves_what_was_trusted(self) -> None:
        self.make()
        trust = self.trust()
        before = trust()
        for attempt in (trust.check, trust.reload):
            self.assertRaises(ConfigurationFault, attempt, self.with_trust(ca="/does/not/exist.pem"))
            self.assertIs(trust(), before)
        trust.check(self.with_trust(verify=False))
        self.assertIs(trust(), before)


class WatchTests(TrustCase):
    def test_another_file(self) -> None:
        file = Path(self.mktemp())
        trustme.CA().cert_pem.write_to_path(file)
        trust = self.trust(ca=str(file))
        self.look()
        before = trust()
        self.look()
        self.assertIs(trust(), before)
        trustme.CA().cert_pem.write_to_path(file)
        self.look()
        self.assertIsNot(trust(), before)

    def test_one_that_cannot_be_used(self) -> None:
        file = Path(self.mktemp())
        trustme.CA().cert_pem.write_to_path(file)
        trust = self.trust(ca=str(file))
        before = trust()
        file.write_text("nonsense")
        with capturedLogs() as events:
            self.look()
            self.look()
        self.assertIs(trust(), before)
        self.assertEqual(said(events).count("what was trusted stays"), 1)

    def test_the_local_authority_comes_into_being(self) -> None:
        trust = self.trust()
        self.assertIsNone(trust().ca)
        self.make()
        self.look()
        self.assertEqual(trust().ca, self.directory / "ca.pem")
