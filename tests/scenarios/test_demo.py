"""``twistd -n scalekit-all --demo N``: its life, however it ends, and its log under load."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.scenarios.running import Daemon, Demo, connect, exchange, is_listening, until

#: The contract gives Ctrl-C 3 s of draining, and the children another 2 s for their last log entries; the rest is for
#: machines that do much else.
FAREWELL_SECONDS = 30.0


class DemoCase(SynchronousTestCase):
    def directory(self) -> Path:
        return Path(self.mktemp()).absolute()

    def start(self, blogs: int = 2, has_terminal: bool = False) -> Demo:
        demo = Demo(self.directory(), blogs, has_terminal)
        self.addCleanup(demo.clean_up)
        return demo

    def assert_ended_well(self, demo: Daemon) -> None:
        """With status 0, nothing left, and nothing said that a person would worry about."""
        self.assertEqual(demo.wait(), 0, demo.stdout)
        self.assertEqual(demo.members(), {})
        self.assertEqual(demo.stderr, "")
        for word in ("Traceback", "Unhandled", " error ", " critical "):
            self.assertNotIn(word, demo.stdout)


class EndTests(DemoCase):
    def test_two_at_once_and_ctrl_c_in_a_terminal(self) -> None:
        """They do not know of each other; Ctrl-C is for the foreground process group, and is the parent's alone."""
        demos = [self.start(has_terminal=True), self.start(1)]
        for demo in demos:
            demo.greeted()
            self.assertEqual(demo.ask(demo.public, "GET", "/posts/1").status, 200)
            self.assertEqual(len(demo.members()), 2 + len(demo.blogs))
        demos[0].type(b"\x03")
        self.assert_ended_well(demos[0])
        self.assertEqual(demos[1].ask(demos[1].public, "GET", "/").status, 200)
        demos[1].send(signal.SIGINT)
        self.assert_ended_well(demos[1])

    def test_a_second_start_finds_what_the_first_has_left(self) -> None:
        """SIGTERM ends the first; its posts, its log and its CA are there in the second, whose terminal is closed."""
        demo = self.start(1)
        demo.greeted()
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(demo.ask(demo.public, "POST", "/posts", b"title=Kept&author=A&body=B", form).status, 303)
        ca = (demo.state / "tls" / "ca.pem").read_bytes()
        demo.send(signal.SIGTERM)
        self.assert_ended_well(demo)
        again = Demo(demo.directory, 1, has_terminal=True)
        self.addCleanup(again.clean_up)
        again.greeted(times=2)
        self.assertIn(b"Kept", again.ask(again.public, "GET", "/").body)
        self.assertEqual((again.state / "tls" / "ca.pem").read_bytes(), ca)
        again.hang_up()
        self.assert_ended_well(again)
        log = (again.state / "logs" / "log.txt").read_text()
        [name] = re.findall(r";blog:[0-9]+;POST /posts 303 .* id=(\S+)", log)
        self.assertRegex(log, f";data;POST /posts 201 .* id={re.escape(name)}\n")  # as `scalekit why` shows it
        times = [line.split(";")[0] for line in log.splitlines()]
        self.assertEqual(times, sorted(times))

    def test_a_parent_that_is_killed_takes_its_children_along(self) -> None:
        demo = self.start()
        demo.greeted()
        self.assertEqual(demo.end(signal.SIGKILL), -signal.SIGKILL)
        until(lambda: not demo.members(), f"no process left of {demo.members()}", FAREWELL_SECONDS)
        self.assertNotIn("Traceback", demo.stdout)

    def test_ctrl_c_while_it_starts(self) -> None:
        demo = self.start()
        # The children have been forked, and may not have come to set their process group.
        until(lambda: len(demo.members()) == 4, "four processes")
        demo.send(signal.SIGINT)
        self.assertEqual(demo.wait(), 0, demo.stdout)
        self.assertEqual(demo.members(), {})
        self.assertNotIn("Traceback", demo.stdout + demo.stderr)


class ChildrenTests(DemoCase):
    def test_a_child_that_is_killed_comes_back(self) -> None:
        """The others go on answering; the blog registers again by itself, the data service has its posts."""
        demo = self.start()
        demo.greeted()
        self.kill(demo, f"scalekit-blog.*:{demo.blogs[1]} ")
        self.kill(demo, "scalekit-data")
        both = {f"127.0.0.1:{port}": "up" for port in demo.blogs}
        until(lambda: demo.instances() == both, "both blogs are up")
        until(lambda: demo.ask(demo.public, "GET", "/posts/2").status == 200, "a page that is made anew")
        demo.send(signal.SIGINT)
        self.assertEqual(demo.wait(), 0)
        self.assertEqual(demo.members(), {})
        self.assertNotIn("Traceback", demo.stdout)

    def kill(self, demo: Demo, words: str) -> None:
        """Kill a child; the public side goes on, and it comes back as another process."""
        before = demo.member(words)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        until(lambda: before not in demo.members(), f"{words} is gone")
        self.assertEqual(demo.ask(demo.public, "GET", "/posts/1").status, 200)
        until(lambda: demo.member(words), f"{words} is back")


class RefusalTests(DemoCase):
    def refused(self, demo: Daemon) -> str:
        """The one line of a demo that cannot start."""
        self.assertEqual(demo.wait(), 1, demo.stdout)
        self.assertEqual(demo.members(), {})
        self.assertNotIn("Traceback", demo.stdout)
        self.assertEqual(demo.stderr.count("\n"), 1, demo.stderr)
        return demo.stderr

    def test_a_port_of_a_child_is_in_use(self) -> None:
        demo = self.start()
        demo.clean_up()
        with socket.create_server(("127.0.0.1", demo.blogs[1])):
            (demo.directory / "stderr").unlink()
            again = Daemon(demo.directory, *demo.arguments)
            self.addCleanup(again.clean_up)
            line = self.refused(again)
        self.assertEqual(line, f"cannot listen on https://127.0.0.1:{demo.blogs[1]}: Address already in use\n")

    def test_what_the_children_could_not_be_told(self) -> None:
        for table, url, expected in (
            ("data", "https://127.0.0.1:0", "data.listen: found https://127.0.0.1:0, expected a port"),
            ("cache", "unix:///tmp/x", "cache.listen: found unix:///tmp/x, expected a port"),
            ("blog", "https://127.0.0.1:65535", "blog.listen: found https://127.0.0.1:65535, expected 1 more"),
        ):
            directory = self.directory()
            directory.mkdir(parents=True)
            (directory / "scalekit.toml").write_text(f'[{table}]\nlisten = ["{url}"]\n')
            demo = Daemon(
                directory, "scalekit-all", "--demo", "2", "--config", "scalekit.toml", "--state-directory", "state"
            )
            self.addCleanup(demo.clean_up)
            self.assertIn(expected, self.refused(demo))


class Writer(threading.Thread):
    """Posts entries one by one or in batches, their times shuffled within a second, until told to stop."""

    def __init__(self, state: Path, port: int, name: str, over: threading.Event) -> None:
        super().__init__()
        self._state = state
        self._port = port
        self._source = name
        self._over = over
        self._random = random.Random(name)
        self.sent: dict[str, str] = {}
        self.acknowledged: set[str] = set()
        self.fault: Exception | None = None

    def run(self) -> None:
        while not self._over.is_set():
            connection = connect(self._state, self._port)
            try:
                while not self._over.is_set():
                    self._post(connection)
            except (OSError, http.client.HTTPException):
                # The daemon was killed. What was not acknowledged promises nothing, and is not sent again.
                self._over.wait(0.05)
            except Exception as fault:
                self.fault = fault
                return
            finally:
                connection.close()

    def _post(self, connection: http.client.HTTPSConnection) -> None:
        labels = [f"{self._source}-{len(self.sent) + number}" for number in range(self._random.choice([1, 1, 1, 20]))]
        lines = []
        for label in labels:
            moment = datetime.now(UTC) - timedelta(seconds=self._random.random())
            self.sent[label] = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            lines.append(
                json.dumps({"Level": "INFO", "Timestamp": self.sent[label], "Source": self._source, "Message": label})
            )
        path = "/" if len(lines) == 1 else "/v1/entries"
        answer = exchange(connection, "POST", path, "\n".join(lines).encode())
        if (answer.status, answer.json) != (200, {"accepted": len(lines)} | answer.json):
            raise AssertionError(f"{answer.status} {answer.body!r}")
        self.acknowledged.update(labels)


class LogTests(DemoCase):
    """Every acknowledged entry is in the file once, and the file is in the order of their times."""

    def load(self, state: Path, port: int) -> list[Writer]:
        """Start eight clients, which end with the test."""
        stop = threading.Event()
        writers = [Writer(state, port, f"load{number}", stop) for number in range(8)]

        def end() -> None:
            stop.set()
            for writer in writers:
                writer.join()

        self.addCleanup(end)
        for writer in writers:
            writer.start()
        self.end_load = end
        return writers

    def count(self, writers: list[Writer]) -> int:
        return sum(len(writer.acknowledged) for writer in writers)

    def check(self, state: Path, writers: list[Writer]) -> tuple[list[str], list[str]]:
        """Compare the files with what the clients know; the labels of ours in log.txt, and in log.txt.late."""
        self.assertEqual([writer.fault for writer in writers if writer.fault], [])
        sent = {label: time for writer in writers for label, time in writer.sent.items()}
        acknowledged = {label for writer in writers for label in writer.acknowledged}
        found = []
        for name in ("log.txt", "log.txt.late"):
            path = state / "logs" / name
            lines = [line.split(";", 3) for line in path.read_text().splitlines()] if path.exists() else []
            if name == "log.txt":
                self.assertEqual([line[0] for line in lines], sorted(line[0] for line in lines))
            found.append([line[3] for line in lines if line[2].startswith("load")])
        log, late = found
        self.assertEqual(len(log + late), len(set(log + late)), "something is there twice")
        self.assertEqual(acknowledged - set(log + late), set(), "something is missing")
        # The file has seconds; we know the microseconds.
        self.assertEqual([sent[label] for label in log], sorted(sent[label] for label in log))
        return log, late

    def test_the_demo_under_load(self) -> None:
        demo = self.start(1)
        demo.greeted()
        writers = self.load(demo.state, demo.logs)
        until(lambda: self.count(writers) > 3000, "3,000 entries acknowledged")
        self.end_load()
        demo.send(signal.SIGINT)
        self.assert_ended_well(demo)
        log, late = self.check(demo.state, writers)
        self.assertEqual(len(log + late), self.count(writers))
        # A machine that stands still between the two clocks can make some late.
        self.assertLess(len(late), len(log) / 10)

    def test_a_log_daemon_that_is_killed_under_load(self) -> None:
        directory = self.directory()
        (port,) = free_ports(1)
        arguments = ["scalekit-logs", "--listen", f"https://127.0.0.1:{port}", "--state-directory", "state"]
        first = Daemon(directory, *arguments)
        self.addCleanup(first.clean_up)
        until(lambda: is_listening(port), "the log daemon listens")
        writers = self.load(first.state, port)
        until(lambda: self.count(writers) > 1500, "1,500 entries acknowledged")
        self.assertEqual(first.end(signal.SIGKILL), -signal.SIGKILL)
        killed = self.count(writers)
        second = Daemon(directory, *arguments)
        self.addCleanup(second.clean_up)
        until(lambda: self.count(writers) > killed + 1500, "1,500 more")
        self.end_load()
        self.assertEqual(second.end(), 0)
        log, late = self.check(first.state, writers)
        # A machine that stands still between the two clocks can make some late.
        self.assertLess(len(late), len(log) / 10)
