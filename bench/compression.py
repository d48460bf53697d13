"""
100 KiB of JSON, compressed: nginx by gzip against ours by each coding, in clear.

nginx as it comes has gzip only; its level is ours (see `scalekit.web.compressors`).  Both compress anew for each
request, out of an answer that the backend sends as it is.
"""

from __future__ import annotations

import http.client
import random
import zlib
from contextlib import ExitStack

import brotli  # type: ignore[import-untyped]
import msgspec
import zstandard

from bench.checks import WrongAnswer, connection
from bench.load import LoadFault, run_wrk
from bench.proxies import Place, Proxy, start_backend, start_nginx, start_scalekit
from bench.results import OURS, REFERENCE, Case, Row

JSON_BYTES = 100 * 1024
CONNECTIONS = 16
#: Rows are the proxies' names; the first is what the others are compared with.
CODINGS = ((REFERENCE, "gzip"), (f"{OURS} gzip", "gzip"), (f"{OURS} br", "br"), (f"{OURS} zstd", "zstd"))


def measure(place: Place, rounds: int, seconds: int) -> Case:
    """
    :param place: a folder of its own.
    :raises ServerFault: one does not start.
    """
    page = json_page()
    rows = [Row(name) for name, _ in CODINGS]
    case = Case("compression", "100 KiB JSON, coded", CONNECTIONS, rows)
    with ExitStack() as running:
        running.enter_context(start_backend(place))
        (place.folder / "backend" / "page.json").write_bytes(page)
        proxies = [start(place) for start in (start_nginx, start_scalekit)]
        for proxy in proxies:
            running.enter_context(proxy.server)
        nginx, ours = proxies
        for turn in range(rounds + 1):
            for row, (name, coding) in zip(rows, CODINGS, strict=True):
                proxy = nginx if name == REFERENCE else ours
                try:
                    if not turn:
                        row.note = f"{coding}, {check(proxy, coding, place, page):,} bytes of {len(page):,}"
                    url = f"http://127.0.0.1:{proxy.clear}/page.json"
                    accepts = f"Accept-Encoding: {coding}"
                    # The first second of each is for connections and the processor's clock.
                    measured = run_wrk(
                        url, place.client_core, seconds if turn else 1, CONNECTIONS, proxy.server.pid, accepts
                    )
                except (LoadFault, WrongAnswer, OSError, http.client.HTTPException) as fault:
                    row.note = str(fault)
                    continue
                if turn:
                    row.rounds.append(measured)
    return case


def check(proxy: Proxy, coding: str, place: Place, page: bytes) -> int:
    """
    Ask once; returns how many bytes came.

    :raises WrongAnswer: it is not the page by this coding.
    """
    client = connection("http", proxy.clear, place.ca)
    try:
        client.request("GET", "/page.json", headers={"Accept-Encoding": coding})
        answer = client.getresponse()
        body = answer.read()
        got = answer.getheader("Content-Encoding")
        if answer.status != 200 or got != coding or decoded(coding, body) != page:
            raise WrongAnswer(f"{proxy.name}: {answer.status}, {got} instead of {coding}, {body[:40]!r}")
        return len(body)
    finally:
        client.close()


def decoded(coding: str, body: bytes) -> bytes:
    """What a client reads."""
    if coding == "br":
        plain: bytes = brotli.decompress(body)
        return plain
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return zlib.decompress(body, 31)


def json_page() -> bytes:
    """Orders of a shop, as an API would list them; the same each time."""
    chance = random.Random(2000)
    words = [
        "amber",
        "basil",
        "cedar",
        "delta",
        "ember",
        "fjord",
        "grove",
        "haven",
        "indigo",
        "jasper",
        "kelp",
        "linen",
    ]
    orders: list[dict[str, object]] = []
    size = 0
    while size < JSON_BYTES:
        orders.append(
            {
                "id": chance.randrange(10**8),
                "customer": {
                    "name": " ".join(chance.sample(words, 2)),
                    "mail": f"{chance.randrange(10**6)}@shop.example",
                },
                "placed": f"2026-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}T12:00:00Z",
                "lines": [
                    {"article": chance.choice(words), "count": chance.randrange(1, 9), "price": chance.randrange(10**4)}
                    for _ in range(chance.randrange(1, 5))
                ],
                "is_paid": chance.random() < 0.8,
            }
        )
        size += len(msgspec.json.encode(orders[-1])) + 1
    return msgspec.json.encode(orders)
