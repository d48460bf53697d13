"""``scalekit cache get | put | purge | stats | top``: what a running cache holds, and how it does."""

from __future__ import annotations

import json
from typing import IO, Any
from urllib.parse import quote

import click
from rich.table import Table
from rich.text import Text

from scalekit.ops.cli.asking import CACHE, asking, plain, whom
from scalekit.ops.cli.running import Surroundings
from scalekit.ops.cli.showing import show, table


@click.group()
def cache() -> None:
    """Look into a running cache, store and purge, and see how it does."""


@cache.command()
@click.argument("key")
@asking(CACHE)
@click.pass_obj
def get(surroundings: Surroundings, /, key: str, **asked: Any) -> int:
    """Write the value of a key to the standard output, byte for byte."""
    told = whom(CACHE, surroundings, **asked).fetch("GET", _place(key))
    click.echo(told.body, nl=False)
    return 0


@cache.command()
@click.argument("key")
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--max-age", type=click.IntRange(0), help="For how many seconds it is fresh; needed, if the cache has no default."
)
@click.option("--while-revalidating", type=click.IntRange(0), help="Then: seconds while one client makes it anew.")
@click.option("--if-error", type=click.IntRange(0), help="Then: seconds in which it is better than nothing.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="By which it can be purged; repeatable.")
@asking(CACHE)
@click.pass_obj
def put(
    surroundings: Surroundings,
    /,
    key: str,
    file: IO[bytes],
    max_age: int | None,
    while_revalidating: int | None,
    if_error: int | None,
    tags: tuple[str, ...],
    **asked: Any,
) -> int:
    """Store what stands in a file, or comes from the standard input, under a key."""
    control = [] if max_age is None else [f"max-age={max_age}"]
    if while_revalidating is not None:
        control.append(f"stale-while-revalidate={while_revalidating}")
    if if_error is not None:
        control.append(f"stale-if-error={if_error}")
    fields = {"Cache-Control": ", ".join(control)} if control else {}
    if tags:
        # RFC 9875 section 2: a list of strings.
        fields["Cache-Groups"] = ", ".join('"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"' for tag in tags)
    value = file.read()
    told = whom(CACHE, surroundings, **asked).fetch("PUT", _place(key), roles=("write",), body=value, fields=fields)
    click.echo(f"{'stored' if told.status == 201 else 'replaced'}: {len(value)} bytes")
    return 0


@cache.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="All that bears it; repeatable.")
@click.option("--prefix", metavar="TEXT", help="All keys that begin so.")
@click.option("--all", "is_all", is_flag=True, help="Everything.")
@click.option("--soft", "is_soft", is_flag=True, help="Make it stale instead of removing it.")
@asking(CACHE)
@click.pass_obj
def purge(
    surroundings: Surroundings,
    /,
    keys: tuple[str, ...],
    tags: tuple[str, ...],
    prefix: str | None,
    is_all: bool,
    is_soft: bool,
    **asked: Any,
) -> int:
    """Purge keys, tags, a prefix, or everything: nobody is served it again."""
    named = {"keys": list(keys), "tags": list(tags), "all": is_all, "soft": is_soft}
    if prefix is not None:
        named["prefix"] = prefix
    cache = whom(CACHE, surroundings, **asked)
    told = cache.fetch("POST", "/v1/purge", roles=("write",), body=json.dumps(named).encode())
    where = "purged here, other caches hear of it once Redis is back" if told.status == 202 else "purged"
    click.echo(f"{where}; it was the cache's purge number {cache.said(told)['purge']}")
    return 0


@cache.command()
@click.option("--json", "is_json", is_flag=True, help="As the cache says it.")
@asking(CACHE)
@click.pass_obj
def stats(surroundings: Surroundings, /, is_json: bool, **asked: Any) -> int:
    """Show how much it holds, how often it has what is asked for, and what has left it and why."""
    said = whom(CACHE, surroundings, **asked).ask("GET", "/v1/stats")
    if is_json:
        click.echo(json.dumps(said, indent=2))
    else:
        show(*stats_lines(said))
    return 0


@cache.command()
@click.option("-n", "--most", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@click.option("--json", "is_json", is_flag=True, help="As the cache says it.")
@asking(CACHE)
@click.pass_obj
def top(surroundings: Surroundings, /, most: int, is_json: bool, **asked: Any) -> int:
    """Show the keys that are served most, and what share of all hits is theirs."""
    hottest = whom(CACHE, surroundings, **asked).ask("GET", "/v1/stats")["hottest"][:most]
    if is_json:
        click.echo(json.dumps(hottest, indent=2))
        return 0
    if not hottest:
        click.echo("nothing has been served yet")
        return 0
    rows = table("share of hits", "key", right=("share of hits",))
    for each in hottest:
        rows.add_row(Text(f"{each['share']:.1%}"), Text(plain(each["key"])))
    show(rows)
    return 0


def stats_lines(said: dict[str, Any]) -> list[Text | Table]:
    """What is shown of the counters."""
    asked = said["hits"] + said["misses"]
    share = f"{said['hits'] / asked:.1%}" if asked else "-"
    rows = table("what", "how much", "of it", right=("how much",))
    for what, how_much, of_it in (
        ("hits", f"{said['hits']:,}", f"{share} of {asked:,} look-ups, {said['stale']:,} of them stale"),
        ("bytes", f"{said['bytes']:,}", f"{said['bytes'] / said['max_bytes']:.1%} of {said['max_bytes']:,}"),
        ("entries", f"{said['entries']:,}", f"{said['tags']:,} tags"),
        ("stored", f"{said['stored']:,}", f"{said['refused']:,} refused, {said['voided']:,} purged while made"),
        ("evicted", f"{said['evicted']:,}", "there was no room"),
        ("expired", f"{said['expired']:,}", "their time was over"),
        ("purged", f"{said['invalidated']:,}", f"by {said['purges']:,} purges"),
        ("replaced", f"{said['replaced']:,}", "by something newer"),
        ("coming in", f"{said['fills']:,}", f"{said['reserved_bytes']:,} bytes are reserved for them"),
        ("leases", f"{said['leases']:,}", f"{said['waiting']:,} wait for what is being made"),
    ):
        rows.add_row(Text(what), Text(how_much), Text(of_it))
    return [rows]


def _place(key: str) -> str:
    return f"/v1/keys/{quote(key, safe='')}"
