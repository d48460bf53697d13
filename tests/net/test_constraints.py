"""What an authority may sign."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.certificates import ensure_local_ca
from scalekit.net.constraints import permitted_names, signable_names
from tests.net.wire import AUTHORITY

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class ConstraintTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = ensure_local_ca(Path(self.mktemp()), NOW, ["localhost", "web1", "192.0.2.2", "10.0.0.9", "::1"])
        self.local = x509.load_pem_x509_certificate(path.read_bytes())
        self.free = x509.load_pem_x509_certificate(AUTHORITY.cert_pem.bytes())

    def signable(self, *names: str, authority: x509.Certificate | None = None) -> list[object]:
        return [name.value for name in signable_names(authority or self.local, list(names))]

    def test_names(self) -> None:
        self.assertEqual(
            self.signable("app.internal", "web1", "a.web1", "dev", "shop.example", "x_y.local", "a b", ""),
            ["app.internal", "web1", "a.web1", "x_y.local"],
        )

    def test_addresses(self) -> None:
        self.assertEqual(
            self.signable("10.1.2.3", "8.8.8.8", "::1", "2001:db8::1", "fe80::1%eth0"),
            [ipaddress.ip_address(text) for text in ("10.1.2.3", "::1", "fe80::1")],
        )

    def test_none_twice(self) -> None:
        self.assertEqual(self.signable("a.test", "A.test."), ["a.test"])

    def test_an_authority_without_constraints(self) -> None:
        self.assertEqual(self.signable("shop.example", authority=self.free), ["shop.example"])
        self.assertEqual(permitted_names(self.free), [])

    def test_an_address_of_this_machine_is_not_permitted_as_a_name(self) -> None:
        self.assertEqual([name for name in permitted_names(self.local) if name[0].isdigit()], [])
        self.assertIn("web1", permitted_names(self.local))
