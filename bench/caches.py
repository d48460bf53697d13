"""
Answers out of a cache: the key/value service against nginx' static answers, the HTTP cache against those of nginx and
Varnish, in clear and over HTTP/2.

All of them have 110 bytes ready.  nginx' and our HTTP cache write the same access log as when they proxy; Varnish logs
into shared memory, which nobody reads.  The key/value service has no access log, so nginx writes none of what it is
compared with.  Varnish does not speak TLS.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from bench.checks import WrongAnswer, connection
from bench.h2load import run_h2load
from bench.load import LoadFault, Round, run_wrk
from bench.proxies import SMALL, Place, missing, start_backend, start_nginx, start_scalekit, twistd
from bench.results import OURS, REFERENCE, Case, Row
from bench.servers import Server, ServerFault, free_ports

VARNISH = "varnish"
CONNECTIONS, H2_CONNECTIONS, STREAMS = 32, 8, 16
KEPT, STATIC, VALUE = "/kept", "/static", "/v1/keys/piece"
_NGINX_ZONE = "proxy_cache_path {folder} keys_zone=kept:1m max_size=256m;"
_NGINX_CACHE = "proxy_cache kept; add_header X-Cache $upstream_cache_status;"
_NGINX_STATIC = f'location = {STATIC} {{ access_log off; return 200 "{SMALL.decode()}"; }}'
_OURS = "[balancer.http_cache]\nenabled = true\n"


class Asked(NamedTuple):
    """
    One server, as it is asked in one case.

    :ivar is_hit: whether the fields of an answer (names in lower case) say that it came from the cache.
    """

    name: str
    server: Server
    url: str
    is_hit: Callable[[dict[str, str]], bool]


def measure(place: Place, rounds: int, seconds: int) -> list[Case]:
    """
    :param place: a folder of its own.
    :raises ServerFault: one does not start.
    """
    with ExitStack() as running:
        running.enter_context(start_backend(place))
        zone = _NGINX_ZONE.format(folder=place.folder / "kept")
        nginx = start_nginx(place, zone, _NGINX_CACHE, _NGINX_STATIC)
        running.enter_context(nginx.server)
        ours = start_scalekit(place, _OURS)
        running.enter_context(ours.server)
        values = running.enter_context(start_values(place))
        clear = [
            Asked(REFERENCE, nginx.server, _clear(nginx.clear, KEPT), lambda fields: fields["x-cache"] == "HIT"),
            Asked(OURS, ours.server, _clear(ours.clear, KEPT), _is_ours),
        ]
        tls = [
            each._replace(url=f"https://127.0.0.1:{proxy.tls}{KEPT}")
            for each, proxy in zip(clear, (nginx, ours), strict=True)
        ]
        without_varnish = "not installed" if missing(["varnishd"]) else ""
        if not without_varnish:
            try:
                clear.insert(1, running.enter_context(_Varnish(place)).asked)
            except ServerFault as fault:
                without_varnish = str(fault)
        keys = [
            Asked(REFERENCE, nginx.server, _clear(nginx.clear, STATIC), lambda fields: True),
            Asked(OURS, values.server, _clear(values.port, VALUE), _is_ours),
        ]
        cases = [
            _run("keyvalue", "key/value GET, 110 bytes in clear", keys, place, rounds, seconds),
            _run("cached", "cache hits, 110 bytes in clear", clear, place, rounds, seconds),
            _run("cached-http2", "cache hits over HTTP/2 and TLS", tls, place, rounds, seconds, STREAMS),
        ]
    if without_varnish:
        cases[1].rows.insert(1, Row(VARNISH, note=without_varnish))
    return cases


def _run(name: str, title: str, asked: list[Asked], place: Place, rounds: int, seconds: int, streams: int = 1) -> Case:
    """One case, round by round; the first second of each is for connections and the processor's clock."""
    rows = [Row(each.name) for each in asked]
    for turn in range(rounds + 1):
        for row, each in zip(rows, asked, strict=True):
            try:
                if not turn:
                    row.tls = check(each, place)
                measured = _load(each, place, seconds if turn else 1, streams)
            except (LoadFault, WrongAnswer, OSError, http.client.HTTPException) as fault:
                row.note = str(fault)
                continue
            if turn:
                row.rounds.append(measured)
    return Case(name, title, H2_CONNECTIONS if streams > 1 else CONNECTIONS, rows, streams)


def _load(asked: Asked, place: Place, seconds: int, streams: int) -> Round:
    core, pid = place.client_core, asked.server.pid
    if streams > 1:
        return run_h2load(asked.url, core, seconds, H2_CONNECTIONS, streams, pid)
    return run_wrk(asked.url, core, seconds, CONNECTIONS, pid)


def check(asked: Asked, place: Place) -> str:
    """
    Ask twice; returns what TLS agreed on, empty in clear.

    :raises WrongAnswer: it is not the 110 bytes, or the second did not come from the cache.
    """
    scheme, _, rest = asked.url.partition("://")
    authority, _, path = rest.partition("/")
    client = connection(scheme, int(authority.rpartition(":")[2]), place.ca)
    try:
        for _ in range(2):
            client.request("GET", f"/{path}")
            answer = client.getresponse()
            body = answer.read()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status != 200 or body != SMALL:
            raise WrongAnswer(f"{asked.name} {asked.url}: {answer.status} {body[:80]!r}")
        if not asked.is_hit(fields):
            raise WrongAnswer(f"{asked.name} {asked.url}: the second does not come from the cache: {fields}")
        cipher = client.sock.cipher() if isinstance(client.sock, ssl.SSLSocket) else None
        return f"{cipher[1]} {cipher[0]}" if cipher else ""
    finally:
        client.close()


class _Values(NamedTuple):
    server: Server
    port: int

    def __enter__(self) -> _Values:
        return self

    def __exit__(self, *fault: object) -> None:
        self.server.stop()


def start_values(place: Place) -> _Values:
    """
    Our key/value service, with the value in it.

    :raises ServerFault: it does not take it.
    """
    (port,) = free_ports(1)
    folder = place.folder / "values"
    folder.mkdir()
    command = twistd(
        "scalekit-cache", "--listen", f"http://127.0.0.1:{port}", "--state-directory", str(folder / "state")
    )
    values = _Values(Server("values", command, place.proxy_core, folder, [port]), port)
    client = connection("http", port, place.ca)
    client.request("PUT", VALUE, SMALL, {"Cache-Control": "max-age=3600"})
    status = client.getresponse().status
    client.close()
    if status != 201:
        values.server.stop()
        raise ServerFault(f"the key/value service answers {status} to a PUT")
    return values


class _Varnish:
    """Varnish in front of the backend, as it comes, but on one core; with 256 MiB as the others."""

    def __init__(self, place: Place) -> None:
        (port,) = free_ports(1)
        folder = place.folder / VARNISH
        folder.mkdir()
        rules = folder / "default.vcl"
        rules.write_text(
            f'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{place.backend_port}"; }}\n', encoding="ascii"
        )
        command = ["varnishd", "-F", "-j", "none", "-n", str(folder / "run"), "-f", str(rules), "-T", "none"]
        command += ["-a", f"127.0.0.1:{port}", "-s", "malloc,256m"]
        self.server = Server(VARNISH, command, place.proxy_core, folder, [port])
        # A hit has two numbers: of its own request, and of the one that fetched it.
        self.asked = Asked(
            VARNISH, self.server, _clear(port, KEPT), lambda fields: len(fields["x-varnish"].split()) == 2
        )

    def __enter__(self) -> _Varnish:
        return self

    def __exit__(self, *fault: object) -> None:
        self.server.stop()


def _clear(port: int, path: str) -> str:
    return f"http://127.0.0.1:{port}{path}"


def _is_ours(fields: dict[str, str]) -> bool:
    return "hit" in fields["cache-status"]
