"""``scalekit logs`` and ``scalekit why``, with a log of their own."""

from __future__ import annotations

import http.client
import json

from rich.table import Table

from scalekit.ops.cli import searching
from tests.ops.cli.commands import CommandCase, Done
from tests.ports import free_ports
from tests.scenarios.running import Daemon


class WithLogTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self.start("first")

    def start(self, name: str) -> None:
        self.daemon = Daemon(
            self.folder / name, "scalekit-logs", "--listen", self.url, "--state-directory", str(self.state)
        )
        self.addCleanup(self.daemon.clean_up)
        self.daemon.wait_for("listening on http")

    def test_a_tail_over_a_restart(self) -> None:
        """It goes on where it was; nothing is missing and nothing there twice."""
        self.write("one")

        def restart(seconds: float) -> None:
            if not self.passed:
                self.start("second")
                self.write("two", "three")
            self.passed += seconds

        def end(*arguments: object) -> None:
            shown(*arguments)  # type: ignore[arg-type]
            if not self.passed:
                self.daemon.clean_up()

        shown = searching._show_event
        self.patch(searching, "_show_event", end)
        self.patch(self, "sleep", restart)
        done = self.command("logs", "tail", "--after", "0", "-n", "3")
        self.assertEqual([line.split()[3] for line in done.stdout.splitlines()], ["one", "two", "three"], done)

    def write(self, *messages: str, level: str = "INFO", source: str = "shop") -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        lines = [json.dumps({"Level": level, "Source": source, "Message": message, "n": 7}) for message in messages]
        connection.request("POST", "/v1/entries", "\n".join(lines))
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()

    def command(self, *arguments: str) -> Done:
        return self.run_command(*arguments, "--logs", self.url)

    def test_all(self) -> None:
        self.write("one \x1b[31mred", "two id=ab-1 200", "three id=ab-12")
        self.write("four ab-1" + " and more" * 30, level="ERROR", source="app")
        lines = self.command("logs", "query").stdout.splitlines()
        self.assertEqual([line.split()[3] for line in lines], ["one", "two", "three", "four"])
        self.assertIn("INFO  shop one \ufffd[31mred n=7", lines[0])
        line = {"Timestamp": "2026-11-23T11:06:52.000000000Z", "Level": "ERROR", "Source": "shop", "Message": "bad"}
        told = searching.entry_line({**line, "Fields": {"traceback": "Traceback:\n  \x1b[2J1/0", "n": 7}}).plain
        self.assertEqual(told.partition("bad ")[2], "traceback=\n    Traceback:\n      \ufffd[2J1/0 n=7")
        told = searching.entry_line({**line, "Said": "0001-01-01T00:00:00Z"}).plain
        self.assertTrue(told.endswith(" bad said=0001-01-01T00:00:00Z"), told)
        self.assertIn("four", self.command("logs", "query", "level>=warn", "-n", "1", "--from", "1h").stdout)
        self.assertEqual(json.loads(self.command("logs", "query", "--json", "*red").stdout)["Sequence"], 1)

        done = self.command("why", "ab-1")
        self.assertEqual([line.split()[2:4] for line in done.stdout.splitlines()], [["shop", "two"], ["app", "four"]])
        self.assertEqual((self.command("why", "ab-3").status, self.command("why", "ab-3", "--json").stdout), (1, ""))

        done = self.command("logs", "tail", "--after", "1", "-n", "3", "--json")
        self.assertEqual([json.loads(line)["Sequence"] for line in done.stdout.splitlines()], [2, 3, 4])

        told = json.loads(self.command("logs", "stats", "--json").stdout)
        self.assertEqual((told["counts"]["accepted"], told["newest"], told["trouble"]), (4, 4, None))
        self.assertIn("accepted", self.command("logs", "stats").stdout)
        told["counts"]["syslog"] = {"udp": {"received": 5000, "kernel": 2}, "tcp": {"received": 1, "http": 1}}
        self.assertEqual(told["sinks"], [])
        sink = {"name": "otlp", "lag": 1200, "trouble": None, "sent": 7000, "rejected": 1, "refused": 2, "missed": 3}
        told["sinks"] = [sink, {**sink, "name": "b", "trouble": "connection refused"}]
        [rows] = searching.stats_lines(told)
        assert isinstance(rows, Table)
        found = list(zip(*([str(cell) for cell in column.cells] for column in rows.columns), strict=True))
        self.assertIn(("syslog", "5,001", "2 kernel, 1 http"), found)
        state = "to be sent; 7,000 were sent, 6 refused or missed"
        self.assertEqual(
            found[-2:], [("sink otlp", "1,200", state), ("sink b", "1,200", f"{state}; connection refused")]
        )
        for arguments, text in (
            (("logs", "query", 'a "b'), "400: At character 3 of the query: this quote is not closed."),
            (("logs", "tail", "level=loud"), "400: At character 7 of the query: "),
        ):
            done = self.command(*arguments)
            self.assertEqual((done.status, done.stdout), (1, ""), done)
            self.assertTrue(done.stderr.startswith(f"scalekit: {self.url}: {text}"), done.stderr)
