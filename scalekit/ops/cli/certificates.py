"""``scalekit cert``: look at certificates, make some, and export the local CA."""

from __future__ import annotations

import socket
import ssl
from datetime import datetime
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from rich.console import Console
from rich.text import Text

from scalekit.config import Config
from scalekit.config.urls import parse_base_url
from scalekit.errors import ConfigurationFault
from scalekit.net.certificates import (
    CA,
    SERVER,
    SERVER_NAMES,
    ensure_local_ca,
    issue_certificate,
    renew_server_certificate,
)
from scalekit.net.contexts import read_chain
from scalekit.net.names import hostname, names_in
from scalekit.net.pem import write
from scalekit.ops.certificates import WARNING, configured_pairs, listeners_of, tls_directory
from scalekit.ops.cli.running import Surroundings, configured, read_configuration

#: Whoever asks sits in front of it.
CONNECT_SECONDS = 5.0


@click.group()
def cert() -> None:
    """Certificates: what is served, and what the local CA signs."""


@cert.command()
@click.argument("where", metavar="[HOST:PORT]", required=False)
@click.option("--server-name", metavar="NAME", help="The name to ask for there (SNI); without it, HOST.")
@configured
@click.pass_obj
def show(
    surroundings: Surroundings,
    where: str | None,
    server_name: str | None,
    config: str | None,
    state_directory: str | None,
) -> None:
    """
    Show the certificates that the daemons of this machine serve, or the one that HOST:PORT does.

    HOST:PORT is believed whatever it shows: this is to see what is wrong with it.
    """
    if where is None:
        settings = read_configuration(surroundings, config, state_directory)
        for file in served_files(settings):
            _print(read_chain(file)[0], str(file), surroundings.now())
    else:
        _print(_fetched(where, server_name), where, surroundings.now())


@cert.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "-o",
    "--out",
    metavar="DIRECTORY",
    default=".",
    type=click.Path(path_type=Path),
    help="Where the files go; without it, here.",
)
@configured
@click.pass_obj
def issue(
    surroundings: Surroundings, names: tuple[str, ...], out: Path, config: str | None, state_directory: str | None
) -> None:
    """
    Issue a certificate for another machine or app, for these names and addresses, signed by the local CA.

    Writes NAME.pem and NAME.key, by the first NAME.  It is good for 90 days, as a server's and as a client's.
    """
    directory = _local_ca(surroundings, config, state_directory)
    place = names[0].replace("*", "_").replace(":", "_").replace("/", "_")
    files = (out / f"{place}.pem", out / f"{place}.key")
    for file in files:
        if file.exists():
            raise ConfigurationFault(f"{file}: is there already, expected another --out or it removed")
    certificate, key = issue_certificate(directory, names, surroundings.now())
    out.mkdir(parents=True, exist_ok=True)
    write(files[1], key, 0o600)
    write(files[0], certificate, 0o644)
    _print(x509.load_pem_x509_certificate(certificate), str(files[0]), surroundings.now())


@cert.command()
@configured
@click.pass_obj
def renew(surroundings: Surroundings, config: str | None, state_directory: str | None) -> None:
    """
    Renew the certificate that the local CA signs for this machine, now.

    By themselves daemons renew it after 60 of its 90 days.  Those that run serve the new one within seconds.
    """
    settings = read_configuration(surroundings, config, state_directory)
    if settings.tls.certificate:
        raise ConfigurationFault(
            f"tls.certificate: found {settings.tls.certificate}, expected it empty, as others issue that one; "
            "daemons read it again when it changes"
        )
    names, now = surroundings.names(), surroundings.now()
    directory = tls_directory(settings)
    ensure_local_ca(directory, now, names)
    file = renew_server_certificate(directory, names, now)
    _print(read_chain(file)[0], str(file), now)


@cert.command()
@click.option(
    "-o", "--out", metavar="FILE", type=click.Path(path_type=Path), help="Where to; without it, the standard output."
)
@configured
@click.pass_obj
def ca(surroundings: Surroundings, out: Path | None, config: str | None, state_directory: str | None) -> None:
    """Export the local CA, for clients and browsers to trust; it is made if there is none yet."""
    data = (_local_ca(surroundings, config, state_directory) / CA).read_bytes()
    if out is None:
        click.echo(data.decode("ascii"), nl=False)
    else:
        out.write_bytes(data)


def served_files(settings: Config) -> list[Path]:
    """
    The files of the certificates that daemons with this configuration serve, that for everybody else first.

    :raises ConfigurationFault: there is none yet.
    """
    files = [pair.certificate for pair in configured_pairs(settings, listeners_of(settings))]
    local, by_name = (tls_directory(settings) / file for file in (SERVER, SERVER_NAMES))
    if not settings.tls.certificate and local.exists():
        files = [local, *([by_name] if by_name.exists() else ()), *files]
    if not files:
        raise ConfigurationFault(
            f"{local}: not found, expected a daemon that has run; `scalekit cert renew` makes it too"
        )
    return files


def _local_ca(surroundings: Surroundings, config: str | None, state_directory: str | None) -> Path:
    """The directory of the local CA, which is there then."""
    directory = tls_directory(read_configuration(surroundings, config, state_directory))
    ensure_local_ca(directory, surroundings.now(), surroundings.names())
    return directory


def _fetched(where: str, server_name: str | None) -> x509.Certificate:
    """What a server shows."""
    try:
        url = parse_base_url(where if "://" in where else f"https://{where}")
    except ValueError:
        raise ConfigurationFault(f"found {where}, expected HOST:PORT") from None
    authority = url.partition("://")[2].partition("/")[0]
    port = authority.rpartition(":")[2]
    host = hostname(authority)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, int(port) if port.isdigit() else 443), CONNECT_SECONDS) as sock,
            context.wrap_socket(sock, server_hostname=server_name or host) as secure,
        ):
            return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
    except OSError as why:  # ssl.SSLError too
        raise ConfigurationFault(f"{where}: {why.strerror or why}") from None


def _print(certificate: x509.Certificate, source: str, now: datetime) -> None:
    end = certificate.not_valid_after_utc
    days = (end - now).days
    left = "expired" if end <= now else f"{days} day{'' if days == 1 else 's'} left"
    console = Console(soft_wrap=True, highlight=False)
    console.print(Text(source, "bold"))
    for name, value, style in (
        ("names", ", ".join(names_in(certificate)) or "none", ""),
        ("issuer", certificate.issuer.rfc4514_string(), ""),
        ("not after", f"{end:%Y-%m-%d %H:%M} UTC, {left}", "red" if end < now + WARNING else ""),
        ("SHA-256", certificate.fingerprint(SHA256()).hex(":"), ""),
    ):
        console.print(Text(f"  {name:<10}"), Text(value, style), sep="")
