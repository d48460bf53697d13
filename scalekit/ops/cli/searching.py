"""``scalekit logs query | tail | stats`` and ``scalekit why``: what a running log has, and what it is getting."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from urllib.parse import urlencode

import click
from rich.table import Table
from rich.text import Text

from scalekit.ops.cli.asking import LOGS, Asking, Lost, asking, plain, whom
from scalekit.ops.cli.running import Surroundings
from scalekit.ops.cli.showing import show, table

#: The log says that it is there every quarter of a minute.
_SILENT_SECONDS = 40.0
#: The log looks for ten seconds, after others who have asked before.
_SEARCH_SECONDS = 60.0
#: As long as a browser waits before it asks again.
_AGAIN_SECONDS = 2.0
#: More than a request can have written that somebody is to read.
_STORY_LINES = 1000

_COLOURS = {"DEBUG": "dim", "INFO": "green", "WARN": "yellow", "ERROR": "red", "PANIC": "bold red"}


@click.group()
def logs() -> None:
    """Search a running log, follow it, and see how it does."""


@logs.command()
@click.argument("terms", nargs=-1, metavar="[TERM]...")
@click.option("--from", "since", metavar="TIME", help="RFC 3339, or a time ago such as 15m.")
@click.option("--to", "until", metavar="TIME", help="The same.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most.")
@click.option("--json", "is_json", is_flag=True, help="As the log says it, the newest first.")
@asking(LOGS)
@click.pass_obj
def query(
    surroundings: Surroundings,
    /,
    terms: tuple[str, ...],
    since: str | None,
    until: str | None,
    limit: int,
    is_json: bool,
    **asked: Any,
) -> int:
    """
    Show the last entries in which all of this holds, the newest at the end.

        scalekit logs query timeout 'level>=warn' 'source:shop-*' from:15m
    """
    given = {"q": " ".join(terms), "from": since or "", "to": until or "", "limit": str(limit)}
    lines, partial = _found(whom(LOGS, surroundings, **asked), given)
    if is_json:
        for line in lines:
            click.echo(line)
    else:
        show(*(entry_line(json.loads(line)) for line in reversed(lines)))
    _tell_partial(partial, "back to")
    return 0


@logs.command()
@click.argument("terms", nargs=-1, metavar="[TERM]...")
@click.option("--after", type=click.IntRange(0), help="Go on from this sequence number.")
@click.option("-n", "--count", type=click.IntRange(1), help="End after so many.")
@click.option("--json", "is_json", is_flag=True, help="As the log says it.")
@asking(LOGS)
@click.pass_obj
def tail(
    surroundings: Surroundings,
    /,
    terms: tuple[str, ...],
    after: int | None,
    count: int | None,
    is_json: bool,
    **asked: Any,
) -> int:
    """Show entries as they come, until Ctrl-C; also over restarts of the log, without a gap."""
    log = whom(LOGS, surroundings, **asked)
    last = "" if after is None else str(after)
    left = count
    has_begun = False
    while True:
        try:
            fields = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            target = f"/v1/tail?{urlencode({'q': ' '.join(terms)})}"
            with log.opened("GET", target, _SILENT_SECONDS, fields=fields) as answer:
                has_begun = True
                kind = ""
                for line in answer:
                    name, _, value = line.decode("utf-8", "replace").rstrip("\n").partition(": ")
                    if name == "id":
                        last = value
                    elif name == "event":
                        kind = value
                    elif name == "data":
                        _show_event(kind, value, is_json)
                        left = left - 1 if left is not None and not kind else left
                        kind = ""
                    if left == 0:
                        return 0
        except Lost:
            if not has_begun:
                raise
        surroundings.sleep(_AGAIN_SECONDS)


def _show_event(kind: str, data: str, is_json: bool) -> None:
    if kind == "gap":
        count = json.loads(data)["count"]
        how_many = "an unknown number of" if count is None else f"up to {count:,}"
        click.echo(f"scalekit: {how_many} entries are not in the log any more", err=True)
    elif is_json:
        click.echo(data)
    else:
        show(entry_line(json.loads(data)))


@logs.command()
@click.option("--json", "is_json", is_flag=True, help="As the log says it.")
@asking(LOGS)
@click.pass_obj
def stats(surroundings: Surroundings, /, is_json: bool, **asked: Any) -> int:
    """Show what it has taken, refused and removed, and what is on its disk."""
    said = whom(LOGS, surroundings, **asked).ask("GET", "/v1/stats", _SEARCH_SECONDS)
    if is_json:
        click.echo(json.dumps(said, indent=2))
    else:
        show(*stats_lines(said))
    return 0


@click.command()
@click.argument("request_id")
@click.option("--json", "is_json", is_flag=True, help="As the log says it.")
@asking(LOGS)
@click.pass_obj
def why(surroundings: Surroundings, /, request_id: str, is_json: bool, **asked: Any) -> int:
    """
    Tell what became of a request: the balancer's line and the app servers', in order.

    Its id is in X-Request-ID, of what app servers get and of the answer.  The exit status is 1 if the log has nothing
    of it.
    """
    quoted = request_id.replace("\\", "\\\\").replace('"', '\\"')
    given = {"q": f'"{quoted}"', "order": "asc", "limit": str(_STORY_LINES)}
    lines, partial = _found(whom(LOGS, surroundings, **asked), given)
    if is_json:
        for line in lines:
            click.echo(line)
    else:
        show(*(entry_line(json.loads(line)) for line in lines))
    _tell_partial(partial, "up to")
    if not lines:
        click.echo(f"scalekit: nothing in the log has {plain(request_id)}", err=True)
    return 0 if lines else 1


def _found(log: Asking, given: dict[str, str]) -> tuple[list[str], dict[str, Any] | None]:
    """The lines that are found, and what is said if they are not all."""
    told = log.fetch(
        "GET", f"/v1/query?{urlencode({name: value for name, value in given.items() if value})}", _SEARCH_SECONDS
    )
    lines = told.body.decode("utf-8", "replace").split("\n")[:-1]
    if lines and lines[-1].startswith('{"Partial":'):
        return lines[:-1], json.loads(lines[-1])
    return lines, None


def _tell_partial(said: dict[str, Any] | None, which: str) -> None:
    if said is not None and said["Partial"] == "damaged":
        click.echo("scalekit: not all: some of the log cannot be read; scalekit logs fsck tells what", err=True)
    elif said is not None and said["Partial"] != "rows":
        click.echo(f"scalekit: not all: the {said['Partial']} ran out; complete {which} {said['Until']}", err=True)


def entry_line(entry: dict[str, Any]) -> Text:
    """
    An entry for people: its time to the millisecond, level, source, message, its fields, and the time that it said if
    that was not believed.
    """
    level = entry["Level"]
    line = Text.assemble(
        (f"{entry['Timestamp'][:23]}Z", "dim"),
        " ",
        (f"{level:5}", _COLOURS.get(level, "")),
        " ",
        (plain(entry["Source"]), "cyan"),
        " ",
        _lines(entry["Message"]),
    )
    said = {"said": entry["Said"]} if "Said" in entry else {}
    for name, value in {**entry.get("Fields", {}), **said}.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        line.append(f" {plain(name)}={_lines(text)}", "dim")
    return line


def _lines(text: str) -> str:
    """As `plain`; a text of several lines, such as a traceback, keeps them, where none looks like another entry."""
    lines = [plain(line) for line in text.split("\n")]
    return lines[0] if len(lines) == 1 else "".join(f"\n    {line}" for line in lines)


def stats_lines(said: dict[str, Any]) -> list[Text | Table]:
    """What is shown of the counters."""
    rows = table("what", "how much", "of it", right=("how much",))
    counts = said["counts"]
    refused = counts["refused"]
    refusals = [f"{count:,} {reason}" for reason, count in refused.items()]
    syslog: Counter[str] = sum((Counter(each) for each in counts["syslog"].values()), Counter())
    received = syslog.pop("received", 0)
    losses = [f"{count:,} {reason}" for reason, count in syslog.items()]
    for what, how_much, of_it in (
        (
            "entries",
            said["entries"],
            f"in {said['volumes']:,} volume{'s'[: said['volumes'] != 1]}, from {said['oldest'] or '-'}",
        ),
        ("bytes", said["bytes"], "of these, as NDJSON, not compressed"),
        ("accepted", counts["accepted"], f"{counts['repeated']:,} more were repeats, {counts['late']:,} came late"),
        ("over budget", counts["over_budget"], "of their sources"),
        ("refused", sum(refused.values()), ", ".join(refusals)),
        ("rejected", counts["rejected"], "malformed"),
        ("syslog", received, ", ".join(losses)),
        ("dropped", counts["dropped"], "of the log's own process"),
        ("redacted", sum(counts["redacted"].values()), "secrets were taken out"),
        ("expired", sum(counts["expired"].values()), "removed with the oldest volumes"),
        ("indexed", counts["indexed"], f"volumes, {counts['index_damaged']:,} indexes were damaged"),
        ("waiting", said["waiting_bytes"], "bytes for their place in time"),
    ):
        rows.add_row(Text(what), Text(f"{how_much:,}"), Text(of_it))
    for sink in said.get("sinks", ()):
        lost = sink["rejected"] + sink["refused"] + sink["missed"]
        state = f"{sink['sent']:,} were sent, {lost:,} refused or missed"
        state += f"; {plain(sink['trouble'])}" if sink["trouble"] else ""
        rows.add_row(Text(f"sink {plain(sink['name'])}"), Text(f"{sink['lag']:,}"), Text(f"to be sent; {state}"))
    trouble = [Text(plain(said["trouble"]), "bold red")] if said["trouble"] else []
    return [*trouble, rows]
