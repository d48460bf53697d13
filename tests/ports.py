"""
Free ports for daemons that tests start, of which no two test processes ever find the same.

A port that is found free is taken only when the daemon has started, half a second later.  So each test process has a
block of its own for as long as it lives: the one whose name it could take in Linux's abstract namespace (unix(7)),
which the kernel gives back however the process ends.
"""

from __future__ import annotations

import random
import socket

#: Below those that the kernel gives to clients (32768 and up): no connection takes one that was just found free.
PORTS = range(12_000, 32_000)
#: Enough that what the last tests have used is seldom met again; twenty test processes at once.
BLOCK = 1000

_held: list[socket.socket] = []
_block = range(0)


def free_ports(count: int) -> list[int]:
    """So many ports in a row that nobody listens on, and no other test process finds."""
    block = _own_block()
    while True:
        first = random.randrange(block.start, block.stop - count)
        ports = list(range(first, first + count))
        try:
            for port in ports:
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return ports


def free_port() -> int:
    """One."""
    return free_ports(1)[0]


def _own_block() -> range:
    global _block
    if not _block:
        for start in range(PORTS.start, PORTS.stop, BLOCK):
            name = socket.socket(socket.AF_UNIX)
            try:
                name.bind(f"\0scalekit-tests-ports-{start}")
            except OSError:  # another's
                name.close()
                continue
            _held.append(name)
            _block = range(start, start + BLOCK)
            break
        else:
            raise AssertionError("more test processes at once than there are blocks of ports")
    return _block
