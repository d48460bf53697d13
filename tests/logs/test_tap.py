"""The log's composition root, on a real directory and with real threads."""

from __future__ import annotations

import os

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from scalekit.config.model import Logs
from scalekit.errors import ConfigurationFault
from scalekit.logs.entry import Entry
from scalekit.logs.tap import Options, open_logs


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


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def parsed(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions([*arguments, "--state-directory", self.mktemp()])
        return options

    def test_syslog(self) -> None:
        """Listeners for it, as many as there are."""
        self.assertEqual(self.parsed().settings.logs.syslog, ())
        told = self.parsed("--syslog", "udp://127.0.0.1:5514", "--syslog", "tls://[::1]:6514").settings.logs.syslog
        self.assertEqual([str(url) for url in told], ["udp://127.0.0.1:5514", "tls://[::1]:6514"])
        with self.assertRaises(SystemExit) as caught:
            self.parsed("--syslog", "udp://[::]:5514")
        self.assertTrue(str(caught.exception).startswith("--syslog[0].allow_from: found none, expected the networks"))
