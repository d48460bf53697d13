"""Tables for people: reStructuredText that also reads well on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from bench.idle import Idle
from bench.results import Case, Goal, Results
from bench.transaction import COMMENTS, POSTS

BEGIN, END = ".. The table below is written by make bench.", ".. The table above is written by make bench."


def simple_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A simple table; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    rule = "  ".join("=" * width for width in widths)

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([rule, line(head), rule, *map(line, rows), rule])


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def case_table(case: Case) -> str:
    """One case, and under it what is to be said about its rows."""
    rows = []
    for row in case.rows:
        if not row.rounds:
            rows.append([row.proxy, *["-"] * 6])
            continue
        rows.append(
            [
                row.proxy,
                f"{row.requests_per_second:,.0f}",
                _times(case.rate_ratio(row.proxy)),
                f"{row.user_us:,.1f}",
                f"{row.system_us:,.1f}",
                _times(case.cpu_ratio(row.proxy)),
                f"{row.p99_us / 1000:.1f}",
            ]
        )
    agreed = sorted({row.tls for row in case.rows if row.tls})
    head = [case.title, f"{case.unit}/s", "to nginx", "user us", "system us", "to nginx", "p99 ms"]
    lines = [simple_table(head, rows)]
    notes = [f"{row.proxy}: {'; '.join(row.remarks())}." for row in case.rows if row.remarks()]
    if len(agreed) > 1:
        notes.append("Not all agreed on the same: " + "; ".join(f"{row.proxy}: {row.tls}" for row in case.rows) + ".")
    for note in notes:
        lines += ["", note]
    return "\n".join(lines)


def idle_table(idle: Idle) -> str:
    """Memory of idle connections."""
    rows = [
        [row.proxy, *("-" if each is None else f"{each / 1024:.1f}" for each in (row.clear, row.tls))]
        for row in idle.rows
    ]
    lines = [simple_table([f"{idle.connections:,} idle connections, KiB each", "clear", "TLS"], rows)]
    for row in idle.rows:
        if row.note:
            lines += ["", f"{row.proxy}: {row.note}."]
    return "\n".join(lines)


def transaction_table(results: Results) -> str:
    """The transaction: medians each way."""
    transaction = results.transaction
    if transaction is None:
        return f"The transaction was not measured: {results.transaction_note}."
    each = transaction.medians()
    rows = [
        [
            "made for the reader",
            f"{each['direct']:.2f}",
            f"{each['balanced']:.2f}",
            f"{transaction.added('direct', 'balanced'):+.2f}",
        ],
        [
            "from the cache",
            f"{each['cached']:.2f}",
            f"{each['cached, balanced']:.2f}",
            f"{transaction.added('cached', 'cached, balanced'):+.2f}",
        ],
        [
            "times as fast",
            f"{each['direct'] / each['cached']:.1f}",
            f"{each['balanced'] / each['cached, balanced']:.1f}",
            "",
        ],
    ]
    return simple_table(["the blog's list, ms", "app server", "through the balancer", "added"], rows)


def goal_table(goals: Sequence[Goal]) -> str:
    """What was set out for."""
    rows = [
        [
            goal.text,
            f"{'<=' if goal.is_most else '>='} {goal.wanted:g}",
            f"{goal.got:.2f}",
            "yes" if goal.is_met else "NO",
        ]
        for goal in goals
    ]
    return simple_table(["goal", "wanted", "measured", "met"], rows)


def report(results: Results) -> str:
    """Everything, with date, versions and method."""
    versions, machine = results.versions, results.machine
    head = (
        f"{results.date}, {machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + "."
    )
    connections = "; ".join(
        f"{case.connections} connections{f' x {case.streams} streams' if case.streams > 1 else ''} for {case.title}"
        for case in results.cases
    )
    method = (
        f"Proxies on one core, the client and the backend (nginx, static answers) on another; {results.rounds} rounds "
        f"of {results.seconds} s, interleaved, medians shown; {connections}. Access log to a file, counters, request "
        "ids, traceparent and forwarding fields are on for all but ReverseProxyResource, which has none of the last "
        "three; TLS is the client's side, the backend is in clear. user and system are CPU microseconds a request; "
        'each "to nginx" is how much the column before it is worth, more is better. Handshakes (X25519, ECDSA with '
        "P-256) are made by a client in Python, in rounds of 1 s, without a request; where a proxy was not busy all "
        "the time, its CPU time counts and not how many it took. An idle connection is one that was used for one "
        "request; its memory is what the proxy's RSS grew by. What is kept or static is asked for in three times as "
        "many rounds, of 1 s; neither nginx nor ours writes an access log of static answers and of key/value, Varnish "
        "never."
    )
    story = (
        f"The transaction is the blog's list out of a database of {POSTS:,} posts and {COMMENTS:,} comments, all over "
        'TLS, one request after the other; "made" asks the data service and renders, "added" is the median difference '
        "of two requests made in a row."
    )
    parts = [head, method, *(case_table(case) for case in results.cases)]
    if results.idle is not None:
        parts.append(idle_table(results.idle))
    parts += [story, transaction_table(results)]
    return "\n\n".join(parts) + "\n"


def between_marks(text: str, table: str, mark: str = BEGIN, last: str = END) -> str:
    """The text with what stands between two marks replaced; as it was if it has no such marks."""
    before, begin, rest = text.partition(mark)
    _, end, after = rest.partition(last)
    return f"{before}{begin}\n\n{table}\n{end}{after}" if begin and end else text
