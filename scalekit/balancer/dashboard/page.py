"""The dashboard as HTML: every piece of text goes through `_text`, whoever has written it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote

#: With JavaScript the page is live; without it, it is loaded again after so many seconds.
RELOAD_SECONDS = 5
_NONE = "&ndash;"
META_SHOWN = 8  # of a row; all of it is in the JSON

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/dashboard.css">
<script src="/dashboard.js" defer></script>
<noscript><meta http-equiv="refresh" content="{seconds}"></noscript>
</head>
<body>
<header><h1>scalekit <span>balancer</span></h1><p id="link" role="status">not live</p>{leave}</header>
<p id="said" role="alert" hidden></p>
<main id="now">
{now}
</main>
</body>
</html>
"""


_LEAVE = '<form method="post" action="/logout"><button type="submit">Log out</button></form>'


def page(view: dict[str, Any], may_change: bool = True, can_leave: bool = False) -> str:
    """
    The whole page of an `scalekit.balancer.dashboard.overview.Overview.view`.

    :param may_change: whether its reader is an operator.
    :param can_leave: whether its reader has logged in.
    """
    sick = sum(one["state"] in ("down", "ejected") for each in view["services"] for one in each["instances"])
    title = f"{sick} down · scalekit" if sick else "scalekit"
    parts = [_service(each, may_change) for each in view["services"]]
    parts.append(_hidden(view["hidden"]))
    parts += [_panel(each) for each in view["panels"]]
    parts.append(_events(view["events"]))
    now = "\n".join(filter(None, parts))
    return _PAGE.format(title=_text(title), seconds=RELOAD_SECONDS, leave=_LEAVE if can_leave else "", now=now)


def _service(view: dict[str, Any], may_change: bool) -> str:
    name, instances = view["name"], view["instances"]
    routes = "".join(f"<code>{_text(route)}</code>" for route in view["routes"]) or "<span>no route</span>"
    facts = [
        _fact(f"{view['available']} of {view['total']}", "take requests"),
        _fact(_number(view["rate"]["per_second"]), "requests/s"),
        _fact(seconds_for_people(view["rate"]["p50"]), "p50"),
        _fact(seconds_for_people(view["rate"]["p99"]), "p99"),
        _fact(str(view["waiting"]), "waiting") if view["waiting"] else "",
    ]
    ill = Counter(one["state"] for one in instances if one["state"] != "up")
    states = "".join(
        f'<span class="{_text(state)}"><span class="state">{count} {_text(state)}</span></span>'
        for state, count in ill.items()
    )
    panic = '<p class="panic">Panic: fewer than half of the app servers are well.</p>' if view["panic"] else ""
    rows = "".join(_instance(name, one, may_change) for one in instances)
    table = (
        '<div class="wide"><table><thead><tr><th>App server<th>State<th class=n>In flight<th class=n>Requests/s'
        "<th class=n>p50<th class=n>p99<th>Probes<th class=n>Weight<th><span class=unseen>Actions</span>"
        f"</thead><tbody>{rows}</tbody></table></div>"
        if instances
        else f'<p class="none">No app servers.{_departed(view["departed"])}</p>'
    )
    return (
        f'<section class="service"><div class="top"><h2>{_text(name)}</h2><p class="routes">{routes}</p>'
        f'<p class="states">{states}</p>'
        f"<dl>{''.join(facts)}</dl></div>{panic}{table}</section>"
    )


def _departed(left: dict[str, float] | None) -> str:
    if left is None:
        return ""
    seconds, kept = for_people(left["seconds"]), for_people(left["kept_seconds"])
    return f" Nobody has claimed these routes for {seconds}; they are kept for another {kept}."


def _instance(service: str, one: dict[str, Any], may_change: bool) -> str:
    state, id = one["state"], one["id"]
    place = f"/v1/services/{quote(service, safe='')}/instances/{quote(id, safe='')}"
    key = _text(f"{service}/{id}/{one['generation']}")
    known = list(one["meta"].items())
    said = [_text(f"{name}: {value}") for name, value in known[:META_SHOWN]]
    meta = "".join(f'<li title="{each}">{each}' for each in said)
    if len(known) > META_SHOWN:
        meta += f"<li>and {len(known) - META_SHOWN} more"
    most = one["max_in_flight"]
    share = "" if one["share"] >= 1 else f"<small>{one['share']:.0%} now</small>"
    rate, probes = one["rate"], one["probes"]
    url = one["url"]
    is_own = id == url or url.endswith(f"//{id}")
    ticks = "".join(f'<i class="{"pass" if each == "+" else "fail"}">{each}</i>' for each in probes["recent"])
    told = "" if probes["seconds"] is None else f"{probes['last']}, {for_people(probes['seconds'])} ago"
    weight, drain = str(one["weight"]), ""
    if may_change and state != "draining":
        weight = (
            f'<span class="still">{weight}</span><input class="act" type="number" min="1" max="256" required '
            f'value="{weight}" id="weight:{key}" data-weight="{_text(place)}" aria-label="Weight of {_text(id)}">'
        )
        if state == "drained":
            drain = f'<button class="act" type="button" id="back:{key}" data-back="{_text(place)}">Take back</button>'
        else:
            until = "you take it back, or the balancer is restarted" if one["static"] else "it registers anew"
            drain = (
                f'<button class="act" type="button" id="drain:{key}" data-drain="{_text(place)}" '
                f'data-name="{_text(f"{id} of {service}")}" data-until="{until}">Drain</button>'
            )
    return (
        f'<tr class="{_text(state)}"><td><b>{_text(url if is_own else id)}</b>'
        + ("" if is_own else f"<small>{_text(url)}</small>")
        + (f'<ul class="meta">{meta}</ul>' if meta else "")
        + f'<td><span class="state">{_text(state)}</span> <span class="quiet">{for_people(one["state_seconds"])}</span>'
        f"<small>{_text(one['reason'])}</small>"
        f'<td class="n" data-name="In flight">{one["in_flight"]}{"" if most is None else f" of {most:g}"}'
        f'<td class="n" data-name="Requests/s">{_number(rate["per_second"])}'
        f'<td class="n" data-name="p50">{seconds_for_people(rate["p50"])}'
        f'<td class="n" data-name="p99">{seconds_for_people(rate["p99"])}'
        f'<td data-name="Probes"><span class="ticks">{ticks}</span><small>{_text(told)}</small>'
        f'<td class="n" data-name="Weight">{weight}{share}<td class="last">{drain}'
    )


def _panel(view: dict[str, Any]) -> str:
    """What another feature shows, see `scalekit.interfaces.IPanel`."""
    facts = "".join(_fact(_text(value), _text(name)) for value, name in view["facts"])
    alarm = f'<p class="panic">{_text(view["alarm"])}</p>' if view["alarm"] else ""
    note = f'<p class="none">{_text(view["note"])}</p>' if view["note"] else ""
    table = ""
    if view["rows"]:
        first, *others = view["head"]
        head = f"<th>{_text(first)}" + "".join(f'<th class="n">{_text(each)}' for each in others)
        rows = "".join(
            f"<tr><td><b>{_text(row[0])}</b>" + "".join(f'<td class="n">{_text(each)}' for each in row[1:])
            for row in view["rows"]
        )
        table = f'<div class="wide"><table><thead><tr>{head}</thead><tbody>{rows}</tbody></table></div>'
    return (
        f'<section class="panel"><div class="top"><h2>{_text(view["name"])}</h2><dl>{facts}</dl></div>'
        f"{alarm}{note}{table}</section>"
    )


def _events(events: list[dict[str, Any]]) -> str:
    rows = []
    for event in reversed(events):
        at = datetime.fromtimestamp(event["at"], UTC)
        when = f'<time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%H:%M:%S}</time>'
        if event["event"] == "transition":
            before = f"{_text(event['before'])} → " if event["before"] else ""
            what = f'{before}<span class="state">{_text(event["after"])}</span>'
            who, why, kind = f"{event['service']} {event['id']}", event["reason"], event["after"]
        else:
            what, who, why, kind = _text(event["event"]), event["service"] or "all services", event["detail"], "notice"
        rows.append(f'<tr class="{_text(kind)}"><td class="quiet">{when}<td>{_text(who)}<td>{what}<td>{_text(why)}')
    if not rows:
        return ""
    head = "<thead><tr><th>UTC<th>Who<th>What<th>Why</thead>"
    return (
        '<section class="events"><div class="top"><h2>Recent events</h2></div>'
        f'<div class="wide"><table>{head}<tbody>{"".join(rows)}</tbody></table></div></section>'
    )


def _hidden(hidden: dict[str, int]) -> str:
    if not hidden["services"] and not hidden["instances"]:
        return ""
    return (
        f'<p class="none">Not shown: {hidden["services"]} services and {hidden["instances"]} app servers; '
        '<a href="/v1/services">all of them as JSON</a>.</p>'
    )


def _fact(value: str, name: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>"


def _text(text: object) -> str:
    return escape(str(text), quote=True)


def _number(value: float | None) -> str:
    if value is None:
        return _NONE
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.1f}"


def seconds_for_people(seconds: float | None) -> str:
    """Such as ``0.4 ms``, ``38 ms`` or ``2.5 s``."""
    if seconds is None:
        return _NONE
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"


def for_people(seconds: float) -> str:
    """How long, in its largest unit, never broken between lines."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)}\u00a0{unit}"
    return f"{int(seconds)}\u00a0s"
