"""
The URLs of a configuration: where to listen, which servers to balance over, whom to ask.

Hosts are kept without brackets: IP literals in their canonical form, names in lower case.  RFC 3986 section 3.2.2 for
the brackets, RFC 6874 is not followed (a zone is written ``[fe80::1%eth0]``, as sockets take it).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import msgspec

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS = {"http": 80, "https": 443}
#: What servers may speak over TCP: ``h2c`` is HTTP/2 in clear, and has no port of its own.
SERVER_SCHEMES = ("http", "https", "h2c")
#: What syslog comes over: datagrams, streams, and streams over TLS.
SYSLOG_SCHEMES = ("udp", "tcp", "tls")

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9]*)://(?:\[(?P<literal>[^\]\[/?#]*)\]|(?P<host>[^\]\[/?#:@]*))(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#\s]*)?",
    re.ASCII,
)
_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*\.?"
)


class ListenURL(msgspec.Struct, frozen=True):
    """
    Where a daemon listens: ``https://[::]:2000``, ``http://127.0.0.1:8080`` or ``unix:///run/scalekit/admin.sock``.

    :ivar scheme: ``https``, ``http`` or ``unix`` (HTTP in clear on a socket file); for syslog `SYSLOG_SCHEMES`.
    :ivar host: an IP literal without brackets; empty for ``unix``.
    :ivar port: 0 to 65535, 0 lets the system choose; 0 for ``unix``.
    :ivar path: the socket's file for ``unix``; else empty.
    :ivar certificate: a PEM chain for this listener only, and ``private_key``; empty: those of ``[tls]``.
    :ivar client_ca: a PEM file with the authorities that sign clients' certificates; empty: clients show none.
    :ivar client_certificates: ``required`` or ``optional``; empty without ``client_ca``.
    :ivar proxy_protocol_from: the networks whose connections begin with a PROXY protocol header.
    :ivar allow_from: for syslog: the networks that may send; empty: whoever gets here.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    certificate: str = ""
    private_key: str = ""
    client_ca: str = ""
    client_certificates: str = ""
    proxy_protocol_from: tuple[Network, ...] = ()
    allow_from: tuple[Network, ...] = ()

    @property
    def is_secure(self) -> bool:
        return self.scheme in ("https", "tls")

    @property
    def demands_certificates(self) -> bool:
        """Whether nobody gets in without a certificate that ``client_ca`` has signed."""
        return self.client_certificates == "required"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it: loopback or a socket file."""
        return self.scheme == "unix" or is_loopback(self.host)

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"


class ServerURL(msgspec.Struct, frozen=True):
    """
    A server that requests are sent to: ``http://127.0.0.1:8001``, ``https://app.example``, ``unix:///run/app.sock``.

    :ivar scheme: ``http``, ``https``, ``h2c`` or ``unix`` (HTTP/1.1 in clear on a socket file).
    :ivar host: an IP literal without brackets, or a name; the socket's file for ``unix``.
    :ivar port: 1 to 65535; 0 for ``unix``.
    """

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.host}"
        return f"{self.scheme}://{_bracketed(self.host)}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether this IP literal is of the loopback, v4-mapped forms included; False for names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def is_host_name(text: str) -> bool:
    """Whether this is a lower-case DNS name (underscores allowed, as container networks use them)."""
    return _NAME.fullmatch(text) is not None


def parse_listen_url(text: str) -> ListenURL:
    """
    Take a listener's URL apart; ``localhost`` becomes 127.0.0.1.

    :raises ValueError: it is none; the message says what is wrong.
    """
    if text.startswith("unix://"):
        return ListenURL("unix", path=_socket_path(text))
    return _listened(text, tuple(DEFAULT_PORTS))


def parse_syslog_url(text: str) -> ListenURL:
    """
    Take the URL of a listener for syslog apart, such as ``udp://127.0.0.1:5514``.

    :raises ValueError: it is none; the message says what is wrong.
    """
    return _listened(text, SYSLOG_SCHEMES)


def _listened(text: str, schemes: Iterable[str]) -> ListenURL:
    scheme, host, port, path = _taken_apart(text, schemes)
    if path not in ("", "/"):
        raise ValueError("a listener has no path")
    if port is None:
        raise ValueError("a listener needs a port")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("a listener needs an IP address, [::] for all") from None
    return ListenURL(scheme, host, port)


def parse_server_url(text: str) -> ServerURL:
    """
    Take a server's URL apart; a missing port is the scheme's own.

    :raises ValueError: it is none; the message says what is wrong.
    """
    if text.startswith("unix://"):
        path = _socket_path(text)
        if not path.isprintable():  # it stands in logs, and in the URLs by which its instance is asked for
            raise ValueError("the path of a server's socket is printable")
        return ServerURL("unix", path, 0)
    scheme, host, port, path = _taken_apart(text, SERVER_SCHEMES)
    if path not in ("", "/"):
        raise ValueError("a server has no path")
    if port is None:
        port = DEFAULT_PORTS.get(scheme)
    if port is None:
        raise ValueError(f"{scheme}:// needs a port")
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    return ServerURL(scheme, host, port)


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix://")
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError("unix:// needs the absolute path of a socket file")
    # sockaddr_un.sun_path holds 108 bytes with the final NUL on Linux, 104 on the BSDs.
    if len(path.encode()) > 103:
        raise ValueError("the path of a unix socket has at most 103 bytes")
    return path


def parse_base_url(text: str) -> str:
    """
    The canonical form of a service's base URL, ready for paths to be appended: no slash at its end.

    :raises ValueError: it is none; the message says what is wrong.
    """
    scheme, host, port, path = _taken_apart(text)
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    return f"{scheme}://{_bracketed(host)}{'' if port is None else f':{port}'}{path.rstrip('/')}"


class RedisURL(msgspec.Struct, frozen=True):
    """
    Where Redis is: ``redis://10.0.0.5:6379/0`` or ``unix:///run/redis/redis.sock``.

    :ivar host: a name, or an IP literal without brackets; empty for a unix socket.
    :ivar database: its number; None: the first.
    """

    host: str = ""
    port: int = 6379
    path: str = ""
    database: int | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine for certain."""
        return bool(self.path) or self.host == "localhost" or is_loopback(self.host)

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return f"redis://{_bracketed(self.host)}:{self.port}{'' if self.database is None else f'/{self.database}'}"


def parse_redis_url(text: str) -> RedisURL:
    """
    Read one.

    :raises ValueError: it is none; the message says what is wrong.
    """
    if text.startswith("unix://"):
        path = text.removeprefix("unix://")
        if not path.startswith("/") or "\0" in path:
            raise ValueError("the path of a unix socket begins with a slash")
        return RedisURL(path=path)
    if "@" in text:
        raise ValueError("a password stands in password_file, not in the URL")
    _, host, port, path = _taken_apart(text, ("redis",))
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    database = path.removeprefix("/")
    if database and not (database.isascii() and database.isdigit() and len(database) <= 5):
        raise ValueError("the path is the number of a database")
    return RedisURL(host, 6379 if port is None else port, database=int(database) if database else None)


def _taken_apart(text: str, schemes: Iterable[str] = tuple(DEFAULT_PORTS)) -> tuple[str, str, int | None, str]:
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("it is not scheme://host:port")
    if match["scheme"] not in schemes:
        raise ValueError(f"the scheme {match['scheme']} is not known here")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and port > 65535:
        raise ValueError("a port is at most 65535")
    if match["literal"] is not None:
        try:
            return match["scheme"], str(ipaddress.IPv6Address(match["literal"])), port, match["path"] or ""
        except ValueError:
            raise ValueError("there is no IPv6 address in the brackets") from None
    host = match["host"].lower()
    if not is_host_name(host):
        raise ValueError("the host is no name and no address")
    if host.rstrip(".").rpartition(".")[2].isdigit():
        # A last label of digits can only be meant as an address (RFC 3696 section 2): let no resolver guess at "1.2.3".
        try:
            host = str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError("the host looks like an IPv4 address and is none") from None
    return match["scheme"], host, port, match["path"] or ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
