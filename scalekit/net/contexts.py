"""
OpenSSL's contexts: what a handshake of ours agrees to.

TLS 1.2 and 1.3, ECDHE key exchange and AEAD ciphers only, X25519, P-256 and P-384, no renegotiation, no compression, no
early data.

A server's connection begins in a `session_context`, which holds the keys of session tickets and says what is demanded
of clients; its certificate comes from a `certified` one, which it is switched to (SSL_set_SSL_CTX(3)).  OpenSSL seals
and opens tickets with the keys of the first one whatever comes later: so certificates change and sessions do not end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509

from scalekit.errors import ConfigurationFault

#: What a listener speaks, for ALPN; ``curl --http1.0`` offers nothing but the latter, ab offers nothing at all.
HTTP_1 = ("http/1.1", "http/1.0")
#: The same with HTTP/2 (RFC 9113 section 3.2), which who offers it wants.
HTTP = ("h2", *HTTP_1)

#: How long a session may be resumed; RFC 8446 section 4.6.1 allows a week. Over TLS 1.2 whoever steals the key of a
#: ticket reads the traffic of the session: half a day is what a visitor of today needs.
SESSION_SECONDS = 12 * 3600

# Finite-field groups cost a server ten times the CPU of X25519: they are left out, not only put last.
_GROUPS = b"X25519:P-256:P-384"
# For TLS 1.2; the suites of TLS 1.3 are all of this kind.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
# SSL_CTX_set1_curves_list, SSL_CTX_set_timeout and SSL_get_verify_result are not in pyOpenSSL's own interface.
_lib = Binding.lib
_ffi = Binding.ffi


class ClientDemand(NamedTuple):
    """
    What is demanded of clients.

    :ivar authorities: who signs their certificates.
    :ivar is_required: whether a client without one is refused; one with a wrong one always is.
    """

    authorities: tuple[x509.Certificate, ...]
    is_required: bool = True


def session_context(protocols: Sequence[str] = HTTP, demand: ClientDemand | None = None) -> SSL.Context:
    """
    What connections begin in; it has keys of its own for session tickets, and no certificate.

    :param protocols: for ALPN, the most wanted first.
    """
    context = _context(SSL.TLS_SERVER_METHOD)
    # Tickets carry the sessions: a cache in memory would only grow. Resumption needs the context's name.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"scalekit")
    _lib.SSL_CTX_set_timeout(context._context, SESSION_SECONDS)
    if demand is not None:
        store = context.get_cert_store()
        assert store is not None
        for authority in demand.authorities:
            store.add_cert(X509.from_cryptography(authority))
            context.add_client_ca(authority)
        context.set_verify(SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if demand.is_required else 0))
    wanted = [protocol.encode("ascii") for protocol in protocols]
    if wanted:

        def select(connection: SSL.Connection, offered: list[bytes]) -> Any:
            for protocol in wanted:
                if protocol in offered:
                    return protocol
            # A fatal alert (RFC 7301 section 3.2): who asks for another protocol shall not be answered in this one.
            raise SSL.Error([("SSL routines", "", "no application protocol in common")])

        context.set_alpn_select_callback(select)
    return context


class Credentials(NamedTuple):
    """
    What a server shows and proves itself with; `certified` makes any number of contexts of it.

    :ivar certificate: the file of the chain, ``private_key`` that of the key: for messages.
    :ivar chain: the server's certificate, then those between it and the authority.
    """

    certificate: Path
    private_key: Path
    chain: tuple[x509.Certificate, ...]
    key: Any


def read_credentials(certificate: Path, private_key: Path, place: str = "") -> Credentials:
    """
    :param certificate: a PEM file, the server's certificate first, then those between it and the authority.
    :param private_key: a PEM file.
    :param place: the table that names them, for faults, such as ``tls.sni[0]``.
    :raises ConfigurationFault: a file cannot be read, is no PEM, or the key is not that of the certificate.
    """
    with concerning(place and f"{place}.certificate"):
        chain = read_chain(certificate)
    with concerning(place and f"{place}.private_key"):
        key = read_private_key(private_key)
        if chain[0].public_key() != key.public_key():
            raise ConfigurationFault(f"{private_key}: found another key, expected the private key of {certificate}")
    return Credentials(certificate, private_key, tuple(chain), key)


def certified(
    credentials: Credentials, protocols: Sequence[str] = HTTP, demand: ClientDemand | None = None
) -> SSL.Context:
    """
    A `session_context` with a certificate.

    :raises ConfigurationFault: OpenSSL does not want to serve with it.
    """
    certificate, private_key, chain, key = credentials
    context = session_context(protocols, demand)
    try:
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
    except (SSL.Error, ValueError, TypeError) as why:
        raise ConfigurationFault(
            f"{certificate}: {error_text(why)}, expected a certificate that OpenSSL accepts"
        ) from None
    try:
        context.use_privatekey(key)
        context.check_privatekey()
    except (SSL.Error, ValueError, TypeError) as why:
        raise ConfigurationFault(
            f"{private_key}: {error_text(why)}, expected the private key of {certificate}"
        ) from None
    return context


def client_context(ca: Path | None = None, verify: bool = True) -> SSL.Context:
    """
    A client's context.

    :raises ConfigurationFault: the file with the authorities cannot be read or is no PEM.
    """
    context = _context(SSL.TLS_CLIENT_METHOD)
    if verify:
        context.set_verify(SSL.VERIFY_PEER)
        if ca is None:
            context.set_default_verify_paths()
        else:
            store = context.get_cert_store()
            assert store is not None
            for authority in read_chain(ca):
                store.add_cert(X509.from_cryptography(authority))
    return context


def failure_reason(connection: SSL.Connection, why: Exception) -> tuple[str, str]:
    """
    Why a client's handshake has failed.

    :returns: ``tls-verify`` or ``tls-handshake``, and a sentence.
    """
    result = _lib.SSL_get_verify_result(connection._ssl)
    # There is a result as well where nobody insists on it.
    if result and connection.get_verify_mode() != SSL.VERIFY_NONE:  # X509_V_OK is 0
        text = _ffi.string(_lib.X509_verify_cert_error_string(result)).decode("ascii", "replace")
        return "tls-verify", f"certificate verify failed: {text}"
    return "tls-handshake", f"TLS handshake failed: {error_text(why)}"


def forget_errors() -> None:
    """
    Empty OpenSSL's queue of errors after a failure.

    The queue is the thread's: what is left in it would be taken for the next connection's failure (SSL_get_error(3)).
    """
    _lib.ERR_clear_error()


def _context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    # An idle connection would hold 32 KiB of buffers (nginx and Node set this too).
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if _lib.SSL_CTX_set1_curves_list(context._context, _GROUPS) != 1:
        forget_errors()
        raise RuntimeError("this OpenSSL does not know the groups X25519, P-256 and P-384")
    return context


@contextmanager
def concerning(key: str) -> Iterator[None]:
    """A `ConfigurationFault` raised here begins with this key of the configuration; empty: nobody has configured it."""
    try:
        yield
    except ConfigurationFault as fault:
        raise (ConfigurationFault(f"{key}: {fault}") if key else fault) from None


def read_chain(file: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file; raises `ConfigurationFault`."""
    try:
        return x509.load_pem_x509_certificates(_read(file))
    except ValueError:
        raise ConfigurationFault(f"{file}: found no certificate, expected PEM (-----BEGIN CERTIFICATE-----)") from None


def read_private_key(file: Path) -> Any:
    """The private key in a PEM file; raises `ConfigurationFault`."""
    try:
        return load_pem_private_key(_read(file), None)
    except TypeError:
        raise ConfigurationFault(f"{file}: the private key is encrypted, expected one without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationFault(f"{file}: found no private key, expected PEM (-----BEGIN PRIVATE KEY-----)") from None


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as why:
        raise ConfigurationFault(f"{file}: {why.strerror}, expected a readable PEM file") from None


def error_text(why: Exception) -> str:
    """One line of an OpenSSL error."""
    if isinstance(why, SSL.SysCallError):
        return "the connection was closed" if why.args[0] == -1 else str(why.args[1])
    if why.args and isinstance(why.args[0], list):
        return "; ".join(reason or function for _, function, reason in why.args[0]) or "unknown error"
    return str(why) or type(why).__name__
