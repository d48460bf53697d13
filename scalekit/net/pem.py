"""
Keys and certificates in files that several processes share: read without a lock, written under one, each whole.
"""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from scalekit.errors import ConfigurationFault

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# Making an authority and a certificate takes milliseconds; who holds the lock for this long has been stopped.
LOCK_TRIES, LOCK_PAUSE_SECONDS = 200, 0.05


class Damaged(ConfigurationFault):
    """A file can be read, and is no certificate."""


SECRET_BYTES = 32  # as many as SHA-256 has, beyond which an HMAC's key gains nothing


def made_key(path: Path) -> Key:
    """The key in this file, which is made if there is none."""
    key = read_key(path)
    if key is None:
        key = new_key()
        write(path, private_pem(key), 0o600)
    return key


def made_secret(path: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """The 32 random bytes in this file, which is made if there is none."""
    secret = _read(path)
    if secret is None:
        secret = random_bytes(SECRET_BYTES)
        write(path, secret, 0o600)
    if len(secret) != SECRET_BYTES:
        raise ConfigurationFault(f"{path}: is damaged, expected {SECRET_BYTES} random bytes; without it one is made")
    return secret


def new_key() -> Key:
    """P-256, as every client knows it."""
    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: Key) -> bytes:
    """A private key as it stands in a file, without a password."""
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def read_key(path: Path) -> Key | None:
    data = _read(path)
    if data is None:
        return None
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it wants a password
        raise ConfigurationFault(f"{path}: is damaged, expected a private key in PEM without a password") from None
    if not isinstance(key, Key):
        raise ConfigurationFault(f"{path}: found a key of another kind, expected an EC or RSA key")
    return key


def read_certificate(path: Path) -> x509.Certificate | None:
    data = _read(path)
    if data is None:
        return None
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError:
        raise Damaged(f"{path}: is damaged, expected a certificate in PEM") from None


def _read(path: Path) -> bytes | None:
    """The bytes of a file; None if there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as why:
        raise ConfigurationFault(f"{path}: cannot be read: {why.strerror}") from None


def write(path: Path, data: bytes, mode: int) -> None:
    """Put a file in its place, whole or not at all; only under the lock, as all write aside under the same name."""
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.unlink(missing_ok=True)  # of a process that died just here
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as why:
        raise ConfigurationFault(f"{path}: cannot be written: {why.strerror}") from None


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """While no other process writes here; the directory is made if need be."""
    path = directory / ".lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as why:
        raise ConfigurationFault(f"{path}: cannot be written: {why.strerror}") from None
    try:
        for _ in range(LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                select.select((), (), (), LOCK_PAUSE_SECONDS)  # flock has no deadline of its own
            except OSError as why:
                raise ConfigurationFault(f"{path}: cannot be locked: {why.strerror}") from None
        else:
            seconds = LOCK_TRIES * LOCK_PAUSE_SECONDS
            raise ConfigurationFault(f"{path}: another process has held the lock for {seconds:.0f} s")
        yield
    finally:
        os.close(descriptor)  # and with it the lock
