"""App servers of all kinds under ``scalekit run``: what a restart under load loses is nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.ports import free_ports
from tests.scenarios.daemons import Balancer, ScenarioCase, ask, is_listening
from tests.scenarios.deploying import ASGI, NAMES, SCALEKIT, AppServer, address_outside
from tests.scenarios.mixed_load import GOING_AWAY, MixedLoad
from tests.scenarios.running import CHECKOUT, PATIENCE_SECONDS, Daemon, kill_session, until

#: How each server is told its port.
SERVERS = ASGI | {
    "gunicorn": ["gunicorn", "--workers=2", "--threads=8", "--bind=127.0.0.1:{port}", "tests.scenarios.deploy_app"],
}
#: Of the scenario's streams; bench/deploy.py has them take five.
STREAM_SECONDS = float(os.environ.get("SCALEKIT_TESTS_STREAM_SECONDS", "0.5"))
RESTARTS = 3
#: Of the faults; they come alone, or by the thousand.
MOST_SHOWN = 100


def command_of(server: Sequence[str], port: int) -> list[str]:
    """How a server is started by this interpreter."""
    return [sys.executable, "-m", *(part.format(port=port) for part in server)]


def in_flight(balancer: Balancer, port: int) -> Any:
    """How much an instance has to do."""
    return balancer.instances()[port]["in_flight"]


def is_gone(balancer: Balancer, port: int) -> bool:
    """Whether nothing is registered there any more."""
    return port not in balancer.states()


def is_another(port: int, before: set[bytes]) -> bool:
    """Whether a process that is none of these answers."""
    return ask(f"http://127.0.0.1:{port}/")[1] not in before


def have_ended(answers: set[bytes]) -> bool:
    """Whether the processes are gone that have answered with their numbers."""
    return not any(Path(f"/proc/{int(answer)}").exists() for answer in answers)


def has_logged(balancer: Balancer, request_id: str) -> bool:
    """Whether the balancer's access log has a request."""
    return any(line["request_id"] == request_id for line in balancer.access_log())


class RunCase(ScenarioCase):
    def run_behind(
        self, balancer: Balancer, port: int, *command: str, options: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """``scalekit run --port PORT OPTIONS -- COMMAND``."""
        front = [sys.executable, "-c", SCALEKIT, "run", "--port", str(port), *options, "--"]
        return self.launch(balancer.private_url, *front, *command)

    def launch(self, balancer_url: str, *command: str, **variables: str) -> subprocess.Popen[bytes]:
        """A process that finds its balancer in the environment; what it says is in ``self.output``."""
        self._started += 1
        self.output = self.folder / f"output-{self._started}"
        environ = os.environ | {
            "PYTHONPATH": str(CHECKOUT),
            "DEPLOY_APP_FILE": str(self.folder / "posted"),
            "DEPLOY_APP_SECONDS": str(STREAM_SECONDS),
            "HOME": str(self.folder),  # gunicorn has a socket there
            "TMPDIR": str(self.folder),  # the wrappers have a lock there
            "SCALEKIT_BALANCER": balancer_url,
        }
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=environ | variables,
                start_new_session=True,
            )
        self.addCleanup(process.wait)
        self.addCleanup(kill_session, process.pid)  # its workers too
        return process

    def await_taking(self, balancer: Balancer, *ports: int) -> None:
        """Wait until these get requests: of those that have company, a share that grows for ten seconds."""
        until(
            lambda: all(balancer.states().get(port) in ("up", "warming") for port in ports),
            f"{ports} take requests, but {balancer.states()}",
        )

    def assert_nothing_lost(self, load: MixedLoad, balancer: Balancer) -> None:
        if load.faults:
            # What its access log says of each; the last lines come half a second late.
            balancer.end()
            lines = balancer.access_log()
            said = [
                "\n    ".join([f"{fault}", *(str(line) for line in lines if line["target"].endswith(f"?{fault.name}"))])
                for fault in load.faults[:MOST_SHOWN]
            ]
            self.fail("\n".join([f"{len(load.faults)} failed", *said]))
        done = Counter((self.folder / "posted").read_text().split())
        self.assertEqual([name for name, times in done.items() if times > 1], [], "done twice")
        self.assertEqual(set(done), set(load.posted), "answered and not done, or done and not answered")
        self.assertGreater(load.count("POST"), 200)
        self.assertGreater(load.count("stream"), 2)


class DeployTests(RunCase):
    def test_each_restarted_three_times_under_load(self) -> None:
        """
        The headline: four app servers, restarted in turn, under GET, POST, streams and WebSockets.

        No request fails, no POST is done twice, streams are whole, and each WebSocket that ends is told to come back.
        """
        balancer = self.start_balancer()
        variables = {"SCALEKIT_BALANCER": balancer.private_url, "DEPLOY_APP_SECONDS": str(STREAM_SECONDS)}
        servers = []
        for name, port in zip(NAMES, free_ports(len(NAMES)), strict=True):
            servers.append(AppServer(name, port, self.folder, variables, is_run=True))
            self.addCleanup(servers[-1].stop)
        await_taking = partial(self.await_taking, balancer)
        await_taking(*(server.port for server in servers))
        with MixedLoad(balancer.clear, STREAM_SECONDS) as load:
            for server in servers * RESTARTS:
                until(partial(in_flight, balancer, server.port), "it has something to do")
                server.restart(await_taking)
        self.assert_nothing_lost(load, balancer)
        self.assertGreater(load.closed[GOING_AWAY], RESTARTS)
        self.assertNotIn("Traceback", balancer.stdout)


#: Servers that the wrappers are tried with.
WRAPPED = SERVERS | {
    "uvicorn with workers": [*SERVERS["uvicorn"], "--workers=2"],
    "hypercorn": ["hypercorn", "--bind=127.0.0.1:{port}", "tests.scenarios.deploy_app:app"],
}
#: Those that let the kit leave before they hear of SIGTERM.
PATIENT = ("gunicorn", "uvicorn", "uvicorn with workers")


class WrapperTests(RunCase):
    """The kit's wrappers by themselves, without ``scalekit run``."""

    def start_wrapped(self, balancer: Balancer, server: str, port: int) -> subprocess.Popen[bytes]:
        """A `wrapped_wsgi` or `wrapped_asgi` in a server, which registers itself."""
        wrapped = "wrapped_wsgi" if server == "gunicorn" else "wrapped_asgi"
        command = [part.replace("deploy_app", wrapped) for part in command_of(WRAPPED[server], port)]
        return self.launch(balancer.private_url, *command, SCALEKIT_PORT=str(port))

    def test_restarted_under_load(self) -> None:
        balancer = self.start_balancer()
        ports = dict(zip(PATIENT, free_ports(len(PATIENT)), strict=True))
        running = {server: self.start_wrapped(balancer, server, port) for server, port in ports.items()}
        self.await_taking(balancer, *ports.values())
        with MixedLoad(balancer.clear, STREAM_SECONDS, has_websockets=False) as load:
            for server, port in ports.items():
                until(partial(in_flight, balancer, port), "it has something to do")
                running[server].terminate()
                self.assertIn(running[server].wait(PATIENCE_SECONDS), (0, -signal.SIGTERM), server)
                self.assertNotIn(port, balancer.states())
                running[server] = self.start_wrapped(balancer, server, port)
                self.await_taking(balancer, port)
        self.assert_nothing_lost(load, balancer)

    def test_drained_by_an_operator_it_is_back_after_a_restart(self) -> None:
        """Whoever the supervisor starts in its place is of a higher generation."""
        balancer = self.start_balancer()
        ports = dict(zip(("gunicorn", "uvicorn"), free_ports(2), strict=True))

        def start(server: str) -> subprocess.Popen[bytes]:
            if server == "gunicorn":
                return self.start_wrapped(balancer, server, ports[server])
            command = command_of(SERVERS[server], ports[server])
            return self.run_behind(balancer, ports[server], *command, options=["--keep-alive=5"])

        running = {server: start(server) for server in ports}
        self.await_taking(balancer, *ports.values())
        known = balancer.instances()
        self.assertEqual([known[port]["keep_alive"] for port in ports.values()], [2, 5], "asked, and said")
        for server, port in ports.items():
            url = f"{balancer.private_url}/v1/services/default/instances/127.0.0.1:{port}"
            self.assertEqual(ask(url, "PATCH", body=b'{"state": "draining"}')[0], 200)
            until(partial(is_gone, balancer, port), "it is out")
            running[server].terminate()
            self.assertIn(running[server].wait(PATIENCE_SECONDS), (0, -signal.SIGTERM), server)
            self.assertNotIn(port, balancer.states())
            running[server] = start(server)
            self.await_taking(balancer, port)

    def test_workers_are_replaced(self) -> None:
        """SIGHUP: the port stays registered, whichever worker goes."""
        balancer = self.start_balancer()
        servers = ("gunicorn", "uvicorn with workers")
        ports = dict(zip(servers, free_ports(2), strict=True))
        running = {server: self.start_wrapped(balancer, server, port) for server, port in ports.items()}
        self.await_taking(balancer, *ports.values())
        before = {port: {ask(f"http://127.0.0.1:{port}/")[1] for _ in range(20)} for port in ports.values()}
        for process in running.values():
            process.send_signal(signal.SIGHUP)
        for port, answers in before.items():
            until(partial(is_another, port, answers), "others answer")
            until(partial(have_ended, answers), "the old ones have gone")
        self.assertNotIn("draining", balancer.stdout)
        self.assertNotIn("taken us out", "".join(path.read_text() for path in self.folder.glob("output-*")))
        for process in running.values():
            process.terminate()
        until(lambda: not balancer.states(), f"all are gone in the end, but {balancer.states()}")

    def test_a_reload_is_a_restart(self) -> None:
        balancer = self.start_balancer()
        port = free_ports(1)[0]
        source = self.folder / "source.py"
        source.touch()
        command = command_of(SERVERS["uvicorn"], port)[:-1]
        command += ["--reload", f"--reload-dir={self.folder}", "tests.scenarios.wrapped_asgi:app"]
        self.launch(balancer.private_url, *command, SCALEKIT_PORT=str(port))
        self.await_taking(balancer, port)
        before = ask(balancer.url(is_secure=False))[1]
        source.write_text("# changed")

        def is_another_taking() -> bool:
            status, body = ask(balancer.url(is_secure=False))
            return status == 200 and body != before

        until(is_another_taking, f"another answers through the balancer, but {balancer.states()}")

    def test_all_of_them_leave_in_the_end(self) -> None:
        balancer = self.start_balancer()
        ports = dict(zip(WRAPPED, free_ports(len(WRAPPED)), strict=True))
        running = {server: self.start_wrapped(balancer, server, port) for server, port in ports.items()}
        self.await_taking(balancer, *ports.values())
        for process in running.values():
            process.terminate()
        for server, process in running.items():
            self.assertIn(process.wait(PATIENCE_SECONDS), (0, -signal.SIGTERM), server)
        until(lambda: not balancer.states(), f"all are gone, but {balancer.states()}")
        self.assertNotIn("probes failed", balancer.stdout)

    def test_what_the_balancer_tells(self) -> None:
        """Whoever else asks is told nothing by the same fields."""
        balancer = self.start_balancer()
        for server in ("gunicorn", "uvicorn", "granian"):
            port = free_ports(1)[0]
            process = self.start_wrapped(balancer, server, port)
            self.await_taking(balancer, port)
            status, body = ask(balancer.url("/told"), ca=balancer.ca)
            client, scheme, request_id, trace = json.loads(body)
            self.assertEqual((status, client, scheme), (200, "127.0.0.1", "https"), server)
            self.assertRegex(trace, "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")
            until(partial(has_logged, balancer, request_id), "it is the one in the access log")
            process.terminate()
            process.wait(PATIENCE_SECONDS)


class RunTests(RunCase):
    """What else may happen to a command."""

    def run_stock(self, balancer: Balancer) -> tuple[int, subprocess.Popen[bytes], int]:
        """A `stock_app`, up: its port, ``scalekit run``, and its own process' number."""
        port = free_ports(1)[0]
        process = self.run_behind(balancer, port, sys.executable, "-m", "tests.scenarios.stock_app", str(port))
        balancer.await_up(port)
        return port, process, int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())

    def test_one_that_dies_is_out_at_once_and_we_end_as_it_did(self) -> None:
        balancer = self.start_balancer(health='interval = "500ms"\nfall = 100')  # no probe tells the balancer
        port, process, command = self.run_stock(balancer)
        os.kill(command, signal.SIGKILL)
        self.assertEqual(process.wait(PATIENCE_SECONDS), -signal.SIGKILL)
        self.assertNotIn(port, balancer.states())
        self.assertIn("ended by itself, by SIGKILL", self.output.read_text())

    def test_one_that_cannot_start_is_never_registered(self) -> None:
        balancer = self.start_balancer()
        process = self.run_behind(balancer, free_ports(1)[0], sys.executable, "-c", "import sys; sys.exit(7)")
        self.assertEqual(process.wait(PATIENCE_SECONDS), 7)
        self.assertEqual(balancer.states(), {})

    def test_it_does_not_outlive_us(self) -> None:
        port, process, _ = self.run_stock(self.start_balancer())
        process.kill()
        until(lambda: not is_listening(port), "the command has ended")

    def test_a_port_that_somebody_has(self) -> None:
        balancer = self.start_balancer()
        port, _, _ = self.run_stock(balancer)
        second = self.run_behind(balancer, port, sys.executable, "-m", "tests.scenarios.stock_app", str(port))
        self.assertEqual(second.wait(PATIENCE_SECONDS), 1)
        self.assertIn(f"somebody else listens on 127.0.0.1:{port} already", self.output.read_text())
        self.assertEqual(balancer.states(), {port: "up"})

    def test_sigterm_waits_for_what_is_in_flight_and_twice_does_not(self) -> None:
        balancer = self.start_balancer()
        for times in (1, 2):
            port, process, _ = self.run_stock(balancer)
            with ThreadPoolExecutor() as threads:
                slow = threads.submit(ask, balancer.url(f"/wait?seconds={2 if times == 1 else 60}", False))
                until(partial(in_flight, balancer, port), "the request is on its way")
                process.terminate()
                balancer.await_states({port: "draining"})
                if times == 2:
                    process.terminate()
                status, _ = slow.result(PATIENCE_SECONDS)
            self.assertEqual(status, 200 if times == 1 else 502)
            self.assertEqual(process.wait(PATIENCE_SECONDS), -signal.SIGTERM)

    def test_the_balancer_is_away_for_a_while(self) -> None:
        balancer = self.start_balancer()
        port, process, _ = self.run_stock(balancer)
        balancer.process.kill()
        balancer.wait()
        until(lambda: "trying on" in self.output.read_text(), "it is told of")
        self.assertEqual(ask(f"http://127.0.0.1:{port}/x"), (200, f"{port} /x\n".encode()))
        again = Daemon(balancer.directory, *balancer.arguments)
        self.addCleanup(again.clean_up)
        until(lambda: is_listening(balancer.private) and balancer.states() == {port: "up"}, "it is registered again")
        self.assertEqual(ask(balancer.url("/x", False)), (200, f"{port} /x\n".encode()))
        process.terminate()
        self.assertEqual(process.wait(PATIENCE_SECONDS), -signal.SIGTERM)

    def test_a_balancer_elsewhere_wants_to_know_that_the_application_agrees(self) -> None:
        """The wrapper in the application does, with what ``scalekit run`` has been told; or an operator vouches."""
        address = address_outside()
        for name in ("register", "operator"):
            (self.folder / name).write_text(f"{name} {name}-12345678\n")
        (self.folder / "tokens").write_text("register register-12345678\noperator operator-12345678\n")
        private, public, *ports = free_ports(5)
        url, here = f"http://{address}:{private}", f"http://127.0.0.1:{private}"
        (self.folder / "scalekit.toml").write_text(
            f'[registration]\nlisten = ["{url}", "{here}"]\ntoken_file = "tokens"\n'
            f'[balancer]\nlisten = ["http://127.0.0.1:{public}"]\n[balancer.health]\ninterval = "200ms"\n'
        )
        daemon = Daemon(self.folder, "scalekit-balancer", "--config", "scalekit.toml", "--state-directory", "state")
        self.addCleanup(daemon.clean_up)
        until(lambda: is_listening(private) and is_listening(public), "the balancer listens")
        rows = [
            ("wrapped_asgi", "register", []),
            ("deploy_app", "register", []),
            ("deploy_app", "operator", ["--vouch"]),
        ]
        for port, (module, token, more) in zip(ports, rows, strict=True):
            options = [f"--port={port}", f"--host={address}", f"--token-file={token}", *more]
            server = ["uvicorn", f"--host={address}", "--port={port}", f"tests.scenarios.{module}:app"]
            self.launch(url, sys.executable, "-c", SCALEKIT, "run", *options, "--", *command_of(server, port))

        def states() -> list[str]:
            [service] = json.loads(ask(f"{here}/v1/services")[1])["services"] or [{"instances": []}]
            found = {one["port"]: one["state"] for one in service["instances"]}
            return [found.get(port, "").replace("warming", "up") for port in ports]

        until(lambda: states() == ["up", "down", "up"], "those who agree get requests, and the other one does not")

    def test_it_begins_as_in_a_shell(self) -> None:
        """Python ignores SIGPIPE, and so would its children; and there is nothing to read."""
        port = free_ports(1)[0]
        process = self.run_behind(self.start_balancer(), port, "sh", "-c", "cat; grep SigIgn /proc/self/status; exit 3")
        self.assertEqual(process.wait(PATIENCE_SECONDS), 3)
        ignored = re.search("SigIgn:\t([0-9a-f]+)", self.output.read_text())
        self.assertEqual(int(ignored[1], 16) & (1 << signal.SIGPIPE - 1) if ignored else None, 0)
