"""
Memory of connections that are open and quiet: 10,000 of them, each after one request, in clear and over TLS.

Each proxy is started anew for each kind, so that nothing it has freed before is used again.  nginx is given room for
its connections when it starts, some 430 bytes each, which this does not see.
"""

from __future__ import annotations

import os
import resource
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from bench.checks import WrongAnswer
from bench.cpu import family_of
from bench.proxies import SMALL, Place, Proxy

CONNECTIONS = 10_000
#: Open before the first look: with them comes what is only needed once.
FIRST = 200
#: Besides the connections: files, ports, pipes, the other side's connections.
SPARE_FILES = 256
ANSWER_SECONDS = 10.0
AT_ONCE = 4
#: From each of these: a source has some 28,000 ports (net.ipv4.ip_local_port_range), closed ones rest for a minute.
SOURCES = [f"127.0.0.{number}" for number in range(1, 9)]
_REQUEST = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"


class IdleRow(msgspec.Struct):
    """Bytes a connection; None: was not measured, ``note`` says why."""

    proxy: str
    clear: float | None = None
    tls: float | None = None
    note: str = ""


class Idle(msgspec.Struct):
    """What the idle connections of each took."""

    connections: int
    rows: list[IdleRow]

    def row(self, proxy: str) -> IdleRow | None:
        """The row of a proxy."""
        return next((row for row in self.rows if row.proxy == proxy), None)


def resident_bytes(pid: int, proc: Path = Path("/proc")) -> int:
    """RSS of a process and of its children (proc_pid_statm(5))."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int((proc / str(each) / "statm").read_text().split()[1]) * page for each in family_of(pid, proc))


def raise_file_limit() -> int:
    """As many files as this process and its children may have; how many connections fit in."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, hard - SPARE_FILES)


def bytes_each(start: Callable[[Place], Proxy], place: Place, scheme: str, count: int) -> float:
    """
    Start a proxy, and let ``count`` connections be idle.

    :param place: a folder of its own.
    :raises ServerFault, WrongAnswer, OSError:
    """
    context = _unverifying() if scheme == "https" else None
    held: list[socket.socket] = []
    proxy = start(place)
    # Some at a time: the client's half of a handshake goes on beside the proxy's.
    with proxy.server, ThreadPoolExecutor(AT_ONCE) as threads:
        try:
            port = proxy.tls if context else proxy.clear
            held += threads.map(lambda number: _opened(port, number, context), range(FIRST))
            before = resident_bytes(proxy.server.pid)
            held += threads.map(lambda number: _opened(port, number, context), range(FIRST, count))
            after = resident_bytes(proxy.server.pid)
            _all_open(held)
        finally:
            for each in held:
                each.close()
    return (after - before) / (count - FIRST)


def _unverifying() -> ssl.SSLContext:
    """The certificate is not what is measured, and 10,000 times it takes a while."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _opened(port: int, number: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connection on which one request was answered; of a TLS one only the socket is kept."""
    source = SOURCES[number % len(SOURCES)]
    sock = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS, (source, 0))
    try:
        if context is not None:
            sock = context.wrap_socket(sock)
        sock.sendall(_REQUEST)
        answer = b""
        while not answer.endswith(SMALL):
            piece = sock.recv(4096)
            if not piece:
                raise WrongAnswer(f"connection {number} was closed after {answer[:80]!r}")
            answer += piece
        return sock if context is None else socket.socket(fileno=sock.detach())
    except BaseException:
        sock.close()
        raise


def _all_open(held: list[socket.socket]) -> None:
    """Nothing is to be read: an end would be.  What TLS had still to say, tickets, is no end."""
    for number, sock in enumerate(held):
        sock.setblocking(False)
        try:
            if not sock.recv(4096):
                raise WrongAnswer(f"connection {number} did not stay open")
        except BlockingIOError:
            pass
