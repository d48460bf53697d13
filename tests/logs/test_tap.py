"""The log's composition root, on a real directory and with real threads."""

from __future__ import annotations

import os

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from scalekit.config.model import Logs
from scalekit.errors import ConfigurationFault
from scalekit.logs.entry import Entry
from scalekit.logs.tap import open_logs


class OpenLogsTests(TestCase):
    """`open_logs`."""

    async def test_an_entry_gets_into_the_file(self) -> None:
        """From append over both threads to log.txt, which holds all of it after the stop."""
        settings = Logs(directory=self.mktemp())
        collector, resource, *_ = open_logs(settings, reactor)
        self.assertFalse(os.path.exists(settings.directory))
        self.assertIn(b"v1", resource.listStaticNames())
        collector.startService()
        await collector.append([Entry(1_700_000_000_000_000_000, "INFO", "shop", "sold")])
        await collector.stopService()
        with open(os.path.join(settings.directory, "log.txt")) as file:
            self.assertEqual(file.read(), "2023-11-14 22:13:20;INFO;shop;sold\n")

    def test_a_directory_that_cannot_be_used(self) -> None:
        """Is a `ConfigurationFault`, which a daemon tells in one line; the stop after it is quiet."""
        place = self.mktemp()
        with open(place, "w"):
            pass
        collector, *_ = open_logs(Logs(directory=place), reactor)
        self.assertRaises(ConfigurationFault, collector.startService)
        self.successResultOf(collector.stopService())
