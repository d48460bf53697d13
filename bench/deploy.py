"""
``python -m bench.deploy``: a deploy under load, by scalekit and by nginx.

Four app servers (gunicorn, uvicorn, granian, Twisted) are restarted by SIGTERM three times in turn, while eight clients
send GET and POST, take streams of five seconds and talk through WebSockets; the scenario is that of
``tests/scenarios/test_deploys.py``.  scalekit has them under ``scalekit run``, and the Twisted one by the kit; nginx
has a list of them, as it comes, and each gets the same SIGTERM and is started again.  A WebSocket that is closed with
1001 or 1012 and can be opened again is no failure.

Prints the tables and stores them: deploy.json, DEPLOY.rst, and the README between its marks (`bench.deployed`).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.deployed import BEGIN, END, Deploys, Restart, Run, report, run_of
from bench.machine import cores, machine, versions
from bench.proxies import missing, nginx_config, twistd
from bench.results import OURS, REFERENCE
from bench.servers import ROOT, Server, ServerFault, free_ports
from bench.table import between_marks
from tests.scenarios.daemons import ask
from tests.scenarios.deploying import NAMES, AppServer
from tests.scenarios.mixed_load import CLIENTS, GOING_AWAY, MixedLoad
from tests.scenarios.running import is_listening, until

HERE = Path(__file__).parent
STREAM_SECONDS = 5.0
RESTARTS = 3
#: Between two restarts, as a careful person would: the new one has its share by then.
PAUSE_SECONDS = 5.0
#: uvicorn's word at its end, "service restart" (registered by IANA); what a client does is the same.
SERVICE_RESTART = 1012


class Front(NamedTuple):
    """
    A load balancer that runs.

    :ivar await_taking: waits until a port takes requests, as far as one can know.
    :ivar again: how many requests it sent more than once, by its access log.
    """

    port: int
    await_taking: Callable[[int], None]
    again: Callable[[], int]


@contextmanager
def scalekit(folder: Path, ports: list[int], variables: dict[str, str]) -> Iterator[Front]:
    """Ours, with its defaults; app servers find it by ``variables``."""
    public, private = free_ports(2)
    config, log = folder / "scalekit.toml", folder / "access.log"
    config.write_text(
        f"""state_directory = "{folder}/state"
[balancer]
listen = ["http://127.0.0.1:{public}"]
access_log = "{log}"
[registration]
listen = ["http://127.0.0.1:{private}"]
"""
    )
    variables["SCALEKIT_BALANCER"] = f"http://127.0.0.1:{private}"

    def is_taking(port: int) -> bool:
        services = json.loads(ask(f"http://127.0.0.1:{private}/v1/services")[1])["services"]
        states = {one["port"]: one["state"] for service in services for one in service["instances"]}
        return states.get(port) in ("up", "warming")

    def again() -> int:
        return sum(json.loads(line)["attempts"] > 1 for line in log.read_text().splitlines())

    command = twistd("--pidfile=", "scalekit-balancer", "--config", str(config))
    with Server(OURS, command, cores()[0], folder, [public, private]):
        yield Front(public, lambda port: until(partial(is_taking, port), f"{port} takes requests"), again)


@contextmanager
def nginx(folder: Path, ports: list[int], variables: dict[str, str]) -> Iterator[Front]:
    """nginx, as its documentation has it for app servers with keep-alive and WebSockets."""
    public = free_ports(1)[0]
    config, log = folder / "nginx.conf", folder / "access.log"
    servers = " ".join(f"server 127.0.0.1:{port};" for port in ports)
    config.write_text(
        nginx_config(
            folder,
            f"""    log_format entry escape=json '{{"target":"$request_uri","upstream":"$upstream_addr"}}';
    access_log {log} entry;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream app {{ {servers} keepalive 32; }}
    server {{
        listen 127.0.0.1:{public};
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_read_timeout 1h;
        }}
    }}""",
        )
    )
    variables["SCALEKIT_BALANCER"] = ""

    def again() -> int:
        return sum("," in json.loads(line)["upstream"] for line in log.read_text().splitlines())

    with Server(REFERENCE, ["nginx", "-e", "stderr", "-c", str(config)], cores()[0], folder, [public]):
        yield Front(public, lambda port: until(partial(is_listening, port), f"{port} listens"), again)


#: How each runs, whether ``scalekit run`` stands before the app servers, and which codes of close tell a client that it
#: may come back.
FRONTS = {
    OURS: (scalekit, True, frozenset((GOING_AWAY,))),
    REFERENCE: (nginx, False, frozenset((GOING_AWAY, SERVICE_RESTART))),
}


def deploy(proxy: str, folder: Path, stream_seconds: float) -> Run:
    """
    The whole with one load balancer.

    :raises ServerFault, AssertionError: something does not start.
    """
    front_of, is_run, accepted = FRONTS[proxy]
    ports = free_ports(len(NAMES))
    variables = {"DEPLOY_APP_SECONDS": str(stream_seconds)}
    restarts = []
    with ExitStack() as running:
        front = running.enter_context(front_of(folder, ports, variables))
        servers = []
        for name, port in zip(NAMES, ports, strict=True):
            servers.append(AppServer(name, port, folder, variables, is_run))
            running.callback(servers[-1].stop)
        for port in ports:
            front.await_taking(port)
        with MixedLoad(front.port, stream_seconds, accepted=accepted) as load:
            for _ in range(RESTARTS):
                for server in servers:
                    time.sleep(PAUSE_SECONDS)
                    left = server.restart(front.await_taking)
                    restarts.append(Restart(*left))
                    print(
                        f"{proxy}: {left.server} restarted, {left.leaving_seconds:.1f} s to leave, "
                        f"{left.joining_seconds:.1f} s to be back, {len(load.faults)} failures so far",
                        file=sys.stderr,
                    )
            time.sleep(PAUSE_SECONDS)
        time.sleep(1)  # what is left of the access log is written
        return run_of(proxy, load, (folder / "posted").read_text().split(), front.again(), restarts)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.deploy", description=__doc__)
    parser.add_argument("--only", choices=list(FRONTS), help="this one; stores nothing")
    parser.add_argument("--stream-seconds", type=float, default=STREAM_SECONDS, help="other than 5: stores nothing")
    given = parser.parse_args()
    names = [given.only] if given.only else list(FRONTS)
    lacking = missing(["taskset", *([REFERENCE] if REFERENCE in names else [])])
    if lacking:
        print(f"bench.deploy needs {', '.join(lacking)}: install them with the system's packages", file=sys.stderr)
        return 1
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    deploys = Deploys(date, machine(), used_versions(), CLIENTS, given.stream_seconds, RESTARTS, PAUSE_SECONDS, [])
    with tempfile.TemporaryDirectory(prefix="scalekit-bench-") as name:
        for proxy in names:
            folder = Path(name, proxy)
            folder.mkdir()
            try:
                deploys.runs.append(deploy(proxy, folder, given.stream_seconds))
            except (ServerFault, AssertionError) as fault:
                print(f"{proxy} was not measured: {fault}", file=sys.stderr)
                return 1
            print(*deploys.runs[-1].faults, sep="\n", end="\n\n", file=sys.stderr)
    text = report(deploys)
    print(text)
    if not given.only and given.stream_seconds == STREAM_SECONDS:
        store(deploys, text)
    return int(any(run.failed or run.twice for run in deploys.runs if run.proxy == OURS))


def used_versions() -> dict[str, str]:
    """Of the programs that take part."""
    return {name: number for name, number in versions().items() if name in (OURS, REFERENCE, "python", "twisted")}


def store(deploys: Deploys, text: str) -> None:
    """deploy.json for programs, DEPLOY.rst for people, and the README where it has the marks."""
    (HERE / "deploy.json").write_bytes(msgspec.json.format(msgspec.json.encode(deploys), indent=1) + b"\n")
    (HERE / "DEPLOY.rst").write_text(text)
    readme = ROOT / "README.rst"
    readme.write_text(between_marks(readme.read_text(), text, BEGIN, END))


if __name__ == "__main__":
    sys.exit(main())
