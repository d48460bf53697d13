"""
Free ports for daemons that tests start, of which no two daemons at once are ever told the same.

A port that is found free is taken only when the daemon has started, half a second later.  So each test process has a
block of its own for as long as it lives: the one whose name it could take in Linux's abstract namespace (unix(7)),
which the kernel gives back however the process ends.  It goes through that from one end to the other.
"""

from __future__ import annotations

import socket

#: Below those that the kernel gives to clients (32768 and up): no connection takes one that was just found free.
PORTS = range(12_000, 32_000)
#: Far more than one test needs; twenty test processes at once.
BLOCK = 1000


class _Block:
    """:ivar ports: those of this process; ``rest``: what it has not given out since it began anew."""

    def __init__(self) -> None:
        for start in range(PORTS.start, PORTS.stop, BLOCK):
            name = socket.socket(socket.AF_UNIX)
            try:
                name.bind(f"\0scalekit-tests-ports-{start}")
            except OSError:  # another's
                name.close()
                continue
            name.detach()  # never closed: no end of ours is too early
            self.ports = self.rest = range(start, start + BLOCK)
            return
        raise AssertionError("more test processes at once than there are blocks of ports")

    def take(self, count: int) -> range:
        if len(self.rest) < count:
            self.rest = self.ports
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken


_mine: list[_Block] = []


def free_ports(count: int) -> list[int]:
    """So many ports in a row that nobody listens on, and nobody else is told of for a good while."""
    if not _mine:
        _mine.append(_Block())
    while True:
        ports = _mine[0].take(count)
        try:
            for port in ports:
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return list(ports)


def free_port() -> int:
    """One."""
    return free_ports(1)[0]
