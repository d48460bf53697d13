"""What an authority may sign."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.certificates import ensure_local_ca
from scalekit.net.constraints import _is_excluded, refusal, signable_names
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

    def test_wildcards(self) -> None:
        self.assertEqual(
            self.signable(
                "*.internal", "*.web1", "*.app.internal", "*.shop.example", "*.", "*", "a.*.internal", "**.x"
            ),
            ["*.internal", "*.web1", "*.app.internal"],
        )
        self.assertEqual(self.signable("*.shop.example", authority=self.free), ["*.shop.example"])

    def test_a_wildcard_stands_for_what_is_excluded(self) -> None:
        excluded = [x509.DNSName("secret.internal"), x509.DNSName("b.c.test")]
        self.assertTrue(_is_excluded(x509.DNSName("*.internal"), excluded))
        self.assertTrue(_is_excluded(x509.DNSName("*.secret.internal"), excluded))
        self.assertFalse(_is_excluded(x509.DNSName("*.other.internal"), excluded))

    def test_reasons(self) -> None:
        for name, reason in (
            ("app.internal", ""),
            ("my host", "found 'my host', expected a name such as app.internal or *.internal, or an address"),
            ("8.8.8.8", "its name constraints do not permit 8.8.8.8, expected an address in one of 127.0.0.0/8, 10."),
            ("*.example", "its name constraints do not permit *.example, expected a name below one of localhost, lo"),
        ):
            self.assertTrue(refusal(self.local, name).startswith(reason), refusal(self.local, name))
            self.assertEqual(bool(refusal(self.local, name)), bool(reason))
        self.assertNotIn("constraints", refusal(self.free, "my host"))

    def test_none_twice(self) -> None:
        self.assertEqual(self.signable("a.test", "A.test."), ["a.test"])

    def test_an_authority_without_constraints(self) -> None:
        self.assertEqual(self.signable("shop.example", authority=self.free), ["shop.example"])

    def test_an_address_of_this_machine_is_not_permitted_as_a_name(self) -> None:
        names = refusal(self.local, "shop.example").partition("one of ")[2].split(", ")
        self.assertEqual([name for name in names if name[0].isdigit()], [])
        self.assertIn("web1", names)
