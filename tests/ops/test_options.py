"""The options of a daemon: flags above the file, and what twistd is told."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Factory
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config import ListenURL
from scalekit.ops import options as module
from scalekit.ops.options import DaemonOptions, raise_descriptor_limit
from tests.ops.daemons import CacheOptions


class BlogOptions(DaemonOptions):
    daemon = "scalekit-blog"
    sections = ("blog",)
    environ = {}
    optFlags = [["no-check", None, "Do not verify."]]
    optParameters = [["rise", None, None, "Good pings."], ["access-log", None, None, "A file."]]
    flag_keys = {"rise": "balancer.health.rise", "access-log": "balancer.access_log"}


class DataOptions(DaemonOptions):
    daemon = "scalekit-data"
    sections = ("data",)
    environ = {}


class OptionsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = os.path.abspath(self.mktemp())
        self.patch(Factory, "noisy", True)
        self.patch(module, "raise_descriptor_limit", lambda: None)

    def parsed(self, *arguments: str, kind: type[DaemonOptions] = CacheOptions) -> Any:
        options = kind()
        options.parseOptions(["--state-directory", self.state, *arguments])
        return options

    def refused(self, *arguments: str, kind: type[DaemonOptions] = CacheOptions) -> str:
        with self.assertRaises(SystemExit) as caught:
            self.parsed(*arguments, kind=kind)
        message = str(caught.exception)
        self.assertEqual(len(message.splitlines()), 1)
        return message


class FlagTests(OptionsTestCase):
    def test_listeners_are_replaced(self) -> None:
        settings = self.parsed("--listen", "http://127.0.0.1:1", "--listen", "unix:///x").settings
        self.assertEqual(settings.cache.listen, (ListenURL("http", "127.0.0.1", 1), ListenURL("unix", path="/x")))

    def test_flags_stand_above_the_file(self) -> None:
        path = Path(self.mktemp())
        path.write_text('[cache]\nmax_bytes = 1\nexpiry_interval = "9s"\n')
        cache = self.parsed("-c", str(path), "--max-bytes", "2KiB").settings.cache
        self.assertEqual((cache.max_bytes, cache.expiry_interval), (2048, 9.0))

    def test_numbers_and_paths(self) -> None:
        balancer = self.parsed("--rise", "5", "--access-log", "a.log", kind=BlogOptions).settings.balancer
        self.assertEqual((balancer.health.rise, balancer.access_log), (5, os.path.abspath("a.log")))
        balancer = self.parsed("--access-log", "-", kind=BlogOptions).settings.balancer
        self.assertEqual(balancer.access_log, "-")

    def test_wrong_ones_are_blamed_by_name(self) -> None:
        self.assertTrue(self.refused("--rise", "x", kind=BlogOptions).startswith('--rise: found "x", expected a whole'))
        self.assertTrue(self.refused("--listen", "x").startswith('--listen[0]: found "x"'))
        self.assertTrue(self.refused("--what").startswith("scalekit-cache: option --what not recognized"))

    def test_a_listener_for_everybody_needs_a_token_file(self) -> None:
        everywhere = ("--listen", "https://[::]:5000")
        self.assertTrue(self.refused(*everywhere).startswith('cache.token_file: found ""'))
        settings = self.parsed(*everywhere, "--token-file", "tokens").settings
        self.assertEqual(settings.cache.token_file, os.path.abspath("tokens"))

    def test_a_daemon_without_tokens_stays_on_this_machine(self) -> None:
        message = self.refused("--listen", "https://[::]:4000", kind=DataOptions)
        self.assertTrue(message.startswith("data.listen: found https://[::]:4000"))

    def test_an_app_server_may_listen_for_everybody(self) -> None:
        settings = self.parsed("--listen", "https://[::]:3000", kind=BlogOptions).settings
        self.assertEqual(settings.blog.listen, (ListenURL("https", "::", 3000),))

    def test_factories_are_quiet(self) -> None:
        self.parsed()
        self.assertFalse(Factory.noisy)


class TwistdTests(OptionsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.kept: list[bool] = []
        self.patch(module, "keep_terminal", lambda: self.kept.append(True))

    def twistd(self, *arguments: str, **options: Any) -> dict[str, Any]:
        """What twistd's own options are after those of the daemon."""
        parent = {"pidfile": "twistd.pid", "logfile": None, "logger": None, "nodaemon": False, "debug": False}
        parent.update(options)
        daemon = CacheOptions()
        daemon.parent = parent  # type: ignore[assignment]
        daemon.parseOptions(["--state-directory", self.state, *arguments])
        return {key: parent[key] for key in ("pidfile", "logfile", "logger")}

    def test_in_the_background(self) -> None:
        self.assertEqual(
            self.twistd(),
            {
                "pidfile": f"{self.state}/scalekit-cache.pid",
                "logfile": f"{self.state}/scalekit-cache.log",
                "logger": None,
            },
        )
        self.assertEqual(self.kept, [True])

    def test_several_of_one_kind_are_told_apart(self) -> None:
        for url, name in {"http://127.0.0.1:5001": "5001", "unix:///run/x.sock": "x.sock"}.items():
            self.assertEqual(self.twistd("--listen", url)["pidfile"], f"{self.state}/scalekit-cache-{name}.pid")

    def test_in_the_foreground(self) -> None:
        self.assertEqual(
            self.twistd(nodaemon=True),
            {"pidfile": "", "logfile": None, "logger": "scalekit.ops.console.stdout_observer"},
        )
        self.assertEqual(self.kept, [])

    def test_what_the_user_says_stays(self) -> None:
        said = {"pidfile": "my.pid", "logfile": "my.log", "logger": None}
        for nodaemon in (False, True):
            self.assertEqual(self.twistd(nodaemon=nodaemon, **said), said)
        self.assertIsNone(self.twistd(nodaemon=True, syslog=True)["logger"])

    def test_the_starter_is_told_once_there_is_one(self) -> None:
        daemon = CacheOptions()
        daemon.tell_starter()  # nobody waits: nothing to do
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        daemon.parent = {"statusPipe": writing}  # type: ignore[assignment]
        daemon.tell_starter()
        self.assertEqual(os.read(reading, 100), b"1 as said above")
        self.assertEqual(os.read(reading, 100), b"")


class DescriptorLimitTests(SynchronousTestCase):
    def limits(self, soft: int, hard: int) -> list[tuple[int, int]]:
        """What is set where these are the limits."""
        found: list[tuple[int, int]] = []
        self.patch(resource, "getrlimit", lambda _what: (soft, hard))
        self.patch(resource, "setrlimit", lambda _what, limits: found.append(limits))
        raise_descriptor_limit()
        return found

    def test_the_soft_limit_becomes_the_hard_one(self) -> None:
        self.assertEqual(self.limits(1024, 4096), [(4096, 4096)])
        self.assertEqual(self.limits(1024, resource.RLIM_INFINITY), [(1 << 20, resource.RLIM_INFINITY)])

    def test_it_is_never_lowered(self) -> None:
        for soft, hard in [(4096, 4096), (1 << 21, 1 << 21), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)]:
            self.assertEqual(self.limits(soft, hard), [])
