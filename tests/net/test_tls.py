"""Contexts: which files make one, what each fault says, what a context agrees to."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.net.contexts import HTTP, certified, client_context, read_credentials
from scalekit.net.tls import ClientTLS, ServerTLS
from tests.net.wire import AUTHORITY, CERTIFICATE


class Files(SynchronousTestCase):
    """A test with a certificate and its key in files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.certificate, self.key, self.ca = (self.folder / name for name in ("chain.pem", "key.pem", "ca.pem"))
        CERTIFICATE.cert_chain_pems[0].write_to_path(self.certificate)
        CERTIFICATE.private_key_pem.write_to_path(self.key)
        AUTHORITY.cert_pem.write_to_path(self.ca)

    def server_context(self, protocols: Sequence[str] = HTTP) -> SSL.Context:
        """Of these files."""
        return certified(read_credentials(self.certificate, self.key), protocols)


class FaultTests(Files):
    """Each names the file, what was found and what is expected."""

    def check(self, expected: str) -> None:
        fault = self.assertRaises(ConfigurationFault, self.server_context)
        self.assertEqual(str(fault), expected)

    def test_no_such_file(self) -> None:
        self.certificate.unlink()
        self.check(f"{self.certificate}: No such file or directory, expected a readable PEM file")

    def test_unreadable(self) -> None:
        self.key = self.certificate / "key.pem"
        self.check(f"{self.key}: Not a directory, expected a readable PEM file")

    def test_no_certificate(self) -> None:
        for wrong in (
            b"",
            b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
            self.key.read_bytes(),
        ):
            self.certificate.write_bytes(wrong)
            self.check(f"{self.certificate}: found no certificate, expected PEM (-----BEGIN CERTIFICATE-----)")

    def test_no_key(self) -> None:
        for wrong in (b"", self.certificate.read_bytes()):
            self.key.write_bytes(wrong)
            self.check(f"{self.key}: found no private key, expected PEM (-----BEGIN PRIVATE KEY-----)")

    def test_encrypted_key(self) -> None:
        key = load_pem_private_key(self.key.read_bytes(), None)
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
        self.check(f"{self.key}: the private key is encrypted, expected one without a password")

    def test_key_of_another_certificate(self) -> None:
        for other in (ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()):
            self.key.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            self.check(f"{self.key}: found another key, expected the private key of {self.certificate}")

    def test_authorities(self) -> None:
        self.ca.write_bytes(b"none")
        fault = self.assertRaises(ConfigurationFault, ClientTLS, self.ca)
        self.assertEqual(str(fault), f"{self.ca}: found no certificate, expected PEM (-----BEGIN CERTIFICATE-----)")


class ReloadTests(Files):
    def test_new_context(self) -> None:
        tls = ServerTLS(self.certificate, self.key)
        before = tls.context
        tls.reload()
        self.assertIsNot(tls.context, before)
        self.assertEqual(repr(tls), f"<ServerTLS {self.certificate} h2,http/1.1,http/1.0>")

    def test_the_old_one_stays_after_a_fault(self) -> None:
        tls = ServerTLS(self.certificate, self.key)
        before = tls.context
        self.key.write_bytes(b"")
        self.assertRaises(ConfigurationFault, tls.reload)
        self.assertIs(tls.context, before)


class AgreementTests(Files):
    """Handshakes in memory: with clients that want something else, and with ourselves."""

    def shake(self, client: SSL.Connection, protocols: Sequence[str] = ("http/1.1",)) -> SSL.Connection:
        server = SSL.Connection(self.server_context(protocols))
        server.set_accept_state()
        client.set_connect_state()
        for _ in range(4):
            for one, other in ((client, server), (server, client)):
                try:
                    one.do_handshake()
                except SSL.WantReadError:
                    pass
                try:
                    other.bio_write(one.bio_read(65_536))
                except SSL.WantReadError:
                    pass
        return server

    def client(self, set_up: str = "", value: object = None) -> SSL.Connection:
        """A client that is more liberal than ours, but for one thing."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if set_up:
            getattr(context, set_up)(value)
        return SSL.Connection(context)

    def test_tls_1_3(self) -> None:
        client = self.client()
        server = self.shake(client)
        self.assertEqual(server.get_protocol_version_name(), "TLSv1.3")
        self.assertEqual(server.get_alpn_proto_negotiated(), b"")

    def test_tls_1_2(self) -> None:
        client = self.client("set_max_proto_version", SSL.TLS1_2_VERSION)
        server = self.shake(client)
        self.assertEqual(server.get_protocol_version_name(), "TLSv1.2")
        self.assertIn("ECDHE", server.get_cipher_name() or "")

    def test_renegotiation(self) -> None:
        """It lets a client make the server pay for a handshake again and again."""
        client = self.client("set_max_proto_version", SSL.TLS1_2_VERSION)
        server = self.shake(client)
        client.renegotiate()
        for one, other in ((client, server), (server, client)):
            try:
                one.do_handshake()
            except SSL.WantReadError:
                pass
            other.bio_write(one.bio_read(65_536))
            self.assertRaises((SSL.WantReadError, SSL.Error), other.recv, 100)
        self.assertEqual(server.total_renegotiations(), 0)

    def test_tls_1_1(self) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.set_min_proto_version(SSL.TLS1_1_VERSION)
        context.set_max_proto_version(SSL.TLS1_1_VERSION)
        self.assertRaises(SSL.Error, self.shake, SSL.Connection(context))

    def test_without_ecdhe(self) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(b"DHE+AESGCM:kRSA+AESGCM:ECDHE+AES:-ECDHE+AESGCM")
        self.assertRaises(SSL.Error, self.shake, SSL.Connection(context))

    def test_groups(self) -> None:
        """Ours only, the first of ours if the client leaves it open."""
        server = self.shake(self.client())
        self.assertEqual((server.get_group_name() or "").upper(), "X25519")
        context = ssl.create_default_context()
        context.set_ecdh_curve("secp521r1")
        context.check_hostname = False
        AUTHORITY.configure_trust(context)
        ours = SSL.Connection(self.server_context())
        ours.set_accept_state()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        theirs = context.wrap_bio(incoming, outgoing)
        self.assertRaises(ssl.SSLWantReadError, theirs.do_handshake)
        ours.bio_write(outgoing.read())
        self.assertRaises(SSL.Error, ours.do_handshake)

    def test_alpn(self) -> None:
        for offered, wanted, agreed in (
            ([b"h2", b"http/1.1"], ["http/1.1"], b"http/1.1"),
            ([b"http/1.1", b"h2"], ["h2", "http/1.1"], b"h2"),
            ([b"h2"], [], b""),
        ):
            server = self.shake(self.client("set_alpn_protos", offered), wanted)
            self.assertEqual(server.get_alpn_proto_negotiated(), agreed)
        fault = self.assertRaises(SSL.Error, self.shake, self.client("set_alpn_protos", [b"smtp"]))
        self.assertIn("no application protocol in common", str(fault))

    def test_the_whole_chain_is_shown(self) -> None:
        issuer = trustme.CA(parent_cert=AUTHORITY)
        issued = issuer.issue_cert("localhost")
        self.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(self.key)
        client = SSL.Connection(client_context(self.ca))
        self.shake(client)
        self.assertEqual(len(client.get_peer_cert_chain(as_cryptography=True) or ()), 2)
        tls = ClientTLS(self.ca)
        self.assertEqual(tls.check_identity(client, "localhost"), "")
        for wrong in ("example.com", "127.0.0.1", "::1", "", "a" * 300):
            self.assertEqual(
                tls.check_identity(client, wrong), f"certificate verify failed: the certificate is not for {wrong}"
            )
        self.assertEqual(ClientTLS(self.ca, verify=False).check_identity(client, "example.com"), "")
        self.assertEqual(repr(tls), f"<ClientTLS {self.ca}>")

    def test_the_authorities_of_the_system_do_not_know_ours(self) -> None:
        client = SSL.Connection(client_context())
        self.assertRaises(SSL.Error, self.shake, client)
        self.assertEqual(repr(ClientTLS(verify=False)), "<ClientTLS the system authorities unverified>")
