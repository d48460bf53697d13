"""
The local authority and the certificate it signs for this machine.

A daemon without a certificate of its own makes one: no step to forget, and clients check it from the first day.  In
the directory are then

* ``ca.pem``: what clients trust, and what people may put into their browser; ten years, then made anew by the same key;
* ``ca.key``: mode 0600, made once; ``server.key``: the same;
* ``server.pem``: the certificate of all daemons of this machine; 90 days, made anew when two thirds have passed, when
  it is damaged, lacks one of the names or was not signed by ``ca.pem``.  It is the whole chain, as the authority signs
  it directly;
* ``server-names.pem``: the same for the same key, without the addresses, for clients that come by a name.  BoringSSL
  (gRPC, Envoy) knows no constraints of addresses and refuses, as RFC 5280 section 4.2.1.10 has it, each certificate
  that holds an address if its authority's constraints, permitted or excluded, critical or not, name addresses at all.
  An authority without them could pretend to be any address, so these clients come by a name.  OpenSSL, NSS, Go and
  Chromium take both.

Keys stay when certificates change.  So one rename replaces all that belongs together, and neither a crash nor another
process that reads at the same moment finds halves that do not match.  To have new keys, remove them.

Whoever steals ``ca.key`` can pretend only to be what the authority is constrained to (RFC 5280 section 4.2.1.10): names
and addresses that lead to this machine or stay within a private network, see `PERMITTED_NAMES`, `PERMITTED_NETWORKS`.
An authority that a team puts here itself (``ca.pem``, ``ca.key``) is used as it is, and never made anew.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scalekit.errors import ConfigurationFault
from scalekit.net.addresses import canonical_name
from scalekit.net.constraints import MOST_NAMES, refusal, signable_names
from scalekit.net.pem import Damaged, Key, locked, made_key, new_key, private_pem, read_certificate, read_key, write

CA, CA_KEY, SERVER, SERVER_KEY = "ca.pem", "ca.key", "server.pem", "server.key"
#: What is shown to who comes by a name; not there if the authority may sign no name of this machine.
SERVER_NAMES = "server-names.pem"

#: localhost (RFC 6761), home.arpa (RFC 8375), internal (ICANN, 2024) and test never lead into the public DNS; local is
#: multicast DNS (RFC 6762), whose appendix G lists what private networks use besides.  A name stands for all below it.
PERMITTED_NAMES = (
    *("localhost", "local", "internal", "home.arpa", "test"),
    *("intranet", "private", "corp", "home", "lan"),
)
#: Loopback, private (RFC 1918, RFC 4193), shared (RFC 6598, as overlay networks use it) and link-local addresses.
PERMITTED_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        (
            *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
            *("::1/128", "fc00::/7", "fe80::/10"),
        ),
    )
)

CA_LIFETIME = timedelta(days=3652)
SERVER_LIFETIME = timedelta(days=90)
# Certificates begin in the past, as clients with a clock that is a little slow want to use them at once.
BACKDATED = timedelta(hours=1)
_OURS = "scalekit local CA "


def ensure_local_ca(directory: Path, now: datetime, names: Iterable[str] = ()) -> Path:
    """
    The path of the local authority's certificate, made if there is none.  Many processes may call this at once.

    :param now: aware.
    :param names: what this machine is called; a new authority may sign for these as well.
    :raises ConfigurationFault: a file is damaged, unreadable or cannot be written.
    """
    if _standing_authority(directory, now) is None:
        with locked(directory):
            if _standing_authority(directory, now) is None:
                _make_authority(directory, list(names), now)
    return directory / CA


def ensure_server_certificate(directory: Path, names: Iterable[str], now: datetime) -> tuple[Path, Path]:
    """
    The paths of the chain and of the key that the daemons of this machine serve with, made (anew) if need be.

    To be called again while a daemon runs, at least once a week: at two thirds of 90 days a month is left.

    :param names: DNS names and addresses, the most important first.  Left out is what the authority may not sign:
        public addresses, and a bare host name of letters only, as to permit ``dev`` is to permit all of ``*.dev``.
    :param now: aware.
    :raises ConfigurationFault: a file is damaged, unreadable or cannot be written.
    """
    wanted = list(names)
    if not _is_served(directory, wanted, now):
        with locked(directory):
            authority = _standing_authority(directory, now) or _make_authority(directory, wanted, now)
            if not _is_served(directory, wanted, now):
                _make_server_certificate(directory, authority, wanted, now)
    return directory / SERVER, directory / SERVER_KEY


def renew_server_certificate(directory: Path, names: Iterable[str], now: datetime) -> Path:
    """
    Make the certificate of this machine's daemons anew, whether or not it is time; its key stays.  Daemons that run
    find it by themselves.

    :return: the path of the chain.
    :raises ConfigurationFault: as `ensure_server_certificate`.
    """
    wanted = list(names)
    with locked(directory):
        authority = _standing_authority(directory, now) or _make_authority(directory, wanted, now)
        _make_server_certificate(directory, authority, wanted, now)
    return directory / SERVER


def issue_certificate(directory: Path, names: Iterable[str], now: datetime) -> tuple[bytes, bytes]:
    """
    A certificate for another machine, as a server and as a client, and a key for it; neither is kept here.

    :param names: DNS names, ``*.example`` too, and addresses, the most important first.
    :return: both in PEM.
    :raises ConfigurationFault: the authority may not sign one of the names, or cannot be used.
    """
    wanted = list(names)
    with locked(directory):
        authority = _standing_authority(directory, now)
        if authority is None:
            raise ConfigurationFault(f"{directory / CA}: not found, or soon over, expected the local CA")
        signing_key = _signing_key(directory, authority)
    for name in wanted:
        why = refusal(authority, name)
        if why:
            raise ConfigurationFault(f"{directory / CA}: {why}")
    if len(wanted) > MOST_NAMES:
        raise ConfigurationFault(f"found {len(wanted)} names, expected {MOST_NAMES} at most in one certificate")
    signable = signable_names(authority, wanted)
    key = new_key()
    usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    certificate = _signed(directory, authority, signing_key, key, signable, wanted[0][:64], now, usages)
    return certificate.public_bytes(serialization.Encoding.PEM), private_pem(key)


def _standing_authority(directory: Path, now: datetime) -> x509.Certificate | None:
    """The authority to sign with; None if one has to be made."""
    path = directory / CA
    certificate = read_certificate(path)
    if certificate is None:
        return None
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_authority = False
    if not is_authority:
        raise ConfigurationFault(f"{path}: found a certificate that may not sign others, expected that of a CA")
    if not _is_ours(certificate):
        if certificate.not_valid_after_utc <= now:
            raise ConfigurationFault(f"{path}: expired {certificate.not_valid_after_utc:%Y-%m-%d}, expected a valid CA")
        return certificate
    # A clock that is behind must not cost a team the authority that its browsers trust: not_valid_before is not asked.
    return certificate if now + SERVER_LIFETIME < certificate.not_valid_after_utc else None


def _make_authority(directory: Path, names: list[str], now: datetime) -> x509.Certificate:
    """A new certificate for the key that there is, or for a new one."""
    former = read_certificate(directory / CA)
    if former is None:
        key = made_key(directory / CA_KEY)
        permitted = list(dict.fromkeys([*PERMITTED_NAMES, *filter(_is_own_name, map(canonical_name, names))]))
        short = sha256(_public_bytes(key)).hexdigest()[:8]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{_OURS}{short}")])
        constraints = x509.NameConstraints(
            [*map(x509.DNSName, permitted), *map(x509.IPAddress, PERMITTED_NETWORKS)], excluded_subtrees=None
        )
    else:
        # Who trusted the former one has agreed to its name and to what it may sign.
        key = _signing_key(directory, former)
        subject = former.subject
        constraints = former.extensions.get_extension_for_class(x509.NameConstraints).value
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # signs certificates and CRLs
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now - BACKDATED + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        # Not for mail or programs; clients' certificates are another use of TLS.
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(constraints, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write(directory / CA, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return certificate


def _is_served(directory: Path, names: list[str], now: datetime) -> bool:
    """Whether the server's certificate and key are there, belong together and need not be made anew."""
    authority = _standing_authority(directory, now)
    key = read_key(directory / SERVER_KEY)
    if authority is None or key is None:
        return False
    (server, all_of_them), (by_name, named) = _wanted(authority, names)
    if not _is_good(directory / server, authority, key, all_of_them, now):
        return False
    if not named:
        return not (directory / by_name).exists()
    # Where ca.key is kept elsewhere what there was from the beginning has to do.
    return _is_good(directory / by_name, authority, key, named, now) or not (directory / CA_KEY).exists()


def _wanted(authority: x509.Certificate, names: list[str]) -> list[tuple[str, list[x509.GeneralName]]]:
    """The files of the server's certificates, and what each is for; nothing: it is not there."""
    signable = signable_names(authority, names)
    return [(SERVER, signable), (SERVER_NAMES, [name for name in signable if isinstance(name, x509.DNSName)])]


def _is_good(file: Path, authority: x509.Certificate, key: Key, wanted: list[x509.GeneralName], now: datetime) -> bool:
    """Whether one of them need not be made anew."""
    try:
        certificate = read_certificate(file)
    except Damaged:
        return False  # nothing is lost with it that the authority cannot sign again
    if certificate is None:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
        covered = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (
        certificate.public_key() == key.public_key()
        and begin <= now < begin + (end - begin) * 2 / 3
        and set(wanted) <= set(covered)
    )


def _make_server_certificate(directory: Path, authority: x509.Certificate, names: list[str], now: datetime) -> None:
    signing_key = _signing_key(directory, authority)
    key = made_key(directory / SERVER_KEY)
    for file, wanted in _wanted(authority, names):
        if wanted:
            certificate = _signed(directory, authority, signing_key, key, wanted, "scalekit server", now)
            write(directory / file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        elif file == SERVER_NAMES:
            (directory / file).unlink(missing_ok=True)
        else:
            raise ConfigurationFault(f"{directory / CA}: its name constraints permit none of {', '.join(names)}")


def _signed(
    directory: Path,
    authority: x509.Certificate,
    signing_key: Key,
    key: Key,
    names: list[x509.GeneralName],
    common_name: str,
    now: datetime,
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
) -> x509.Certificate:
    begin = max(now - BACKDATED, authority.not_valid_before_utc)
    end = min(now - BACKDATED + SERVER_LIFETIME, authority.not_valid_after_utc)
    if begin >= end:
        raise ConfigurationFault(f"{directory / CA}: valid from {begin:%Y-%m-%d}, expected a CA that is valid now")
    return (
        x509.CertificateBuilder()
        # Clients look at the alternative names only (RFC 9525 section 2); this one is for people.
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(True, False, False, False, False, False, False, False, False), critical=True
        )  # signs handshakes
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )


def _is_own_name(name: str) -> bool:
    """Whether a constraint may be made of this host name: no address, no top-level domain (letters, or xn--)."""
    if name.replace(".", "").isdigit():
        return False
    if "." in name:
        return not any(name.endswith(f".{one}") for one in PERMITTED_NAMES)
    return name != "" and not name.isalpha() and not name.startswith("xn--")


def _is_ours(authority: x509.Certificate) -> bool:
    return any(
        str(attribute.value).startswith(_OURS)
        for attribute in authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    )


def _signing_key(directory: Path, authority: x509.Certificate) -> Key:
    """
    :raises ConfigurationFault: it is not there, or is another's; a new one would end the trust in ``ca.pem``.
    """
    path = directory / CA_KEY
    key = read_key(path)
    if key is None:
        raise ConfigurationFault(f"{path}: not found, expected the private key of {CA}, or {CA} removed as well")
    if key.public_key() != authority.public_key():
        raise ConfigurationFault(f"{path}: found another key, expected the private key of {CA}")
    return key


def _public_bytes(key: Key) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
