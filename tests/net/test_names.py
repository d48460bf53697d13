"""Which name a certificate covers, and which entry a server name finds."""

from __future__ import annotations

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.names import ByName, CertificateNames, hostname, names_in
from tests.net.wire import CERTIFICATE

LABEL = st.text("abcxyz019-", min_size=1, max_size=6)


class CoverTests(SynchronousTestCase):
    def test_names(self) -> None:
        names = CertificateNames(["Shop.example", "*.shop.example", "192.0.2.1", "2001:DB8::1"])
        for host in (
            b"shop.example",
            b"SHOP.example.:2000",
            b"a.shop.example:443",
            b"192.0.2.1:2000",
            b"[2001:db8:0::1]:2000",
            b"[2001:db8::1]",
        ):
            self.assertIn(host, names)
        for host in (b"example", b"a.b.shop.example", b".", b"", b"shop.example.evil", b"192.0.2.2", b"[::1]", b"\xff"):
            self.assertNotIn(host, names)
        self.assertEqual(names.first, "shop.example")
        self.assertEqual(sorted(names), ["*.shop.example", "192.0.2.1", "2001:db8::1", "shop.example"])
        self.assertIn("*.shop.example", repr(names))

    def test_of_a_certificate(self) -> None:
        certificate = x509.load_pem_x509_certificate(CERTIFICATE.cert_chain_pems[0].bytes())
        self.assertEqual(names_in(certificate), ["localhost", "127.0.0.1", "::1"])

    @given(st.lists(LABEL, min_size=1, max_size=4))
    def test_a_wildcard_is_one_label(self, labels: list[str]) -> None:
        name = ".".join([*labels, "example"]).encode()
        self.assertEqual(name in CertificateNames(["*.example"]), len(labels) == 1)

    @given(st.binary(max_size=40))
    def test_any_bytes(self, authority: bytes) -> None:
        self.assertIs(authority in CertificateNames(["*.example", "::1"]), False)
        hostname(authority.decode("latin-1"))


class ByNameTests(SynchronousTestCase):
    def test_the_exact_name_first(self) -> None:
        table = ByName({"*.Example": 1, "shop.example": 2})
        found = {
            name: table.get(name) for name in ("shop.example", "SHOP.EXAMPLE.", "a.example", "a.b.example", "", "*")
        }
        self.assertEqual(
            found, {"shop.example": 2, "SHOP.EXAMPLE.": 2, "a.example": 1, "a.b.example": None, "": None, "*": None}
        )
        self.assertTrue(table)
        self.assertFalse(ByName({}))
