"""The scaffolding under a real twistd, in processes of their own: how a daemon starts, fails to start, and ends."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent.parent
PLUGIN = """
from twisted.application.service import ServiceMaker
tiny = ServiceMaker("tiny", "tests.ops.tiny_daemon", "The smallest daemon.", "tiny")
"""
TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
# Only ever reached by a daemon that hangs: starting Python and Twisted takes a second, on a busy machine ten.
PATIENCE_SECONDS = 60


class DaemonTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.place = Path(self.mktemp()).absolute()
        plugins = self.place / "path" / "twisted" / "plugins"
        plugins.mkdir(parents=True)
        (plugins / "tiny_plugin.py").write_text(PLUGIN)
        self.state = self.place / "state"
        self.environ = {
            **os.environ,
            "PYTHONPATH": f"{self.place / 'path'}:{ROOT}",
            "STATE_DIRECTORY": str(self.state),
        }

    def start(self, *arguments: str, twistd: tuple[str, ...] = ("-n",)) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*TWISTD, *twistd, "tiny", *arguments],
            cwd=self.place,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # no controlling terminal, as under a supervisor
        )
        self.addCleanup(self.end, process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
        process.communicate()

    def wait_for(self, process: subprocess.Popen[str], text: str) -> str:
        """Everything that the process says up to the line with this text."""
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if text in line:
                return said
        self.fail(f"no {text!r} in:\n{said}\n{process.stderr.read() if process.stderr else ''}")

    def failed_start(self, *arguments: str, twistd: tuple[str, ...] = ("-n",)) -> str:
        """What is on the standard error of a start that fails with status 1."""
        return self.failed(self.start(*arguments, twistd=twistd))

    def failed(self, process: subprocess.Popen[str]) -> str:
        """What is on its standard error, once it has ended with status 1."""
        _out, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 1)
        return err

    def ended(self, process: subprocess.Popen[str]) -> str:
        """What the process says until its end, which has status 0."""
        out, _err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 0, out)
        return out


class FailingStartTests(DaemonTestCase):
    def test_a_wrong_configuration_is_one_line(self) -> None:
        path = self.place / "x.toml"
        path.write_text("[cache]\nmax_byte = 1\n")
        self.assertEqual(
            self.failed_start("--config", "x.toml"),
            f"{path}: cache.max_byte: found an unknown key, expected max_bytes\n",
        )

    def test_a_wrong_flag_is_one_line(self) -> None:
        size, place = self.start("--max-bytes", "1KB"), self.start("--listen", "nowhere")
        self.assertEqual(
            self.failed(size),
            '--max-bytes: found "1KB", expected a size such as "64KiB" or "1GiB", or a number of bytes\n',
        )
        self.assertIn("--listen[0]: found", self.failed(place))

    def test_an_unknown_flag_is_one_line(self) -> None:
        err = self.failed_start("--no-such-flag")
        self.assertEqual(err.count("\n"), 1)
        self.assertTrue(err.startswith("tiny: option --no-such-flag not recognized"), err)

    def test_an_unusable_state_directory_is_one_line(self) -> None:
        self.state.write_text("")
        expected = "expected a directory that can be written to\n"
        below = str(self.state / "below")
        at, under = self.start(), self.start("--state-directory", below)
        self.assertEqual(self.failed(at), f"state_directory: found {self.state} (a file in its place), {expected}")
        self.assertEqual(self.failed(under), f"state_directory: found {below} (Not a directory), {expected}")

    def test_a_listener_that_others_reach_needs_a_token(self) -> None:
        err = self.failed_start("--listen", "https://[::]:5000")
        self.assertEqual(err.count("\n"), 1)
        self.assertTrue(err.startswith('cache.token_file: found ""'), err)

    def test_what_goes_wrong_later_is_one_line_too(self) -> None:
        expected = {
            "start": "tiny: the port is in use\n",
            "file": "[Errno 2] No such file or directory: '/nowhere/key.pem'\n",
            "make": "[Errno 13] Permission denied: 'key.pem'\n",
        }
        started = {trouble: self.start("--trouble", trouble) for trouble in expected}
        self.assertEqual({trouble: self.failed(process) for trouble, process in started.items()}, expected)

    def test_a_daemon_in_the_background_says_it_on_the_terminal_and_in_its_log(self) -> None:
        err = self.failed_start("--trouble", "start", twistd=())
        self.assertEqual(err.splitlines()[0], "tiny: the port is in use")
        self.assertLessEqual(len(err.splitlines()), 3)  # twistd adds two, which point to the log
        self.assertIn("tiny: the port is in use", (self.state / "tiny.log").read_text())
        self.assertFalse((self.state / "tiny.pid").exists())


class EndingTests(DaemonTestCase):
    def test_sigterm_drains_and_ends_with_status_0(self) -> None:
        process = self.start("--drain", "0.1")
        self.wait_for(process, "ready")
        process.send_signal(signal.SIGTERM)
        said = self.ended(process)
        self.assertLess(said.index("in a hurry: False"), said.index("drained"))
        self.assertLess(said.index("drained"), said.index("stopped"))

    def test_sigint_drains_in_a_hurry_and_ends_with_status_0(self) -> None:
        process = self.start()
        self.wait_for(process, "ready")
        process.send_signal(signal.SIGINT)
        self.assertIn("in a hurry: True", self.ended(process))

    def test_a_second_signal_ends_at_once(self) -> None:
        process = self.start("--drain", "1000")
        self.wait_for(process, "ready")
        process.send_signal(signal.SIGTERM)
        self.wait_for(process, "in a hurry")
        process.send_signal(signal.SIGTERM)
        said = self.ended(process)
        self.assertNotIn("drained", said)
        self.assertIn("stopped", said)

    def test_a_service_that_does_not_stop_is_left_behind(self) -> None:
        process = self.start("--trouble", "stop")
        self.wait_for(process, "ready")
        process.send_signal(signal.SIGTERM)
        self.wait_for(process, "drained")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(process.returncode, 1)

    def test_a_drain_that_fails_is_told_and_does_not_hold_up_the_end(self) -> None:
        process = self.start("--trouble", "drain")
        self.wait_for(process, "ready")
        process.send_signal(signal.SIGTERM)
        self.assertIn("a drain that fails", self.ended(process))


class RunningTests(DaemonTestCase):
    def test_two_daemons_in_one_directory(self) -> None:
        first, second = self.start(), self.start()
        for process in (first, second):
            self.wait_for(process, "ready")
            self.assertIsNone(process.poll())
        for process in (first, second):
            process.send_signal(signal.SIGTERM)
        for process in (first, second):
            self.ended(process)
        self.assertEqual([path.name for path in self.place.iterdir() if path.name.startswith("twistd")], [])

    def test_the_log_is_readable(self) -> None:
        process = self.start()
        said = self.wait_for(process, "ready")
        self.assertRegex(said.splitlines()[-1], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} info     tiny: ready$")

    def test_sighup_reads_the_configuration_again_and_keeps_the_old_one_if_it_is_wrong(self) -> None:
        path = self.place / "x.toml"
        path.write_text("[cache]\nmax_bytes = 1\n")
        process = self.start("--config", "x.toml")
        self.wait_for(process, "ready")
        path.write_text("[cache]\nmax_bytes = 2\n")
        process.send_signal(signal.SIGHUP)
        self.wait_for(process, "reloaded, max_bytes 2")
        path.write_text("[cache]\nmax_bytes = \n")
        process.send_signal(signal.SIGHUP)
        self.wait_for(process, f"the old configuration stays: {path}: line 2: Invalid value")
        process.send_signal(signal.SIGTERM)
        self.ended(process)

    def test_a_daemon_in_the_background_has_pid_and_log_in_the_state_directory(self) -> None:
        process = self.start(twistd=())
        _out, err = process.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual((process.returncode, err), (0, ""))
        pid = int((self.state / "tiny.pid").read_text())
        self.addCleanup(self.kill, pid)
        self.assertEqual(stat.S_IMODE(self.state.stat().st_mode), 0o700)
        self.assertTrue((self.state / "tiny.log").exists())
        again = self.start(twistd=())
        _out, err = again.communicate(timeout=PATIENCE_SECONDS)
        self.assertEqual(again.returncode, 1)
        self.assertIn(f"PID {pid}", err)

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
