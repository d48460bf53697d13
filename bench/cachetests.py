"""
``python -m bench.cachetests``: the public suite for HTTP caches (cache-tests.fyi) against the balancer's.

It gets the npm package ``http-cache-tests`` into a temporary folder, which is an older edition than the site's;
``--suite DIR`` takes a checkout of a newer one in which ``npm install`` was run.  The suite's own origin, bound to
127.0.0.1, is the only app server.  Prints how many tests of each kind passed, as the site counts them (a test whose
prerequisite failed has not), and what became of all others; ``--cookies`` has answers that set cookies kept too, which
the suite expects and the balancer does not do by itself.  Wants node and npm.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.machine import cores
from bench.proxies import missing, twistd
from bench.servers import Server, free_ports

EDITION = "http-cache-tests@0.4.5"
#: What the edition imports; its package wants an old npm as well, which is not needed to run it.
FETCHES = "node-fetch@2"
#: The suite waits three seconds in most of its tests, a hundred of them side by side.
MOST_SECONDS = 300

#: What the edition of the npm package expects and the standards do not any more, by the beginning of its tests' names.
OVERTAKEN = {
    "age-parse-": "RFC 9111 section 5.1: the first of several counts, and what is no number is left aside",
    "stale-close-": "it takes the 502 of a proxy whose origin is gone for an answer out of the cache",
}

#: Whatever listens does so on the loopback address: the suite itself listens on all of them.
_ONLY_LOOPBACK = """
const net = require('net')
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (port, ...rest) {
  if (typeof port !== 'number' && typeof port !== 'string') return listen.call(this, port, ...rest)
  return listen.call(this, { port: Number(port), host: '127.0.0.1' }, ...rest.filter(one => typeof one === 'function'))
}
"""

#: What there is to run; the npm edition leaves one of its files out of the index.
_LIST = """
const suite = process.argv[2]
const { default: suites } = await import(suite + '/tests/index.mjs')
try { suites.push((await import(suite + '/tests/surrogate-control.mjs')).default) } catch {}
const tests = suites.flatMap(one => one.tests).filter(test => !test.browser_only)
console.log(JSON.stringify(tests.map(({ id, kind, depends_on: after }) => [id, kind || 'required', after || []])))
"""


class Test(NamedTuple):
    """
    One test.

    :ivar kind: ``required``, ``optimal``, or ``check``, which only tells what a cache does.
    :ivar after: the tests without which it says nothing.
    """

    id: str
    kind: str
    after: tuple[str, ...]


def verdicts(tests: Iterable[Test], results: Mapping[str, Any]) -> dict[str, str]:
    """
    What became of each test, by its id: empty if it passed, else why it did not.

    :param results: True, or ``[kind of failure, message]``, by id.
    """
    by_id = {test.id: test for test in tests}
    known: dict[str, str] = {}

    def verdict(test: Test) -> str:
        if test.id not in known:
            result = results.get(test.id)
            known[test.id] = "" if result is True else "was not run" if result is None else str(result[1])
            for other in test.after:
                if other in by_id and verdict(by_id[other]):
                    known[test.id] = f"needs {other}"
                    break
        return known[test.id]

    return {id: verdict(test) for id, test in by_id.items()}


def report(tests: list[Test], results: Mapping[str, Any], is_npm_edition: bool) -> str:
    """All failures, and the sums."""
    found = verdicts(tests, results)
    lines = []
    for kind in ("required", "optimal"):
        for test in tests:
            if test.kind == kind and found[test.id]:
                why = overtaken(test.id) if is_npm_edition else ""
                lines.append(f"{kind:9}{test.id}: {found[test.id]}{f'  [{why}]' if why else ''}")
    for kind in ("required", "optimal", "check"):
        mine = [test for test in tests if test.kind == kind]
        passed = sum(not found[test.id] for test in mine)
        line = f"{kind}: {passed} of {len(mine)}"
        old = sum(bool(found[test.id] and overtaken(test.id)) for test in mine) if is_npm_edition else 0
        lines.append(f"{line}; {old} of the others are overtaken" if old else line)
    return "\n".join(lines)


def overtaken(id: str) -> str:
    """Why the npm edition's test no longer holds; empty if it does."""
    return next((why for start, why in OVERTAKEN.items() if id.startswith(start)), "")


def configuration(folder: Path, port: int, registration: int, origin: int, keeps_cookies: bool) -> str:
    """
    That of the balancer; nothing but what the suite needs differs from the defaults.

    Its origin has no ``/ping``; it serves the files of the directory in which it was started.
    """
    return f"""state_directory = "{folder}/state"
[balancer]
listen = ["http://127.0.0.1:{port}"]
[balancer.http_cache]
enabled = true
cookies = {"true" if keeps_cookies else "false"}
[balancer.health]
path = "/LICENSE"
[[balancer.service]]
servers = ["http://127.0.0.1:{origin}"]
[registration]
listen = ["https://127.0.0.1:{registration}"]
"""


def fetch(folder: Path) -> Path:
    """The npm edition."""
    for command in (
        ["npm", "pack", "--silent", EDITION],
        ["npm", "install", "--silent", "--no-save", "--ignore-scripts", FETCHES],
    ):
        subprocess.run(command, cwd=folder, check=True, timeout=MOST_SECONDS, stdout=subprocess.DEVNULL)
    for archive in folder.glob("http-cache-tests-*.tgz"):
        subprocess.run(["tar", "xzf", archive.name], cwd=folder, check=True)
    return folder / "package"


def run(suite: Path, folder: Path, keeps_cookies: bool) -> tuple[list[Test], dict[str, Any]]:
    """What there is to run, and what came of it."""
    engine = suite / "test-engine" if (suite / "test-engine").is_dir() else suite
    (folder / "loopback.cjs").write_text(_ONLY_LOOPBACK)
    (folder / "list.mjs").write_text(_LIST)
    listed = _output(["node", str(folder / "list.mjs"), str(suite)], suite)
    tests = [Test(id, kind, tuple(after)) for id, kind, after in json.loads(listed)]
    origin, port, registration = free_ports(3)
    ours, theirs = cores()
    settings = {"protocol": "http", "port": str(origin), "pidfile": str(folder / "origin.pid")}
    environment = [f"npm_config_{name}={value}" for name, value in settings.items()]
    node = ["node", "--require", str(folder / "loopback.cjs"), str(engine / "server" / "server.mjs")]
    config = folder / "scalekit.toml"
    config.write_text(configuration(folder, port, registration, origin, keeps_cookies))
    balancer = twistd("scalekit-balancer", "--config", str(config))
    with (
        Server("origin", ["env", *environment, *node], theirs, folder, [origin]),
        Server("scalekit", balancer, ours, folder, [port, registration]),
    ):
        # Without a name of a test all are run; npm itself would set this to an empty string.
        told = {"npm_config_base": f"http://127.0.0.1:{port}", "npm_package_config_id": ""}
        said = _output(["node", "--no-warnings", str(engine / "cli.mjs")], suite, told)
    return tests, json.loads(said[said.index("{\n") :])


def _output(command: list[str], cwd: Path, told: Mapping[str, str] | None = None) -> str:
    environment = {**os.environ, **(told or {})}
    done = subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, timeout=MOST_SECONDS, check=True)
    return done.stdout.decode()


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the public suite for HTTP caches against the balancer.")
    parser.add_argument("--suite", type=Path, help="a checkout of the suite, instead of the npm package")
    parser.add_argument("--cookies", action="store_true", help="keep answers that set cookies")
    parser.add_argument("--json", type=Path, help="write the suite's own results there, as its site takes them")
    options = parser.parse_args()
    if absent := missing(["node", "npm"]):
        print(f"not installed: {', '.join(absent)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="scalekit-cachetests-") as name:
        folder = Path(name)
        suite = fetch(folder) if options.suite is None else options.suite.resolve()
        tests, results = run(suite, folder, options.cookies)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    print(report(tests, results, options.suite is None))
    return 0


if __name__ == "__main__":
    sys.exit(main())
