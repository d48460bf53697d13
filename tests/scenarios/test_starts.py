"""Each daemon under twistd: a start that cannot be is one line and status 1, and SIGTERM is status 0."""

from __future__ import annotations

import re
import signal
import socket
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import trustme
from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.scenarios.running import Daemon, connect, exchange, is_listening, until

#: Daemon, and the table of its configuration whose listener ``--listen`` is about.
DAEMONS = {
    "scalekit-balancer": "balancer",
    "scalekit-cache": "cache",
    "scalekit-logs": "logs",
    "scalekit-data": "data",
    "scalekit-blog": "blog",
    "scalekit-all": "balancer",
}
#: The tables with a listener, for daemons that have several.
TABLES = {
    "scalekit-balancer": ["balancer", "registration"],
    "scalekit-all": ["balancer", "registration", "cache", "logs"],
}
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (debug|info|warn|error|critical) |    |$")


class Wrong(NamedTuple):
    """A start that cannot be: its configuration, and what its line has to say, as a regular expression."""

    toml: str
    expected: str


class StartCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)

    def start(self, name: str, label: str, toml: str) -> Daemon:
        """Start a daemon in a directory of its own, its files beside its configuration."""
        directory = self.directory / f"{name} {label}"
        directory.mkdir()
        (directory / "scalekit.toml").write_text(toml)
        started = Daemon(directory, name, "--config", "scalekit.toml", "--state-directory", "state")
        self.addCleanup(started.clean_up)
        return started

    def assert_log_only(self, started: Daemon) -> None:
        for line in started.stdout.splitlines():
            self.assertTrue(LOG_LINE.match(line), line)
        self.assertNotIn("Traceback", started.stdout)


def listeners(name: str, ports: list[int]) -> str:
    """The configuration of all listeners of a daemon."""
    tables = TABLES.get(name, [DAEMONS[name]])
    return "".join(
        f'[{table}]\nlisten = ["https://127.0.0.1:{port}"]\n' for table, port in zip(tables, ports, strict=False)
    )


class RefusalTests(StartCase):
    def refused(self, name: str, rows: dict[str, Wrong]) -> None:
        """All of these at once: a line each on stderr, status 1, and on stdout the log at most."""
        started = {}
        for label, row in rows.items():
            started[label] = self.start(name, label, row.toml)
        for label, daemon in started.items():
            status = daemon.wait()
            where = f"{name}, {label}: {daemon.stderr}"
            self.assertEqual(status, 1, where)
            self.assertRegex(daemon.stderr, rf"\A[^\n]*({rows[label].expected})[^\n]*\n\Z", where)
            self.assert_log_only(daemon)
            self.assertEqual(daemon.members(), {}, where)

    def files(self) -> dict[str, str]:
        """A certificate and keys that are none."""
        authority = trustme.CA()
        authority.issue_cert("localhost").cert_chain_pems[0].write_to_path(str(self.directory / "cert.pem"))
        (self.directory / "garbage.pem").write_bytes(bytes(range(256)))
        (self.directory / "directory.pem").mkdir(exist_ok=True)
        (self.directory / "file").touch()
        return {name: str(self.directory / name) for name in ("cert.pem", "garbage.pem", "directory.pem", "file")}

    def rows(self, name: str, taken: int) -> dict[str, Wrong]:
        table = DAEMONS[name]
        files = self.files()
        pair = f'{listeners(name, free_ports(4))}[tls]\ncertificate = "{files["cert.pem"]}"\nprivate_key = '
        return {
            "unknown key": Wrong(f'[{table}]\nlistne = ["https://127.0.0.1:0"]\n', rf"{table}\.listne: .*listen"),
            "unknown table": Wrong("[blagh]\n", r"blagh: .*blog"),
            "wrong type": Wrong(f"[{table}]\nlisten = 7\n", rf"scalekit\.toml: {table}\.listen: found 7, expected "),
            "no TOML": Wrong(f"[{table}\n", r"scalekit\.toml: line 1: "),
            "port in use": Wrong(
                listeners(name, [taken, *free_ports(3)]), f"https://127.0.0.1:{taken}: Address already in use"
            ),
            "key is a directory": Wrong(f'{pair}"{files["directory.pem"]}"\n', r"directory\.pem"),
            "key is garbage": Wrong(f'{pair}"{files["garbage.pem"]}"\n', r"garbage\.pem"),
            "key is missing": Wrong(f'{pair}"{files["file"]}.pem"\n', r"file\.pem"),
            "key is another's": Wrong(f'{pair}"{files["cert.pem"]}"\n', r"cert\.pem"),
        }

    def test_what_is_wrong_for_every_daemon(self) -> None:
        """All of it for one of them; for the others, what does not come from the same lines of ours."""
        with socket.create_server(("127.0.0.1", 0)) as held:
            for name in DAEMONS:
                rows = self.rows(name, held.getsockname()[1])
                if name != "scalekit-cache":
                    rows = {label: rows[label] for label in ("unknown key", "port in use", "key is garbage")}
                self.refused(name, rows)

    def test_a_state_directory_that_cannot_be_used(self) -> None:
        """A file in its place, or in the place of its parent."""
        places = [(name, "state") for name in DAEMONS] + [("scalekit-cache", "state/below")]
        started = []
        for number, (name, place) in enumerate(places):
            directory = self.directory / str(number)
            directory.mkdir()
            (directory / "state").touch()
            started.append(Daemon(directory, name, "--state-directory", place))
            self.addCleanup(started[-1].clean_up)
        for daemon in started:
            self.assertEqual(daemon.wait(), 1)
            self.assertRegex(daemon.stderr, r"\Astate_directory: found [^\n]*, expected a directory[^\n]*\n\Z")
            self.assertEqual(daemon.stdout, "")

    def test_places_of_its_own_that_cannot_be_used(self) -> None:
        """Where a daemon writes to, and what it is told to read."""
        self.files()
        file, directory = self.directory / "file", self.directory / "directory.pem"
        rows = {
            "scalekit-logs": {
                "directory": Wrong(f'directory = "{file}"', r"file: cannot be used as the log directory"),
                "tokens": Wrong(f'token_file = "{file}/none"', r"logs\.token_file: found .*none"),
            },
            "scalekit-cache": {"tokens": Wrong(f'token_file = "{directory}"', r"cache\.token_file: found .*directory")},
            "scalekit-data": {"database": Wrong(f'database = "{directory}"', r"data\.database: .*directory\.pem")},
            "scalekit-balancer": {"access log": Wrong(f'access_log = "{directory}"', r"access_log: found .*directory")},
        }
        for name, wrong in rows.items():
            for label, row in wrong.items():
                table, listen, rest = listeners(name, free_ports(2)).split("\n", 2)
                wrong[label] = row._replace(toml="\n".join((table, listen, row.toml, rest)))
            self.refused(name, wrong)

    def test_a_private_listener_that_everybody_could_reach(self) -> None:
        for name, table in DAEMONS.items():
            if table in ("cache", "logs", "data"):
                row = Wrong(
                    f'[{table}]\nlisten = ["https://0.0.0.0:0"]\n', rf"{table}\.(token_file|listen): .*0\.0\.0\.0"
                )
                self.refused(name, {"open": row})


class EndTests(StartCase):
    def test_sigterm_ends_every_daemon_with_status_0(self) -> None:
        """All at once: balancers take five seconds to say that they go."""
        running = {}
        for name in DAEMONS:
            ports = free_ports(4)
            running[name] = self.start(name, "runs", listeners(name, ports)), ports
        for name, (daemon, ports) in running.items():
            private = ports[1] if name in TABLES else ports[0]
            until(partial(is_listening, private), f"{name} listens")
            with closing(connect(daemon.state, private)) as connection:
                self.assertEqual(exchange(connection, "GET", "/ping").status, 200, name)
        for daemon, _ in running.values():
            daemon.send(signal.SIGTERM)
        for name, (daemon, _) in running.items():
            self.assertEqual(daemon.wait(), 0, f"{name}: {daemon.stdout}")
            self.assertEqual((daemon.stderr, daemon.members()), ("", {}), name)
            self.assert_log_only(daemon)
