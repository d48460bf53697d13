"""How a daemon ends and reads its configuration again, on a moved clock; `test_daemon` tries it with real signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.ops import draining
from scalekit.ops.draining import DrainingService
from tests.ops.daemons import CacheOptions, Signals, options


class Loop(Clock):
    """A reactor that only keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.has_stopped = False
        self.after_shutdown: list[Callable[[], object]] = []

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        call()

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)

    def stop(self) -> None:
        self.has_stopped = True

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], object]) -> None:
        assert (phase, event) == ("after", "shutdown")
        self.after_shutdown.append(call)


class Slow(Service):
    """Stops when it is let."""

    def __init__(self) -> None:
        self.stopped: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self.stopped


class DrainingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop()
        self.signals = Signals()
        self.exits: list[int] = []
        self.file = Path(self.mktemp()).absolute()
        self.file.write_text("[cache]\nmax_bytes = 1\n")
        self.options = options(self.mktemp(), "--config", str(self.file))
        self.daemon = DrainingService(
            self.options, self.loop, install_signal=self.signals.install, exit_process=self.exits.append
        )
        self.daemon.privilegedStartService()
        self.daemon.startService()
        self.asked: list[bool] = []

    def drain(self, name: str = "", is_first: bool = False) -> Deferred[None]:
        """Add a drain that takes until its Deferred is fired."""
        drained: Deferred[None] = Deferred()

        def drain(is_hurried: bool) -> Deferred[None]:
            self.asked.append(is_hurried)
            return drained

        self.daemon.on_drain(drain, is_first)
        return drained

    def state(self) -> str:
        return repr(self.daemon).removeprefix("<DrainingService scalekit-cache ").removesuffix(">")


class EndTests(DrainingTestCase):
    def test_without_drains_a_signal_stops_at_once(self) -> None:
        self.assertEqual(self.state(), "running")
        self.signals.send(signal.SIGTERM)
        self.assertTrue(self.loop.has_stopped)
        self.assertEqual(self.state(), "stopping")

    def test_all_drains_run_side_by_side_and_are_waited_for(self) -> None:
        one, two = self.drain(), self.drain()
        self.signals.send(signal.SIGTERM)
        self.assertEqual(self.asked, [False, False])
        self.assertEqual((self.state(), self.daemon.is_draining), ("draining", True))
        one.callback(None)
        self.assertFalse(self.loop.has_stopped)
        two.callback(None)
        self.assertTrue(self.loop.has_stopped)

    def test_what_others_need_is_drained_before_them(self) -> None:
        self.drain()
        first = self.drain(is_first=True)
        self.signals.send(signal.SIGTERM)
        self.assertEqual(len(self.asked), 1)
        first.callback(None)
        self.assertEqual(len(self.asked), 2)

    def test_sigterm_waits_as_long_as_configured_and_announced(self) -> None:
        self.drain()
        self.signals.send(signal.SIGTERM)
        self.loop.advance(34.9)
        self.assertFalse(self.loop.has_stopped)
        self.loop.advance(0.1)
        self.assertTrue(self.loop.has_stopped)

    def test_sigint_hurries_and_waits_three_seconds(self) -> None:
        self.drain()
        self.signals.send(signal.SIGINT)
        self.assertEqual(self.asked, [True])
        self.loop.advance(2.9)
        self.assertFalse(self.loop.has_stopped)
        self.loop.advance(0.1)
        self.assertTrue(self.loop.has_stopped)

    def test_a_drain_that_is_late_does_not_stop_twice(self) -> None:
        drained = self.drain()
        self.signals.send(signal.SIGINT)
        self.loop.advance(3)
        self.loop.has_stopped = False
        drained.callback(None)
        self.assertFalse(self.loop.has_stopped)

    def test_a_second_signal_does_not_wait(self) -> None:
        self.drain()
        self.signals.send(signal.SIGTERM)
        self.signals.send(signal.SIGTERM)
        self.assertTrue(self.loop.has_stopped)
        self.loop.advance(1)
        self.assertEqual(self.exits, [1])

    def test_a_signal_while_stopping_leaves_a_second(self) -> None:
        self.signals.send(signal.SIGTERM)
        self.signals.send(signal.SIGTERM)
        self.loop.advance(0.9)
        self.assertEqual(self.exits, [])
        self.loop.advance(0.1)
        self.assertEqual(self.exits, [1])

    def test_services_that_do_not_stop_are_left_behind_after_ten_seconds(self) -> None:
        Slow().setServiceParent(self.daemon)
        self.signals.send(signal.SIGTERM)
        self.daemon.stopService()
        self.loop.advance(9.9)
        self.assertEqual(self.exits, [])
        self.loop.advance(0.1)
        self.assertEqual(self.exits, [1])

    def test_services_that_stop_end_the_deadline(self) -> None:
        slow = Slow()
        slow.setServiceParent(self.daemon)
        self.signals.send(signal.SIGTERM)
        stopped = self.daemon.stopService()
        slow.stopped.callback(None)
        self.loop.advance(0)
        self.successResultOf(stopped)
        self.assertEqual(self.loop.getDelayedCalls(), [])
        self.assertEqual(self.exits, [])

    def test_a_drain_that_fails_is_logged_and_waited_for_no_longer(self) -> None:
        drained = self.drain()
        self.signals.send(signal.SIGTERM)
        drained.errback(RuntimeError("broken"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(self.loop.has_stopped)

    def test_a_drain_may_be_a_coroutine(self) -> None:
        async def drain(is_hurried: bool) -> None:
            self.asked.append(is_hurried)

        self.daemon.on_drain(drain)
        self.signals.send(signal.SIGTERM)
        self.assertEqual((self.asked, self.loop.has_stopped), ([False], True))

    def test_failing_ends_in_a_hurry_with_status_1(self) -> None:
        self.drain()
        self.daemon.fail()
        self.daemon.fail()
        self.assertEqual(self.asked, [True])
        [last] = self.loop.after_shutdown
        last()
        self.assertEqual(self.exits, [1])


class ReloadTests(DrainingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.sizes: list[int] = []

    def reload(self, config: Any) -> None:
        self.sizes.append(config.cache.max_bytes)

    def test_everybody_gets_the_new_configuration(self) -> None:
        self.daemon.on_reload(self.reload)
        self.daemon.on_reload(self.reload)
        self.file.write_text("[cache]\nmax_bytes = 2\n")
        self.signals.send(signal.SIGHUP)
        self.assertEqual(self.sizes, [2, 2])
        self.assertEqual(self.options.settings.cache.max_bytes, 2)

    def test_a_wrong_one_reaches_nobody(self) -> None:
        self.daemon.on_reload(self.reload)
        self.file.write_text("[cache]\nmax_bytes = 0\n")
        self.signals.send(signal.SIGHUP)
        self.assertEqual(self.sizes, [])
        self.assertEqual(self.options.settings.cache.max_bytes, 1)

    def test_what_one_of_them_cannot_use_reaches_nobody(self) -> None:
        def check(config: Any) -> None:
            if config.cache.max_bytes == 2:
                raise ConfigurationFault("key.pem: cannot be read")

        self.daemon.on_reload(self.reload)
        self.daemon.on_reload(self.reload, check=check)
        self.file.write_text("[cache]\nmax_bytes = 2\n")
        self.signals.send(signal.SIGHUP)
        self.assertEqual((self.sizes, self.options.settings.cache.max_bytes), ([], 1))
        self.file.write_text("[cache]\nmax_bytes = 3\n")
        self.signals.send(signal.SIGHUP)
        self.assertEqual((self.sizes, dict(self.daemon.reloads)), ([3, 3], {"refused": 1, "done": 1}))

    def test_what_has_to_wait_is_told_as_long_as_it_waits(self) -> None:
        """Of what this daemon uses, and nobody brings into force."""
        self.daemon.on_reload(self.reload, "tls", "cache.token_file")
        lines = (
            "[cache]\nmax_bytes = {}\n[balancer]\nalgorithm = 'random'\n[tls]\ncertificate = 'a'\nprivate_key = 'b'\n"
        )
        for size in (2, 2, 1):
            self.file.write_text(lines.format(size))
            with capturedLogs() as events:
                self.signals.send(signal.SIGHUP)
            told = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
            self.assertEqual(told, ["needs a restart: cache.max_bytes"] if size == 2 else [])

    def test_the_state_directory_stays_where_it_is(self) -> None:
        """And with it all that has its place there unless somebody says otherwise."""
        one, other = (str(Path(self.mktemp()).absolute()) for _ in range(2))
        self.file.write_text(f"state_directory = '{one}'\n")
        parsed = CacheOptions()
        parsed.parseOptions(["--config", str(self.file)])
        daemon = DrainingService(parsed, self.loop, install_signal=self.signals.install)
        seen: list[tuple[str, str]] = []
        daemon.on_reload(lambda config: seen.append((config.state_directory, config.balancer.access_log)), "tls")
        self.file.write_text(f"state_directory = '{other}'\n")
        with capturedLogs() as events:
            daemon.reload()
        self.assertEqual(seen, [(one, f"{one}/access.log")])
        self.assertIn("needs a restart: state_directory", [formatEvent(event) for event in events])

    def test_one_that_fails_does_not_keep_it_from_the_others(self) -> None:
        def refuse(config: Any) -> None:
            raise ConfigurationFault("key.pem: cannot be read")

        def fail(config: Any) -> None:
            raise RuntimeError("a mistake")

        for reload in (refuse, fail, self.reload):
            self.daemon.on_reload(reload)
        self.signals.send(signal.SIGHUP)
        self.assertEqual(self.sizes, [1])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(dict(self.daemon.reloads), {"partly": 1})

    def test_the_terminal_that_went_away_ends_the_daemon(self) -> None:
        self.daemon._had_terminal = True
        self.patch(draining, "has_terminal", lambda: False)
        self.daemon.on_reload(self.reload)
        self.signals.send(signal.SIGHUP)
        self.assertEqual((self.sizes, self.state()), ([], "stopping"))
