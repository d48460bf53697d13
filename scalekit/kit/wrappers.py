"""
`wsgi` and `asgi`: an application behind the balancer, whatever server runs it; by the standard library only.

Here, as in a feature's ``tap``, the process' own clock, chance and environment are taken: applications call these with
nothing but themselves.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple, TypedDict, Unpack
from urllib.parse import urlsplit

from scalekit.kit import asgi_app, wsgi_app
from scalekit.kit.asking import fetch, is_answering
from scalekit.kit.registration import Registration, id_for, words_in
from scalekit.kit.said import said
from scalekit.kit.siblings import Siblings
from scalekit.kit.termination import GUNICORN, Termination, is_listening, is_reloading, keep_alive_of, server_of
from scalekit.kit.thread_membership import ThreadMembership
from scalekit.kit.token_file import TokenFile
from scalekit.kit.told import LOOPBACK, Balancers

# gunicorn gives its workers 30 s from SIGTERM on (graceful_timeout), and what has come by then is finished in them.
DRAIN_SECONDS = 25.0
# Beyond what leaving itself may take, for a registration that is under way just then.
PATIENCE_SECONDS = 10.0


class Options(TypedDict, total=False):
    """
    What `wsgi` and `asgi` may be called with.

    ``port``
        what the server listens on; none: somebody else registers it, such as ``scalekit run``
    ``service``
        ``default``
    ``hosts``, ``path``
        the requests that the service is for, where the balancer's configuration does not say
    ``scheme``
        what the server speaks: ``http``, the default, or ``https``
    ``balancer``, ``ca``, ``token_file``
        where to register, what signs the balancer's certificate, what a balancer elsewhere wants to see
    ``trusted_proxies``
        networks whose word counts, besides loopback and the balancer's address
    ``drain_seconds``
        how long what is in flight may take, 25; less than the server gives its workers
    ``host``
        where the port is tried until it answers; 127.0.0.1, unless the server listens on another address only
    ``keep_alive``
        seconds after which the server closes an idle connection; gunicorn and uvicorn are asked, where it is left out
    """

    port: int
    service: str
    hosts: Iterable[str]
    path: str
    scheme: str
    balancer: str
    ca: str
    token_file: str
    trusted_proxies: Iterable[str]
    drain_seconds: float
    host: str
    keep_alive: float


class Settings(NamedTuple):
    """The same with defaults; what is empty is taken from the environment."""

    port: int = 0
    service: str = ""
    hosts: Iterable[str] = ()
    path: str = ""
    scheme: str = "http"
    balancer: str = ""
    ca: str = ""
    token_file: str = ""
    trusted_proxies: Iterable[str] = ()
    drain_seconds: float = DRAIN_SECONDS
    host: str = ""
    keep_alive: float | None = None


class Joining:
    """
    What both wrappers share: the membership, if there is to be one, and the moment of leaving.

    It is not for us to register a port that ``scalekit run`` has registered already (``SCALEKIT_RUN``), or that nobody
    has named.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        port, host, service, hosts, path, url, ca, token_file = said(
            environ,
            port=settings.port,
            host=settings.host,
            service=settings.service,
            hosts=settings.hosts,
            path=settings.path,
            balancer=settings.balancer,
            ca=settings.ca,
            token_file=settings.token_file,
        )
        listed = words_in(environ.get("SCALEKIT_TRUSTED_PROXIES", ""))
        self.balancers = Balancers([*LOOPBACK, *_address_of(url), *(settings.trusted_proxies or listed)])
        self._port = port
        self._drain_seconds = settings.drain_seconds
        self._secret_file = environ.get("SCALEKIT_SECRET_FILE", "")
        self._membership: ThreadMembership | None = None
        self._is_joined = False
        self._is_gunicorn = False
        if not port or environ.get("SCALEKIT_RUN") == str(port):
            return
        generation = server_generation()
        self._membership = ThreadMembership(
            Registration(
                url,
                port,
                generation,
                id_for(url, port, socket.gethostname()),
                service,
                settings.scheme,
                settings.keep_alive,
                hosts=hosts,
                path=path,
            ),
            ask=partial(fetch, ca=ca),
            is_answering=partial(is_answering, host or "127.0.0.1", port),
            headers=TokenFile(token_file, service).headers,
            now=time.monotonic,
            random=random.random,
            sleep=time.sleep,
            siblings=Siblings(
                Path(gettempdir(), f"scalekit-{os.getuid()}-{port}-{generation}.lock"),
                time.sleep,
                f"scalekit-{os.getuid()}-{port}-*.lock",
            ),
        )

    def is_leaving(self) -> bool:
        return self._membership is not None and self._membership.is_leaving

    def secret(self) -> str:
        """What challenges are answered with; ``scalekit run`` writes it into a file once it has registered."""
        if self._membership is not None:
            return self._membership.secret
        try:
            return Path(self._secret_file).read_text("ascii") if self._secret_file else ""
        except OSError:
            return ""

    def join(self) -> None:
        """Register in a thread, once the port answers; said twice, it is done once."""
        if self._membership is None or self._is_joined:
            return
        self._is_joined = True
        theirs = signal.getsignal(signal.SIGTERM)
        self._is_gunicorn = server_of(theirs) == GUNICORN
        said = self._membership.registration
        if said.keep_alive is None:
            said = said._replace(keep_alive=keep_alive_of(theirs))
        if is_reloading(theirs):
            said = said._replace(generation=started_at(os.getpid()))
        self._membership.registration = said
        leave = partial(self._membership.leave, self._drain_seconds)
        if not Termination(leave, self._is_staying).install():
            # We will hear of the end when the server has stopped accepting: what it has not accepted by then is never
            # done, and waiting for it only keeps its client waiting.
            self._drain_seconds = 0.0
        self._membership.start()

    def _is_staying(self) -> bool:
        """Whether gunicorn only replaces this process by another, as it does at SIGHUP."""
        return self._is_gunicorn and is_listening(os.getppid(), self._port)

    async def leave(self) -> None:
        """Leave, and wait until the balancer has confirmed it, or the time is over."""
        if self._membership is None or not self._is_joined:
            return
        import asyncio  # only where a server has imported it: each daemon of ours imports the kit

        loop = asyncio.get_running_loop()
        left = asyncio.Event()
        self._membership.leave(self._drain_seconds, partial(loop.call_soon_threadsafe, left.set))
        try:
            await asyncio.wait_for(left.wait(), self._drain_seconds + PATIENCE_SECONDS)
        except TimeoutError:
            pass  # the thread says in the log what it waits for


def wsgi(application: wsgi_app.Application, **options: Unpack[Options]) -> wsgi_app.BehindWSGI:
    """
    A WSGI application behind the balancer: see `BehindWSGI` for what it gets, README.rst for what servers lose nothing,
    and `Options`.

    With a port it registers itself from each process that imports it; under ``gunicorn --preload`` from each for which
    ``join()`` is called (in ``post_worker_init``).  What is left out is taken from ``SCALEKIT_PORT``,
    ``SCALEKIT_HOST``, ``SCALEKIT_SERVICE``, ``SCALEKIT_HOSTS``, ``SCALEKIT_PATH``, ``SCALEKIT_BALANCER``,
    ``SCALEKIT_CA``, ``SCALEKIT_TOKEN_FILE`` and ``SCALEKIT_TRUSTED_PROXIES``.

    :raises TypeError: there is no such option.
    :raises ValueError: one of them, or of the environment, is wrong.
    """
    joining = Joining(Settings(**options), os.environ)
    wrapped = wsgi_app.BehindWSGI(application, joining.balancers, joining.is_leaving, joining.join, joining.secret)
    if not _is_preloading():
        wrapped.join()
    return wrapped


def asgi(application: asgi_app.Application, **options: Unpack[Options]) -> asgi_app.BehindASGI:
    """The same for an ASGI application, see `wsgi` and `BehindASGI`: it registers when its lifespan begins."""
    joining = Joining(Settings(**options), os.environ)
    return asgi_app.BehindASGI(
        application, joining.balancers, joining.is_leaving, joining.join, joining.leave, joining.secret
    )


def _is_preloading() -> bool:
    """Whether this is gunicorn's first process: what it starts is not there in its workers."""
    return "gunicorn.arbiter" in sys.modules and server_of(signal.getsignal(signal.SIGTERM)) != GUNICORN


def server_generation() -> int:
    """
    When the server was started that this process is of, in microseconds: the same number in all its workers.

    The first process of gunicorn forks them; those of the others are children by `multiprocessing`.
    """
    processes = sys.modules.get("multiprocessing.process")  # each child of it has it
    is_child = processes is not None and processes.parent_process() is not None
    is_worker = is_child or server_of(signal.getsignal(signal.SIGTERM)) == GUNICORN
    return started_at(os.getppid() if is_worker else os.getpid())


def started_at(pid: int) -> int:
    """When a process was started, in microseconds; now, where the system does not tell."""
    try:
        # proc_pid_stat(5): the 22nd is the start, in ticks since the system's own, which is btime in proc_stat(5).
        stat = Path(f"/proc/{pid}/stat").read_text()
        ticks = int(stat.rpartition(")")[2].split()[19])
        began = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        return int(began.split()[1]) * 1_000_000 + ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return int(time.time() * 1e6)


def _address_of(url: str) -> list[str]:
    """The address in a URL; nothing if there is a name."""
    host = urlsplit(url).hostname or ""
    return [host] if ":" in host or host.replace(".", "").isdigit() else []
