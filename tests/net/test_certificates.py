"""What the local authority signs, that it signs nothing else, and what is said of files that are wrong."""

import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scalekit.errors import ConfigurationFault
from scalekit.net import certificates
from scalekit.net.certificates import ensure_local_ca
from scalekit.net.constraints import MOST_NAMES
from tests.net.local_ca import NAMES, NOW, CertificatesCase, names_of, read


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
        self.assertEqual([name for name in before if before[name] != after[name]], ["server-names.pem", "server.pem"])
        self.assertEqual(
            read(self.directory / "server.pem").not_valid_after_utc - NOW.replace(microsecond=0),
            timedelta(days=150, hours=-1),
        )

    def test_renewed_for_a_name(self) -> None:
        self.made(["localhost"])
        self.made(["localhost", "10.0.0.9"])
        self.assertEqual(names_of(self.directory / "server.pem"), ["localhost", "10.0.0.9"])

    def test_one_without_addresses(self) -> None:
        """For clients that come by a name; by the same key, and there as long as there are names."""
        certificate, key = self.made()
        by_name = certificate.with_name("server-names.pem")
        self.assertEqual(names_of(by_name), ["localhost", "web1", "web1.corp.example"])
        for path in (certificate, by_name):
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key)
        before = self.contents()
        by_name.unlink()
        self.made()
        self.assertEqual(names_of(by_name), ["localhost", "web1", "web1.corp.example"])
        by_name.write_bytes(b"damaged")
        self.made()
        self.assertEqual(names_of(by_name), ["localhost", "web1", "web1.corp.example"])
        self.made(["10.0.0.9", "127.0.0.1"])
        self.assertFalse(by_name.exists())
        self.assertEqual(self.contents()["server.key"], before["server.key"])

    def test_what_was_made_before_there_was_one(self) -> None:
        """It is made, or where the authority's key is kept elsewhere all is as it was."""
        certificate, _ = self.made()
        by_name = certificate.with_name("server-names.pem")
        by_name.unlink()
        (self.directory / "ca.key").rename(self.directory / "elsewhere")
        self.made()
        self.assertFalse(by_name.exists())
        (self.directory / "elsewhere").rename(self.directory / "ca.key")
        self.made()
        self.assertTrue(by_name.exists())

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
