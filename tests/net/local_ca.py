"""A directory in which the local authority signs, and a look at what it has signed."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.certificates import ensure_server_certificate

# Clients look at the real clock, so the tests that meet one do as well.
NOW = datetime.now(UTC)
NAMES = ["localhost", "127.0.0.1", "::1", "web1", "web1.corp.example", "192.168.7.3", "fd00::7"]


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names_of(path: Path) -> list[str]:
    extension = read(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value]


class CertificatesCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute() / "tls"

    def made(self, names: list[str] = NAMES, now: datetime = NOW) -> tuple[Path, Path]:
        return ensure_server_certificate(self.directory, names, now)

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.iterdir()}
