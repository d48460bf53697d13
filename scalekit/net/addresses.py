"""
By which names and addresses this machine is known, found without asking anybody: no DNS query, no packet.

``socket.getfqdn`` would ask a name server, and a laptop that is offline would wait for it for half a minute.
"""

from __future__ import annotations

import ctypes
import ipaddress
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HOSTS_FILE = Path("/etc/hosts")
# A DNS name (RFC 1123 section 2.1), with the underscores that container networks have in theirs.
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)


def local_names(host: str, hosts_file: Path = HOSTS_FILE) -> list[str]:
    """
    ``localhost``, this host's names and the addresses of its interfaces, none twice, in that order.

    The names are the host name, the longer forms of it in the hosts file, and for a host name without a dot the one it
    has in multicast DNS, ``NAME.local`` (RFC 6762).  Never fails: what cannot be found is left out.

    :param host: the host name as the system knows it (``socket.gethostname()``).
    """
    names = ["localhost"]
    host = canonical_name(host)
    if host:
        names += [host, *_names_beside(host, hosts_file)]
        if "." not in host and host != "localhost":
            names.append(f"{host}.local")
    names += ["127.0.0.1", "::1", *map(str, interface_addresses())]
    return list(dict.fromkeys(names))


def canonical_name(text: str) -> str:
    """The name in lower case and without a final dot; empty if it is no DNS name."""
    name = text.lower().rstrip(".")
    return name if _NAME.fullmatch(name) else ""


def interface_addresses() -> list[Address]:
    """
    The addresses of this machine's interfaces, smallest first, IPv4 before IPv6; empty where they cannot be found.

    Without the link-local IPv6 ones: nobody can use them without naming an interface of his own.
    """
    try:
        found = set(_getifaddrs())
    except (OSError, AttributeError, ValueError):  # a C library without getifaddrs, a sandbox that forbids it
        return []
    return sorted(
        (one for one in found if not (one.version == 6 and one.is_link_local) and not one.is_unspecified),
        key=lambda one: (one.version, int(one)),
    )


def _names_beside(host: str, hosts_file: Path) -> list[str]:
    """``web1.example`` for ``web1``, if the hosts file has both in one line."""
    try:
        lines = hosts_file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found: list[str] = []
    for line in lines:
        names = [canonical_name(name) for name in line.partition("#")[0].split()[1:]]
        if host in names:
            found += [name for name in names if name.startswith(f"{host}.")]
    return found


class _Interface(ctypes.Structure):
    """The first members of ``struct ifaddrs``, the same on Linux, macOS and the BSDs."""


_Interface._fields_ = [
    ("next", ctypes.POINTER(_Interface)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.POINTER(ctypes.c_ubyte)),
]


def _getifaddrs() -> Iterator[Address]:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.freeifaddrs.argtypes = [ctypes.POINTER(_Interface)]
    first = ctypes.POINTER(_Interface)()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs")
    try:
        interface = first
        while interface:
            sockaddr = interface.contents.address
            if sockaddr:
                # sa_family: 16 bits on Linux; elsewhere 8 bits behind the 8 of sa_len.
                family = int.from_bytes(bytes(sockaddr[:2]), sys.byteorder) if sys.platform == "linux" else sockaddr[1]
                if family == socket.AF_INET:
                    yield ipaddress.IPv4Address(bytes(sockaddr[4:8]))
                elif family == socket.AF_INET6:
                    yield ipaddress.IPv6Address(bytes(sockaddr[8:24]))
            interface = interface.contents.next
    finally:
        libc.freeifaddrs(first)
