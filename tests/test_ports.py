"""Ports that tests start daemons on."""

from __future__ import annotations

import socket
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import BLOCK, PORTS, free_port, free_ports
from tests.sources import ROOT

_OTHER = "from tests.ports import free_port; print(free_port())"


class PortTests(SynchronousTestCase):
    def test_in_a_row(self) -> None:
        """None of them twice, until the block has been gone through."""
        given = [free_ports(30) for _ in range(BLOCK // 30 // 2)]
        for ports in given:
            self.assertEqual(ports, list(range(ports[0], ports[0] + 30)))
            self.assertTrue(set(ports) <= set(PORTS))
        self.assertEqual(len(set().union(*given)), 30 * len(given))

    def test_what_is_taken(self) -> None:
        """By somebody who knows nothing of blocks."""
        port = free_port()
        with socket.create_server(("127.0.0.1", port + 1)):
            self.assertNotIn(port + 1, free_ports(2))

    def test_processes_at_once(self) -> None:
        """Each has a block of its own."""
        mine = free_port()
        told = subprocess.run([sys.executable, "-c", _OTHER], capture_output=True, check=True, cwd=ROOT)
        self.assertNotEqual((int(told.stdout) - PORTS.start) // BLOCK, (mine - PORTS.start) // BLOCK)
