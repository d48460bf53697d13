"""
The backend and the four proxies in front of it, all told to do the same work.

Each of nginx, HAProxy and scalekit: keep-alive to clients and backend, one process on one core, TLS 1.2 and 1.3 with
the same certificate, an access log in a file with the same fields, counters, and towards the backend X-Request-ID,
traceparent, Forwarded, X-Forwarded-For/-Proto/-Host/-Port and Via, written anew for each request.  scalekit writes its
log every 0.5 s, so nginx has ``buffer=64k flush=500ms``; HAProxy can only write line by line.  `ReverseProxyResource`
is as it comes: it has neither keep-alive to the backend nor any of these fields.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from bench.servers import Server, free_ports

SMALL = b"x" * 110
LARGE_BYTES = 1024 * 1024
#: Towards the backend, as nginx names them in its variables.
FIELDS = (
    "x_request_id",
    "traceparent",
    "forwarded",
    "x_forwarded_for",
    "x_forwarded_proto",
    "x_forwarded_host",
    "x_forwarded_port",
    "via",
)


class Place(NamedTuple):
    """What all servers of a run share; the files lie in ``folder``."""

    folder: Path
    proxy_core: int
    client_core: int
    backend_port: int
    ca: Path
    certificate: Path
    key: Path


class Proxy(NamedTuple):
    """One that runs, at its two ports; ``fields`` are those that it has to send to the backend."""

    name: str
    server: Server
    clear: int
    tls: int
    access_log: Path
    fields: tuple[str, ...] = FIELDS


def nginx_config(folder: Path, http: str) -> str:
    """A whole one around what stands in ``http``: one process, in the foreground."""
    user = f"user {pwd.getpwuid(0).pw_name};\n" if os.getuid() == 0 else ""  # else it cannot enter our folder
    paths = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; }}
http {{
    default_type text/plain;
    keepalive_requests 1000000000;
{paths}
{http}
}}
"""


def start_backend(place: Place) -> Server:
    """nginx with ``/small``, ``/large``, ``/kept``, which may be cached, and ``/fields``, which tells what it got."""
    folder = place.folder / "backend"
    folder.mkdir()
    (folder / "large").write_bytes(os.urandom(LARGE_BYTES))
    fields = "|".join(f"$http_{name}" for name in FIELDS)
    config = folder / "nginx.conf"
    config.write_text(
        nginx_config(
            folder,
            f"""    access_log off;
    sendfile on;
    tcp_nopush on;
    server {{
        listen 127.0.0.1:{place.backend_port};
        location / {{ return 200 "{SMALL.decode()}"; }}
        location = /fields {{ return 200 "{fields}"; }}
        location = /large {{ root {folder}; }}
        location = /kept {{ add_header Cache-Control max-age=3600; return 200 "{SMALL.decode()}"; }}
        location = /page.json {{ root {folder}; default_type application/json; }}
    }}""",
        )
    )
    return Server(
        "backend", ["nginx", "-e", "stderr", "-c", str(config)], place.client_core, folder, [place.backend_port]
    )


def start_nginx(place: Place, http: str = "", location: str = "", locations: str = "") -> Proxy:
    """
    nginx.

    :param http: further lines of this block; ``location``: of the one that proxies; ``locations``: others beside it.
    """
    clear, tls = free_ports(2)
    folder = place.folder / "nginx"
    folder.mkdir()
    log = folder / "access.log"
    config = folder / "nginx.conf"
    config.write_text(
        nginx_config(
            folder,
            f"""    log_format entry escape=json
        '{{"time":"$time_iso8601","request_id":"$request_id","client":"$remote_addr",'
        '"method":"$request_method","host":"$http_host","target":"$request_uri","status":$status,'
        '"sent":$body_bytes_sent,"seconds":$request_time,"service":"$proxy_host","instance":"$upstream_addr",'
        '"reason":"","tls":"$https","version":"$server_protocol"}}';
    access_log {log} entry buffer=64k flush=500ms;
    map $request_id $span {{ "~^(?<first>.{{16}})" $first; }}
    # For clients that accept it, as ours.
    gzip on;
    gzip_comp_level 5;
    gzip_min_length 1024;
    gzip_types application/json;
    gzip_vary on;
    ssl_certificate {place.certificate};
    ssl_certificate_key {place.key};
    ssl_protocols TLSv1.2 TLSv1.3;
    {http}
    upstream backend {{
        server 127.0.0.1:{place.backend_port};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{tls} ssl http2;
        {locations}
        location / {{
            {location}
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Request-ID $request_id;
            proxy_set_header traceparent 00-$request_id-$span-00;
            proxy_set_header Forwarded 'for=$remote_addr;host="$http_host";proto=$scheme';
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header Via "1.1 nginx";
        }}
    }}""",
        )
    )
    command = ["nginx", "-e", "stderr", "-c", str(config)]
    return Proxy("nginx", Server("nginx", command, place.proxy_core, folder, [clear, tls]), clear, tls, log)


def start_haproxy(place: Place) -> Proxy:
    """HAProxy; its log goes to its standard output, which is a file."""
    clear, tls = free_ports(2)
    folder = place.folder / "haproxy"
    folder.mkdir()
    pem = folder / "both.pem"
    pem.write_text(place.certificate.read_text() + place.key.read_text())
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""global
    nbthread 1
    maxconn 10500
    no strict-limits
    log stdout format raw local0
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    log global
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    timeout http-keep-alive 60s
    http-reuse always
    option http-ignore-probes
    unique-id-format %[uuid]
    log-format '{{"time":"%Tl","request_id":"%ID","client":"%ci","method":"%HM","host":"%[capture.req.hdr(0)]",\
"target":"%HU","status":%ST,"sent":%B,"seconds":%Ta,"service":"%b","instance":"%s","attempts":%rc,"reason":"%tsc",\
"tls":"%sslv","version":"%HV"}}'
frontend public
    bind 127.0.0.1:{clear}
    bind 127.0.0.1:{tls} ssl crt {pem} alpn h2,http/1.1
    declare capture request len 64
    http-request capture req.hdr(Host) id 0
    http-request set-header X-Request-ID %[unique-id]
    http-request set-header traceparent 00-%[rand,hex]%[rand,hex]-%[rand,hex]-00
    http-request set-header Forwarded 'for=%[src];host="%[req.hdr(Host)]";proto=%[ssl_fc,iif(https,http)]'
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header Via '1.1 haproxy'
    default_backend only
backend only
    server static 127.0.0.1:{place.backend_port} check inter 2s
"""
    )
    command = ["haproxy", "-db", "-f", str(config)]
    server = Server("haproxy", command, place.proxy_core, folder, [clear, tls])
    return Proxy("haproxy", server, clear, tls, folder / "haproxy.out")


def start_stock(place: Place) -> Proxy:
    """`ReverseProxyResource` in a stock Site."""
    clear, tls = free_ports(2)
    folder = place.folder / "stock"
    folder.mkdir()
    log = folder / "access.log"
    numbers = (place.backend_port, clear, tls, place.certificate, place.key, log)
    command = [sys.executable, "-m", "bench.stock", *map(str, numbers)]
    server = Server("stock", command, place.proxy_core, folder, [clear, tls])
    return Proxy("ReverseProxyResource", server, clear, tls, log, ())


def start_scalekit(place: Place, tables: str = "") -> Proxy:
    """
    Ours: the daemon, with its defaults.

    :param tables: further ones of its configuration.
    """
    clear, tls, registration = free_ports(3)
    folder = place.folder / "scalekit"
    folder.mkdir()
    log = folder / "access.log"
    config = folder / "scalekit.toml"
    config.write_text(
        f"""state_directory = "{folder}/state"
[tls]
certificate = "{place.certificate}"
private_key = "{place.key}"
[balancer]
listen = ["http://127.0.0.1:{clear}", "https://127.0.0.1:{tls}"]
access_log = "{log}"
[[balancer.service]]
servers = ["http://127.0.0.1:{place.backend_port}"]
[registration]
listen = ["https://127.0.0.1:{registration}"]
{tables}"""
    )
    command = twistd("scalekit-balancer", "--config", str(config))
    server = Server("scalekit", command, place.proxy_core, folder, [clear, tls, registration])
    return Proxy("scalekit", server, clear, tls, log)


def twistd(*arguments: str) -> list[str]:
    """The twistd beside our Python, in the foreground."""
    return [str(Path(sys.executable).parent / "twistd"), "-n", *arguments]


#: By the program that each needs.
STARTERS = {
    "nginx": ("nginx", start_nginx),
    "haproxy": ("haproxy", start_haproxy),
    "ReverseProxyResource": (sys.executable, start_stock),
    "scalekit": (sys.executable, start_scalekit),
}


def missing(programs: Iterable[str]) -> list[str]:
    """Those that are not installed."""
    return [program for program in programs if shutil.which(program) is None]
