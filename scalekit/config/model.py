"""
Every key of the configuration, its type, its default, and why the default is what it is.

The attribute path is the key: ``config.balancer.health.interval`` is ``interval`` of ``[balancer.health]``.  Durations
are seconds (float), sizes are bytes (int), listeners are `ListenURL`, networks are `ipaddress` networks.  An instance
made without arguments holds the defaults, which ``conf/scalekit.toml`` repeats with one line on each.

Paths: empty means the default place; in a `Config` that comes from `scalekit.config.load` these are filled in already
and all paths are absolute, only ``tls.certificate``, ``tls.private_key``, ``balancer.upstream_tls.ca`` and the token
files stay empty where they are.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from scalekit.config import kinds
from scalekit.config.listeners import LISTENERS, SYSLOG_LISTENERS
from scalekit.config.quantities import MIB
from scalekit.config.urls import ListenURL, Network, RedisURL, ServerURL


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A TOML table; each attribute is a key, annotated with its `kinds.Kind`, or a table in it."""


def _loopback(port: int) -> tuple[ListenURL, ...]:
    return (ListenURL("https", "127.0.0.1", port),)


class SNI(Table, frozen=True, kw_only=True):
    """``[[tls.sni]]``: a certificate for certain server names; without names, for those that stand in it."""

    names: Annotated[tuple[str, ...], kinds.HOSTS] = ()
    certificate: Annotated[str, kinds.PATH] = ""
    private_key: Annotated[str, kinds.PATH] = ""


class TLS(Table, frozen=True, kw_only=True):
    """
    ``[tls]``: the certificate of all https listeners that have none of their own; both empty: one is made by the
    local CA.
    """

    certificate: Annotated[str, kinds.PATH] = ""
    private_key: Annotated[str, kinds.PATH] = ""
    sni: tuple[SNI, ...] = ()


class ServiceHealth(Table, frozen=True, kw_only=True):
    """``[balancer.service.health]``: what its servers are asked; what is not said is as in `Health`."""

    path: Annotated[str | None, kinds.optional(kinds.PING_PATH)] = None
    status: Annotated[int | None, kinds.optional(kinds.WELL_STATUS)] = None
    body: Annotated[str, kinds.PING_TEXT] = ""


class ServiceTimeouts(Table, frozen=True, kw_only=True):
    """``[balancer.service.timeouts]``: of what its servers do; what is not said is as in `Timeouts`."""

    connect: Annotated[float | None, kinds.optional(kinds.DURATION)] = None
    first_byte: Annotated[float | None, kinds.optional(kinds.DURATION)] = None
    read: Annotated[float | None, kinds.optional(kinds.DURATION)] = None


class Service(Table, frozen=True, kw_only=True):
    """``[[balancer.service]]``: a service that the configuration knows, its routes and static members."""

    name: Annotated[str, kinds.SERVICE_NAME] = "default"
    hosts: Annotated[tuple[str, ...], kinds.HOSTS] = ()
    path: Annotated[str, kinds.ROUTE_PATH] = "/"
    servers: Annotated[tuple[ServerURL, ...], kinds.SERVERS] = ()
    algorithm: Annotated[str | None, kinds.optional(kinds.ALGORITHM)] = None  # None: that of [balancer]
    hash_on: Annotated[str | None, kinds.optional(kinds.HASH_ON)] = None  # None: that of [balancer]
    # None: no limit; an app that serves one request a worker knows its number, nobody else does.
    max_in_flight: Annotated[int | None, kinds.optional(kinds.whole_number(1, 1_000_000))] = None
    sticky: Annotated[bool, kinds.BOOLEAN] = False  # only apps that keep sessions to themselves need it
    sticky_cookie: Annotated[str | None, kinds.optional(kinds.COOKIE_NAME)] = None  # None: scalekit-NAME
    cache: Annotated[bool | None, kinds.optional(kinds.BOOLEAN)] = None  # None: every_service of [balancer.http_cache]
    max_body_bytes: Annotated[int | None, kinds.optional(kinds.SIZE)] = None  # None: that of [balancer.limits]
    health: ServiceHealth = ServiceHealth()
    timeouts: ServiceTimeouts = ServiceTimeouts()


class UpstreamTLS(Table, frozen=True, kw_only=True):
    """``[balancer.upstream_tls]``: how the certificates of app servers are checked, and what they are offered."""

    ca: Annotated[str, kinds.PATH] = ""
    verify: Annotated[bool, kinds.BOOLEAN] = True
    http2: Annotated[bool, kinds.BOOLEAN] = True  # an app server that does not speak it chooses HTTP/1.1


class Compression(Table, frozen=True, kw_only=True):
    """``[balancer.compression]``: coding of answers for clients that accept it."""

    enabled: Annotated[bool, kinds.BOOLEAN] = True
    # By what each leaves for its time, see `scalekit.web.compressors`; what a client likes better comes first.
    algorithms: Annotated[tuple[str, ...], kinds.list_of(kinds.choice("zstd", "br", "gzip"), 1)] = (
        "zstd",
        "br",
        "gzip",
    )


class HTTPCache(Table, frozen=True, kw_only=True):
    """``[balancer.http_cache]``: answers of app servers are kept and served again, as far as they allow it."""

    # Apps that never had a cache in front of them may say what they do not mean.
    enabled: Annotated[bool, kinds.BOOLEAN] = False
    max_bytes: Annotated[int, kinds.SIZE] = 256 * MIB
    # Also those that only registrations name; a service says otherwise by its own ``cache``.
    every_service: Annotated[bool, kinds.BOOLEAN] = True
    # RFC 9111 section 7.3 would have them kept; apps that forget ``private`` on a login would share its session.
    cookies: Annotated[bool, kinds.BOOLEAN] = False


class Health(Table, frozen=True, kw_only=True):
    """``[balancer.health]``: the heartbeat.  The numbers are HAProxy's: acting on one probe makes servers flap."""

    interval: Annotated[float, kinds.DURATION] = 2.0
    timeout: Annotated[float, kinds.DURATION] = 1.0  # a /ping that takes longer is not well
    rise: Annotated[int, kinds.whole_number(1, 100)] = 2
    fall: Annotated[int, kinds.whole_number(1, 100)] = 3
    path: Annotated[str, kinds.PING_PATH] = "/ping"  # the tutorial's
    # None: any 2xx, as HAProxy and Envoy take it; a redirection is not followed, and may be to a page of errors.
    status: Annotated[int | None, kinds.optional(kinds.WELL_STATUS)] = None
    body: Annotated[str, kinds.PING_TEXT] = ""
    # Envoy's panic mode: whoever is sick by our probes may be well for requests, and the few others would be next.
    panic: Annotated[str, kinds.choice("spray", "fail")] = "spray"


class Drain(Table, frozen=True, kw_only=True):
    """``[balancer.drain]``: what is in flight when an instance, or the balancer itself, leaves."""

    deadline: Annotated[float, kinds.DURATION_OR_ZERO] = 30.0  # Kubernetes kills after 30 s, systemd after 90


class Timeouts(Table, frozen=True, kw_only=True):
    """``[balancer.timeouts]``: hard deadlines, not idle timers that one byte resets."""

    connect: Annotated[float, kinds.DURATION] = 2.0  # one lost SYN is sent again after 1 s; two mean: not there
    first_byte: Annotated[float, kinds.DURATION] = 30.0  # gunicorn kills its worker after 30 s
    read: Annotated[float, kinds.DURATION] = 60.0  # between two reads of an answer: nginx' 60 s
    request_head: Annotated[float, kinds.DURATION] = 10.0  # Apache's RequestReadTimeout gives 20 s, nginx 60
    idle: Annotated[float, kinds.DURATION] = 60.0  # nginx 75 s, Envoy 1 h; browsers close at 115 s or more
    answer_progress: Annotated[float, kinds.DURATION] = 60.0  # a reader that takes nothing: nginx' send_timeout
    # A body slower than 500 B/s (Apache's MinRate) after a start of 10 s is an attack or a dead line.
    body_rate: Annotated[int, kinds.SIZE] = 500
    body_rate_after: Annotated[float, kinds.DURATION] = 10.0
    tunnel_idle: Annotated[float, kinds.DURATION] = 3600.0  # a WebSocket without pings; nginx 60 s, HAProxy 1 h


class Limits(Table, frozen=True, kw_only=True):
    """``[balancer.limits]``: what one balancer takes on."""

    # None: no limit. Bodies are streamed and cost no memory, so this protects only the apps, which know what they take;
    # HAProxy, Caddy and Traefik have none either.
    max_body_bytes: Annotated[int | None, kinds.optional(kinds.SIZE)] = None
    # About 20 KiB each when idle over TLS: 200 MiB when all are open. One more is closed at once, and counted: whoever
    # it was can go elsewhere, instead of waiting in the kernel's queue for nobody knows how long.
    max_connections: Annotated[int, kinds.whole_number(1, 1_000_000)] = 10_000


class HTTP2(Table, frozen=True, kw_only=True):
    """``[balancer.http2]``: HTTP/2 with clients."""

    enabled: Annotated[bool, kinds.BOOLEAN] = True
    streams: Annotated[int, kinds.whole_number(1, 1000)] = 100  # RFC 9113 recommends no fewer; nginx 128
    # A browser cancels a page's worth of images at a click; who goes on like that is an attack (CVE-2023-44487).
    reset_burst: Annotated[int, kinds.whole_number(1, 1_000_000)] = 100
    reset_rate: Annotated[int, kinds.whole_number(1, 1_000_000)] = 10


class Balancer(Table, frozen=True, kw_only=True):
    """``[balancer]``: the public side."""

    listen: Annotated[tuple[ListenURL, ...], LISTENERS] = (ListenURL("https", "::", 2000),)
    access_log: Annotated[str, kinds.ACCESS_LOG] = ""
    algorithm: Annotated[str, kinds.ALGORITHM] = "round-robin"  # the tutorial's
    hash_on: Annotated[str, kinds.HASH_ON] = "client"  # the one that every request has
    trusted_proxies: Annotated[tuple[Network, ...], kinds.NETWORKS] = ()
    service: tuple[Service, ...] = ()
    upstream_tls: UpstreamTLS = UpstreamTLS()
    compression: Compression = Compression()
    http_cache: HTTPCache = HTTPCache()
    http2: HTTP2 = HTTP2()
    health: Health = Health()
    drain: Drain = Drain()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()


class Registration(Table, frozen=True, kw_only=True):
    """``[registration]``: the balancer's private side, where app servers register."""

    listen: Annotated[tuple[ListenURL, ...], LISTENERS] = _loopback(2001)
    token_file: Annotated[str, kinds.PATH] = ""
    cache: Annotated[str, kinds.OPTIONAL_BASE_URL] = ""
    cache_token_file: Annotated[str, kinds.PATH] = ""
    logs: Annotated[str, kinds.OPTIONAL_BASE_URL] = ""
    logs_token_file: Annotated[str, kinds.PATH] = ""


class Redis(Table, frozen=True, kw_only=True):
    """
    ``[redis]``: what several balancers share their registrations by, and several caches their values; without it each
    has its own.
    """

    url: Annotated[RedisURL | None, kinds.optional(kinds.REDIS_URL)] = None
    password_file: Annotated[str, kinds.PATH] = ""  # a URL is shown in errors and logs


class Cache(Table, frozen=True, kw_only=True):
    """``[cache]``: the key/value service."""

    listen: Annotated[tuple[ListenURL, ...], LISTENERS] = _loopback(5000)
    max_bytes: Annotated[int, kinds.SIZE] = 256 * MIB
    eviction: Annotated[str, kinds.choice("s3-fifo", "sieve", "lru")] = "s3-fifo"  # 5 to 10 points more hits than lru
    expiry_interval: Annotated[float, kinds.DURATION] = 5.0  # the tutorial's
    default_max_age: Annotated[float | None, kinds.optional(kinds.DURATION)] = None  # None: refuse a store without one
    # What is cached has been asked for, and making all of it anew at once is what a restart is feared for.
    snapshot: Annotated[bool, kinds.BOOLEAN] = True
    # Whoever has two caches would purge at both, and make everything twice.
    shared: Annotated[bool, kinds.BOOLEAN] = True
    token_file: Annotated[str, kinds.PATH] = ""


class LogSink(Table, frozen=True, kw_only=True):
    """``[[logs.sink]]``: where entries are sent on, by OTLP over HTTP."""

    name: Annotated[str, kinds.SERVICE_NAME] = "otlp"
    url: Annotated[str, kinds.OPTIONAL_BASE_URL] = ""  # has to be there
    encoding: Annotated[str, kinds.choice("json", "protobuf")] = "json"  # the other needs an extra
    compression: Annotated[str, kinds.choice("gzip", "zstd", "none")] = "gzip"  # what every receiver of OTLP takes
    headers: Annotated[tuple[tuple[str, str], ...], kinds.HEADERS] = ()
    token_file: Annotated[str, kinds.PATH] = ""
    ca: Annotated[str, kinds.PATH] = ""
    timeout: Annotated[float, kinds.DURATION] = 10.0  # OTLP's own default
    # Half a day of 100 entries a second, or a quarter of an hour of 5,000.
    held: Annotated[int, kinds.SIZE] = 1024 * 1024 * 1024


class Logs(Table, frozen=True, kw_only=True):
    """``[logs]``: the log collector."""

    # Browsers do not ask port 6000, X11's, for anything (Fetch, 2.9 "port blocking"): the page is for the other.
    listen: Annotated[tuple[ListenURL, ...], LISTENERS] = _loopback(6000) + _loopback(6001)
    syslog: Annotated[tuple[ListenURL, ...], SYSLOG_LISTENERS] = ()  # whoever wants it names the ports: 514 is root's
    directory: Annotated[str, kinds.PATH] = ""
    delay: Annotated[float, kinds.DURATION_OR_ZERO] = 2.0  # the tutorial's: late entries still find their place
    flush_interval: Annotated[float, kinds.DURATION] = 2.0
    # Entries of 200,000 a second over the time that they wait; the process around them takes some 50 MiB.
    memory: Annotated[int, kinds.SIZE] = 96 * 1024 * 1024
    source_rate: Annotated[int, kinds.whole_number(0, 10_000_000)] = 0
    # Beside what it takes to write the entries that wait; for others who need the disk.
    disk_reserve: Annotated[int, kinds.SIZE] = 64 * 1024 * 1024
    compress: Annotated[bool, kinds.BOOLEAN] = False
    # A quarter of what they take as NDJSON, and some seconds of a core an hour, for searches in milliseconds.
    index: Annotated[bool, kinds.BOOLEAN] = True
    retention: Annotated[float, kinds.DURATION] = 30 * 86400.0
    max_bytes: Annotated[int, kinds.SIZE] = 10 * 1024 * 1024 * 1024
    min_free: Annotated[int, kinds.SIZE] = 256 * 1024 * 1024
    token_file: Annotated[str, kinds.PATH] = ""
    sink: tuple[LogSink, ...] = ()


class LogClient(Table, frozen=True, kw_only=True):
    """``[log_client]``: where balancer, cache, blog and data send their entries; empty: nowhere."""

    url: Annotated[str, kinds.OPTIONAL_BASE_URL] = ""
    token_file: Annotated[str, kinds.PATH] = ""


class Data(Table, frozen=True, kw_only=True):
    """``[data]``: the example's data service."""

    listen: Annotated[tuple[ListenURL, ...], LISTENERS] = _loopback(4000)
    database: Annotated[str, kinds.PATH] = ""


class Blog(Table, frozen=True, kw_only=True):
    """``[blog]``: the example's app server."""

    listen: Annotated[tuple[ListenURL, ...], LISTENERS] = _loopback(3000)
    service: Annotated[str, kinds.SERVICE_NAME] = "default"
    balancer: Annotated[str, kinds.BASE_URL] = "https://127.0.0.1:2001"
    cache: Annotated[str, kinds.BASE_URL] = "https://127.0.0.1:5000"
    data: Annotated[str, kinds.BASE_URL] = "https://127.0.0.1:4000"
    token_file: Annotated[str, kinds.PATH] = ""


class Config(Table, frozen=True, kw_only=True):
    """The whole configuration."""

    state_directory: Annotated[str, kinds.PATH] = ""
    tls: TLS = TLS()
    balancer: Balancer = Balancer()
    registration: Registration = Registration()
    redis: Redis = Redis()
    cache: Cache = Cache()
    logs: Logs = Logs()
    log_client: LogClient = LogClient()
    data: Data = Data()
    blog: Blog = Blog()
