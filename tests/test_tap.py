"""Tests of `scalekit.tap`: what ``--demo`` takes, what it tells its processes, and what it tells its user."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit import tap
from scalekit.balancer.instance import State
from scalekit.config.model import Logs
from scalekit.errors import ConfigurationFault


class Children:
    """Stands in for `ChildService`: keeps what would be started, and when it is asked to end."""

    def __init__(self) -> None:
        self.started: list[tuple[str, list[str]]] = []
        self.failed: Any = None
        self.ends: list[tuple[str, bool, Deferred[None]]] = []

    def __call__(self, name: str, arguments: list[str], environ: Any, reactor: Any, failed: Any) -> Any:
        self.started.append((name, arguments))
        self.failed = failed

        def end(is_hurried: bool) -> Deferred[None]:
            self.ends.append((name, is_hurried, Deferred()))
            return self.ends[-1][2]

        return SimpleNamespace(end=end, setServiceParent=lambda parent: None)


class Daemon:
    """Stands in for `DrainingService`."""

    def __init__(self) -> None:
        self.failures = 0
        self.drains: list[tuple[Any, bool]] = []

    def on_drain(self, drain: Any, is_first: bool) -> None:
        self.drains.append((drain, is_first))

    def fail(self) -> None:
        self.failures += 1


def listening(*urls: str) -> Any:
    return SimpleNamespace(bound_urls=lambda: list(urls))


class DemoCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.children = Children()
        self.daemon = Daemon()
        self.patch(tap, "reactor", self.clock)
        self.patch(tap, "ChildService", self.children)
        self.data_listens = True
        self.patch(tap, "_listens", lambda url: self.data_listens)
        self.terminal = io.StringIO()
        self.patch(sys, "__stdout__", self.terminal)
        self.up: list[Any] = []
        self.logs = [str(url) for url in Logs().listen]
        self.balancer: Any = SimpleNamespace(
            roster=SimpleNamespace(available=lambda service: self.up),
            public=listening("https://[::]:2000"),
            private=listening("unix:///run/x", "https://127.0.0.1:2001"),
        )

    def demo(self, count: int, toml: str = "") -> Any:
        """As makeService makes it from this configuration."""
        path = Path(self.mktemp())
        path.write_text(toml)
        options = tap.Options()
        options.parseOptions(["--config", str(path), "--state-directory", self.mktemp()])
        self.settings = options.settings
        return tap._Demo(self.daemon, options, options.settings, count)  # type: ignore[arg-type]

    def start(self, count: int, toml: str = "") -> None:
        cache, logs = listening("https://[::]:5000"), listening(*self.logs)
        self.demo(count, toml).start(self.balancer, cache, logs)

    def value(self, child: int, flag: str) -> str:
        """What a child is told by a flag."""
        _, arguments = self.children.started[child]
        return arguments[arguments.index(flag) + 1]


class OptionsTests(SynchronousTestCase):
    def test_how_many(self) -> None:
        for text in ("0", "51", "-1", "two", "\u0662"):
            error = self.assertRaises(SystemExit, tap.Options().parseOptions, ["--demo", text])
            self.assertIn("expected a number from 1 to 50", str(error))
            self.assertNotIn("\n", str(error))


class RefusalTests(DemoCase):
    def test_a_part_that_the_others_cannot_be_told(self) -> None:
        rows = {
            '[data]\nlisten = ["https://127.0.0.1:0"]': "data.listen: found https://127.0.0.1:0, expected a port",
            '[logs]\nlisten = ["unix:///run/l"]': "logs.listen: found unix:///run/l, expected a port",
            '[blog]\nlisten = ["http://127.0.0.1:65534"]': "blog.listen: found http://127.0.0.1:65534, expected 2 more",
        }
        for toml, expected in rows.items():
            fault = self.assertRaises(ConfigurationFault, self.demo, 3, toml)
            self.assertIn(expected, str(fault))


class StartTests(DemoCase):
    def test_what_the_children_are_told(self) -> None:
        """The default ports, wildcards dialled on the loopback, and the first that is no unix socket."""
        self.start(2)
        self.assertEqual(
            [arguments[0] for _, arguments in self.children.started], ["scalekit-data", *["scalekit-blog"] * 2]
        )
        listens = [self.value(child, "--listen") for child in range(3)]
        self.assertEqual(listens, [f"https://127.0.0.1:{port}" for port in (4000, 3000, 3001)])
        self.assertEqual(self.value(1, "--data"), "https://127.0.0.1:4000")
        self.assertEqual(self.value(1, "--balancer"), "https://127.0.0.1:2001")
        self.assertEqual(self.value(2, "--cache"), "https://127.0.0.1:5000")
        for child in range(3):
            self.assertEqual(self.value(child, "--logs"), "https://127.0.0.1:6000")
            self.assertEqual(self.value(child, "--state-directory"), self.settings.state_directory)
            self.assertTrue(Path(self.value(child, "--config")).is_absolute())

    def test_blogs_on_any_port(self) -> None:
        self.start(2, '[blog]\nlisten = ["unix:///run/b", "http://[::1]:0"]\n[data]\nlisten = ["http://127.0.0.1:99"]')
        self.assertEqual([self.value(child, "--listen") for child in (1, 2)], ["http://[::1]:0"] * 2)
        self.assertEqual(self.value(1, "--data"), "http://127.0.0.1:99")

    def test_greets_once_all_are_up(self) -> None:
        self.start(2)
        self.up.append(SimpleNamespace(state=State.UP, scheme="https", id="127.0.0.1:3001"))
        self.up.append(SimpleNamespace(state=State.JOINING, scheme="https", id="127.0.0.1:3000"))
        self.clock.advance(1)
        self.assertEqual(self.terminal.getvalue(), "")
        self.up[1].state = State.UP
        self.data_listens = False
        self.clock.advance(1)
        self.assertEqual(self.terminal.getvalue(), "")
        self.data_listens = True
        self.clock.advance(1)
        self.assertIn("scalekit is running; Ctrl-C ends it", self.terminal.getvalue())
        rows = dict(line.strip().split("  ", 1) for line in self.terminal.getvalue().splitlines() if "  " in line)
        places = {name: place.strip() for name, place in rows.items()}
        self.assertEqual(places["the blog, balanced"], "https://localhost:2000/")
        self.assertEqual(places["app server 1"], "https://127.0.0.1:3000/")
        self.assertEqual(places["app server 2"], "https://127.0.0.1:3001/")
        self.assertEqual(places["who is registered"], "https://127.0.0.1:2001/")
        self.assertEqual(places["its page"], "https://127.0.0.1:6001/")  # browsers refuse 6000
        self.assertEqual(places["the CA to trust"], f"{self.settings.state_directory}/tls/ca.pem")
        self.terminal.truncate(0)
        self.clock.advance(10)
        self.assertEqual((self.terminal.getvalue(), self.clock.getDelayedCalls()), ("", []))

    def test_a_page_that_browsers_refuse_is_not_told_of(self) -> None:
        self.logs = ["unix:///run/l", "https://127.0.0.1:6000"]
        self.start(1)
        self.up.append(SimpleNamespace(state=State.UP, scheme="https", id="127.0.0.1:3000"))
        self.clock.advance(1)
        self.assertIn("the log of all", self.terminal.getvalue())
        self.assertNotIn("its page", self.terminal.getvalue())

    def test_a_greeting_that_fails_once_is_tried_again(self) -> None:
        self.start(1)
        self.up.append(SimpleNamespace())
        self.clock.advance(1)
        self.assertTrue(self.flushLoggedErrors(AttributeError))
        self.up[0] = SimpleNamespace(state=State.UP, scheme="https", id="127.0.0.1:3000")
        self.clock.advance(1)
        self.assertIn("scalekit is running", self.terminal.getvalue())

    def test_a_child_that_cannot_start_ends_all(self) -> None:
        self.start(1)
        self.children.failed("the blog could not start")
        self.assertEqual(self.daemon.failures, 1)

    def test_ends_the_blogs_before_the_data_service(self) -> None:
        self.start(2)
        ((drain, is_first),) = self.daemon.drains
        self.assertTrue(is_first)
        ended = drain(True)
        self.assertEqual([name[:8] for name, _, _ in self.children.ends], ["the blog"] * 2)
        self.assertTrue(all(is_hurried for _, is_hurried, _ in self.children.ends))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        for _, _, gone in self.children.ends[:]:
            self.assertEqual(len(self.children.ends), 2)
            gone.callback(None)
        self.assertEqual(self.children.ends[2][0], "the data service")
        self.assertNoResult(ended)
        self.children.ends[2][2].callback(None)
        self.successResultOf(ended)
