"""`run_command`: a command of any kind behind the balancer, put together; ``scalekit run`` is its front."""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NamedTuple, cast

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import FileLogObserver, Logger, LogLevel, globalLogBeginner
from twisted.python.failure import Failure

from scalekit.kit.client import Answer, Client, make_client, why_unreachable
from scalekit.kit.command import WrappedCommand
from scalekit.kit.membership import Membership
from scalekit.kit.registration import new_registration
from scalekit.kit.spawning import is_answering, spawn
from scalekit.kit.token_file import TokenFile
from scalekit.ops.console import formatted
from scalekit.ops.draining import has_terminal

reactor = cast(Any, _reactor)
_log = Logger(namespace="scalekit.run")

#: As long as the balancer's own probe takes at most, and a cold application a little more.
PING_SECONDS = 5.0


class Terms(NamedTuple):
    """
    What ``scalekit run`` was told.

    :ivar arguments: the command.
    :ivar host: where the command's port is tried; the balancer takes the address from our connection to it.
    :ivar balancer: the URL of the registration service.
    :ivar ca: what signs the balancer's certificate; empty: an authority that the system trusts.
    :ivar token_file: empty: the balancer is on this machine.
    :ivar is_vouched: see `Registration`; ``keep_alive``, ``hosts`` and ``path`` too.
    """

    arguments: Sequence[str]
    service: str
    scheme: str
    host: str
    port: int
    balancer: str
    ca: str
    token_file: str
    start_seconds: float
    drain_seconds: float
    is_vouched: bool
    keep_alive: float | None = None
    hosts: Sequence[str] = ()
    path: str = ""


def run_command(terms: Terms, environ: Mapping[str, str]) -> int:
    """
    Run it until it has ended; what there is to say goes to the standard error.

    :param environ: the command's.
    :return: its exit status, negative for the signal that it died of; 1 when the port is somebody else's.
    :raises ConfigurationFault: the token file cannot be used.
    """
    globalLogBeginner.beginLoggingTo([FileLogObserver(sys.stderr, _line)], redirectStandardIO=False)
    Factory.noisy = False  # a line for each connection
    token = TokenFile(terms.token_file, terms.service)
    token.headers()
    client = make_client(reactor, terms.ca or None)
    registration = new_registration(
        terms.balancer,
        terms.port,
        socket.gethostname(),
        time.time(),
        service=terms.service,
        scheme=terms.scheme,
        keep_alive=terms.keep_alive,
        is_vouched=terms.is_vouched,
        hosts=terms.hosts,
        path=terms.path,
    )
    membership = Membership(registration, client=client, clock=reactor, random=random.random, headers=token.headers)
    with TemporaryDirectory(prefix="scalekit-") as directory:
        # The wrappers in the command answer the challenges of a balancer elsewhere.
        secret_file = Path(directory, "secret")
        membership.on_secret = lambda secret: _replace(secret_file, secret)
        return _run(terms, {**environ, "SCALEKIT_SECRET_FILE": str(secret_file)}, membership, client)


def _replace(file: Path, text: str) -> None:
    """Write a file, in a directory that is ours alone, so that nobody reads a half of it."""
    new = file.with_suffix(".new")
    new.write_text(text, "ascii")
    new.replace(file)


def _run(terms: Terms, environ: Mapping[str, str], membership: Membership, client: Client) -> int:
    command = WrappedCommand(
        lambda ended: spawn(terms.arguments, environ, reactor, ended),
        lambda: is_answering(terms.host, terms.port, reactor),
        membership,
        reactor,
        terms.start_seconds,
        terms.drain_seconds,
    )
    if terms.scheme == "http":
        command.on_serving = lambda: _look_for_ping(client, terms.host, terms.port)
    over = _Run(command)
    reactor.callWhenRunning(over.start, terms.host, terms.port)
    reactor.run()
    return over.status


def _line(event: dict[str, Any]) -> str | None:
    """An event as a line; that the reactor has ended says nothing to whoever runs a command."""
    is_reactor = event.get("log_namespace") == "twisted.internet.base" and event.get("log_level") is LogLevel.info
    return None if is_reactor else formatted(event)


class _Run:
    """From the reactor's start to its end."""

    def __init__(self, command: WrappedCommand) -> None:
        self._command = command
        self._had_terminal = has_terminal()
        self.status = 1

    def start(self, host: str, port: int) -> None:
        # Only now: the reactor has installed its own before.
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, self._signalled)
        # Whoever has the port already would be registered, and unregistered when our command cannot have it.
        is_answering(host, port, reactor).addCallback(self._spawn, host, port).addErrback(self._failed)

    def _spawn(self, is_taken: bool, host: str, port: int) -> Deferred[None] | None:
        if is_taken:
            _log.critical("somebody else listens on {host}:{port} already", host=host, port=port)
            reactor.stop()
            return None
        return self._command.start().addCallback(self._ended)

    def _ended(self, status: int) -> None:
        self.status = status
        reactor.stop()

    def _failed(self, failure: Failure) -> None:
        _log.failure("running the command", failure)
        reactor.stop()

    def _signalled(self, number: int, frame: FrameType | None = None) -> None:
        """The signal itself, in the middle of anything: only wakes the reactor."""
        reactor.callFromThread(self._take, number)

    def _take(self, number: int) -> None:
        if self._command.state == "new":
            if number in (signal.SIGTERM, signal.SIGINT):
                reactor.stop()
        elif number == signal.SIGHUP and self._had_terminal and not has_terminal():
            self._command.end(signal.SIGINT)  # nobody is there any more
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._command.end(number)
        else:
            self._command.pass_on(number)


def _look_for_ping(client: Client, host: str, port: int) -> None:
    """Say what the balancer would only show in its listing: that the command has no ``/ping``."""

    def look(answer: Answer) -> None:
        if not 200 <= answer.status < 300:
            _log.warn(
                "GET /ping is answered with {status}; the balancer sends requests only to those that answer 200:"
                " give the application such a route, or wrap it in scalekit.kit.wsgi or scalekit.kit.asgi",
                status=answer.status,
            )

    def unreachable(failure: Failure) -> None:
        _log.warn("GET /ping is not answered: {cause}", cause=why_unreachable(failure))

    host = f"[{host}]" if ":" in host else host
    client.fetch("GET", f"http://{host}:{port}/ping", seconds=PING_SECONDS).addCallbacks(look, unreachable)


def die_as(status: int) -> int:
    """
    End as the command has ended, so that whoever started us sees the same.

    :param status: negative for a signal: then this process dies of it too, without a core of its own.
    :return: the status to exit with, where the signal does not end us (the first process of a container).
    """
    if status >= 0:
        return status
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if -status not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
    return 128 - status
