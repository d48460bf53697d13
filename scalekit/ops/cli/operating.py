"""``scalekit status | drain | undrain | forget | explain``: of a running balancer; app servers out of it, and back."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import click
from rich.table import Table
from rich.text import Text

from scalekit.ops.cli.asking import ANSWER_SECONDS, BALANCER, Asking, Refused, asking, plain, whom
from scalekit.ops.cli.running import Surroundings
from scalekit.ops.cli.showing import show, table

#: Of states, as on the dashboard: well, in between, and not.
_COLOURS = {
    "up": "green",
    "warming": "cyan",
    "joining": "cyan",
    "suspect": "yellow",
    "draining": "yellow",
    "drained": "yellow",
}
#: A balancer may wait for less than it is asked to: then it is asked again.
AGAIN_SECONDS = 0.5
_NUMBERS = ("in flight", "score", "since")


@click.command()
@click.option("--service", metavar="NAME", help="This one only.")
@click.option("--json", "is_json", is_flag=True, help="As the balancer says it.")
@asking(BALANCER)
@click.pass_obj
def status(surroundings: Surroundings, /, service: str | None, is_json: bool, **asked: Any) -> int:
    """Show services and their app servers: state, reason, and what is in flight."""
    balancer = whom(BALANCER, surroundings, **asked)
    if service is None:
        said = balancer.ask("GET", "/v1/services")
        services = said["services"]
    else:
        said = balancer.ask("GET", f"/v1/services/{quote(service, safe='')}")
        services = [said]
    if is_json:
        click.echo(json.dumps(said, indent=2))
        return 0
    show(*(line for view in services for line in service_lines(view)))
    if not services:
        click.echo("no services")
    return 0


@click.command()
@click.argument("service")
@click.argument("instance")
@click.option(
    "--wait",
    type=click.FloatRange(0.0, 86400.0),
    default=30.0,
    show_default=True,
    help="Seconds to wait until nothing is in flight, if the balancer lets it take so long.",
)
@asking(BALANCER)
@click.pass_obj
def drain(surroundings: Surroundings, /, service: str, instance: str, wait: float, **asked: Any) -> int:
    """
    Take an app server out: nothing new goes there, what is in flight ends.

    One that has registered is back when it registers anew, one of the configuration by ``scalekit undrain`` or when the
    balancer is restarted.  The exit status is 1 if something is in flight still when the wait is over.
    """
    said = _drained(surroundings, whom(BALANCER, surroundings, **asked), service, instance, wait)
    if said["state"] in ("gone", "drained"):
        click.echo(f"{instance} of {service} is out: {plain(said['reason'])}")
        return 0 if not said["in_flight"] else 1
    click.echo(f"{instance} of {service} is draining: {said['in_flight']} in flight")
    return 1 if wait else 0


def _drained(surroundings: Surroundings, balancer: Asking, service: str, instance: str, wait: float) -> dict[str, Any]:
    """Drain it, and wait; what the balancer says of it in the end."""
    place = f"/v1/services/{quote(service, safe='')}/instances/{quote(instance, safe=':[]')}"
    roles = (f"register:{service}", "register")
    until = surroundings.steady() + wait
    said = None
    while True:
        left = max(0.0, until - surroundings.steady())
        try:
            said = balancer.ask("POST", f"{place}/drain?wait={left:.3f}", left + ANSWER_SECONDS, roles)
        except Refused as fault:
            if said is None or fault.status != 404:
                raise
            return said | {"state": "gone", "reason": "it has gone", "in_flight": 0}  # between the two questions
        if said["state"] != "draining" or surroundings.steady() + AGAIN_SECONDS >= until:
            return said
        surroundings.sleep(AGAIN_SECONDS)


@click.command()
@click.argument("service")
@click.argument("instance")
@asking(BALANCER)
@click.pass_obj
def undrain(surroundings: Surroundings, /, service: str, instance: str, **asked: Any) -> int:
    """Take back an app server of the configuration that was drained."""
    place = f"/v1/services/{quote(service, safe='')}/instances/{quote(instance, safe=':[]')}"
    said = whom(BALANCER, surroundings, **asked).ask("PATCH", place, body={"state": "joining"})
    click.echo(f"{instance} of {service} is {said['state']}: {plain(said['reason'])}")
    return 0


@click.command()
@click.argument("service")
@asking(BALANCER)
@click.pass_obj
def forget(surroundings: Surroundings, /, service: str, **asked: Any) -> int:
    """
    Let go of a service's routes now that its app servers are gone for good.

    Without it they are kept for ten minutes, in which requests get 503 and not some other service's answer.
    """
    said = whom(BALANCER, surroundings, **asked).ask("DELETE", f"/v1/services/{quote(service, safe='')}")
    click.echo(f"{service} has no routes any more: {plain('  '.join(said['forgotten']))}")
    return 0


@click.command()
@click.argument("url")
@click.option("--method", default="GET", show_default=True)
@click.option("--header", "headers", metavar="NAME:VALUE", multiple=True, help="A field of the request; repeatable.")
@click.option("--json", "is_json", is_flag=True, help="As the balancer says it.")
@asking(BALANCER)
@click.pass_obj
def explain(
    surroundings: Surroundings, /, url: str, method: str, headers: tuple[str, ...], is_json: bool, **asked: Any
) -> int:
    """
    Say where a request would go, and why; it is not sent.

        scalekit explain https://shop.example/cart --header 'Cookie: session=1'
    """
    query = urlencode([("url", url), ("method", method), *(("header", header) for header in headers)])
    said = whom(BALANCER, surroundings, **asked).ask("GET", f"/v1/explain?{query}")
    if is_json:
        click.echo(json.dumps(said, indent=2))
    else:
        show(*explain_lines(said))
    return 0


def service_lines(view: dict[str, Any]) -> list[Text | Table]:
    """What is shown of a service."""
    title = Text.assemble((view["name"], "bold"), "  ", "  ".join(view["routes"]) or "no route")
    if view["panic"]:
        title.append("  panic: fewer than half are well", "bold red")
    lines: list[Text | Table] = [title]
    if view["departed"] is not None:
        lines.append(Text(f"  {departed_line(view['departed'])}", "yellow"))
    if not view["instances"]:
        return [*lines, Text("  no app servers"), Text()]
    rows = table("instance", "at", "state", "in flight", "weight", "since", "reason", right=_NUMBERS)
    for one in view["instances"]:
        weight = str(one["weight"]) if one["share"] >= 1 else f"{one['weight']} ({one['share']:.0%})"
        rows.add_row(
            Text(plain(one["id"])),
            Text(plain(one["url"])),
            _state(one["state"]),
            _of(one["in_flight"], one["max_in_flight"]),
            Text(weight),
            Text(for_people(one["state_seconds"])),
            Text(plain(one["reason"])),
        )
    return [*lines, rows, Text()]


def departed_line(left: dict[str, Any]) -> str:
    """What is said of routes that are kept though nobody claims them."""
    return (
        f"nobody has claimed these routes for {for_people(left['seconds'])}; they are kept for another "
        f"{for_people(left['kept_seconds'])} (scalekit forget)"
    )


def explain_lines(said: dict[str, Any]) -> list[Text | Table]:
    """What is shown of an explanation."""
    lines: list[Text | Table] = []
    if said["route"] is not None:
        lines.append(Text.assemble("service ", (said["service"], "bold"), f" by the route {said['route']}"))
    if said["status"] is not None:
        lines.append(Text(f"{said['status']}: {said['detail']}", "bold red"))
        if "empty_seconds" in said:
            lines.append(Text(f"no instances since {for_people(said['empty_seconds'])} ago", "yellow"))
    elif said["detail"]:
        lines.append(Text(said["detail"], "yellow"))
    if said.get("cache") is not None:
        lines.append(Text(f"HTTP cache: {plain(said['cache']['detail'])}"))
    if said["candidates"]:
        how = f"{said['algorithm']}; score: {said['score_means']}"
        if said["is_panicking"]:
            how += "; panic: fewer than half are well"
        lines.append(Text(how))
        rows = table("instance", "state", "in flight", "weight", "score", "why, or why not", right=_NUMBERS)
        for one in said["candidates"]:
            why = "" if one["takes"] else plain(one["why_not"])
            rows.add_row(
                Text(one["id"]),
                _state(one["state"]),
                _of(one["in_flight"], one["limit"]),
                Text(f"{one['weight']}" if one["share"] >= 1 else f"{one['weight']} ({one['share']:.0%})"),
                Text("" if one["score"] is None else f"{one['score']:g}"),
                Text("the client's cookie is its own" if one["is_sticky"] else why),
            )
        lines.append(rows)
        lines.append(
            Text(f"A {said['method']} {'may' if said['may_be_repeated'] else 'may not'} be sent a second time.")
        )
    if said["near"]:
        lines.append(Text("Routes that were not taken:"))
        lines += [Text(f"  {one['route']}  {one['service']}: {one['why']}") for one in said["near"]]
    return lines


def for_people(seconds: float) -> str:
    """How long: in its largest unit, and the next."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _state(state: str) -> Text:
    return Text(state, _COLOURS.get(state, "red"))


def _of(count: int, limit: float | None) -> Text:
    return Text(f"{count}" if limit is None else f"{count} of {limit:g}")
