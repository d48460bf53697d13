"""Ports that tests start daemons on."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import BLOCK, PORTS, free_port, free_ports
from tests.sources import ROOT

_OTHER = "from tests.ports import free_port; print(free_port())"


class PortTests(SynchronousTestCase):
    def test_in_a_row(self) -> None:
        ports = free_ports(3)
        self.assertEqual(ports, list(range(ports[0], ports[0] + 3)))
        self.assertTrue(set(ports) <= set(PORTS))

    def test_processes_at_once(self) -> None:
        """Each has a block of its own."""
        mine = free_port()
        told = subprocess.run([sys.executable, "-c", _OTHER], capture_output=True, check=True, cwd=ROOT)
        self.assertNotEqual((int(told.stdout) - PORTS.start) // BLOCK, (mine - PORTS.start) // BLOCK)
