"""What the commands that ask a running daemon share: its URL, its CA, a token, and answers that are faults."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import urlsplit

import click
import msgspec

from scalekit.config import Config
from scalekit.config.urls import ListenURL, parse_base_url
from scalekit.ops.cli.running import Surroundings, read_configuration
from scalekit.places import LOCAL_BALANCER, LOCAL_CACHE, LOCAL_LOGS, default_state_directory, local_ca, local_url

F = TypeVar("F", bound=Callable[..., Any])

#: A daemon that is there answers at once; one whose queue of connections is full does not.
ANSWER_SECONDS = 10.0
#: A thousand services with a few dozen instances each; whoever has more asks for one service.
MOST_BYTES = 64 * 1024 * 1024


class Peer(NamedTuple):
    """
    A kind of daemon.

    :ivar name: the option with its URL is ``--NAME``, the variable ``SCALEKIT_NAME``.
    :ivar local: where it is unless somebody says otherwise.
    :ivar listener: what of it is asked.
    :ivar table: of the configuration that says where it listens.
    """

    name: str
    local: str
    listener: str
    table: str


BALANCER = Peer("balancer", LOCAL_BALANCER, "registration port", "registration")
CACHE = Peer("cache", LOCAL_CACHE, "listener", "cache")
LOGS = Peer("logs", LOCAL_LOGS, "listener", "logs")


class Refused(click.ClickException):
    """The daemon says no; ``status`` is of its answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Lost(click.ClickException):
    """The daemon is not there, or not any more."""


class Told(NamedTuple):
    """
    A whole answer.

    :ivar fields: by their lower-case names.
    """

    status: int
    fields: dict[str, str]
    body: bytes


class Asking(NamedTuple):
    """
    Whom to ask, and what to show there.

    :ivar ca: a PEM file; empty: what the system trusts.
    :ivar token_file: empty: none, as on the daemon's own machine.
    """

    url: str
    ca: str
    token_file: str

    def ask(
        self,
        method: str,
        target: str,
        seconds: float = ANSWER_SECONDS,
        roles: tuple[str, ...] = ("read",),
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """
        Ask, and take the answer's JSON.

        :param target: path and query.
        :param body: of the request, sent as JSON; None: it has none.
        :param seconds: how long the answer may take.
        :param roles: whose token of a file with several is shown, if it has no operator's: the first that is there.
        :raises click.ClickException: there is no answer, or it says no (`Refused`); one line.
        """
        sent = None if body is None else json.dumps(body).encode()
        return self.said(self.fetch(method, target, seconds, roles, sent, {"Accept": "application/json"}))

    def said(self, told: Told) -> dict[str, Any]:
        """The JSON of an answer; raises `click.ClickException`: it has none."""
        said = _json(told.body)
        if said is None:
            raise click.ClickException(f"{self.url}: answered {told.status}, and not with what a daemon of ours says")
        return said

    def fetch(
        self,
        method: str,
        target: str,
        seconds: float = ANSWER_SECONDS,
        roles: tuple[str, ...] = ("read",),
        body: bytes | None = None,
        fields: dict[str, str] | None = None,
    ) -> Told:
        """The same without taking its body for JSON, unless it says no."""
        with self.opened(method, target, seconds, roles, body, fields) as answer:
            return Told(
                answer.status,
                {name.lower(): value for name, value in answer.getheaders()},
                answer.read(MOST_BYTES),
            )

    @contextmanager
    def opened(
        self,
        method: str,
        target: str,
        seconds: float = ANSWER_SECONDS,
        roles: tuple[str, ...] = ("read",),
        body: bytes | None = None,
        fields: dict[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """
        The same, its body still to be read.

        :param seconds: how long it may be silent.
        :raises Lost: there is no answer, or it breaks off.
        """
        headers = dict(fields or {})
        if self.token_file:
            headers["Authorization"] = f"Bearer {token_in(self.token_file, ('operator', *roles))}"
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        connection: http.client.HTTPConnection
        try:
            if parts.scheme == "https":
                context = ssl.create_default_context(cafile=self.ca or None)
                connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
            else:
                connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
        except FileNotFoundError:
            raise click.ClickException(
                f"{self.ca}: not found, expected the CA of a daemon that has run here, or --ca"
            ) from None
        except OSError as why:
            raise click.ClickException(f"{self.ca}: {why.strerror or why}") from None
        try:
            connection.request(method, f"{parts.path}{target}", body, headers)
            answer = connection.getresponse()
            if answer.status >= 400:
                self._refused(answer.status, answer.read(MOST_BYTES))
            yield answer
        except BrokenPipeError:
            raise  # whoever reads what we print has read enough
        except (OSError, http.client.HTTPException) as why:
            reason = getattr(why, "strerror", None) or str(why) or type(why).__name__
            raise Lost(f"{self.url}: {reason}") from None
        finally:
            connection.close()

    def _refused(self, status: int, body: bytes) -> NoReturn:
        said = _json(body)
        if said is None:
            raise click.ClickException(f"{self.url}: answered {status}, and not with what a daemon of ours says")
        raise Refused(f"{self.url}: {status}: {plain(said.get('detail'))}", status)


def _json(body: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(body)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def asking(peer: Peer) -> Callable[[F], F]:
    """A decorator: the command gets what `whom` takes."""

    def decorate(command: F) -> F:
        for option in (
            click.option("--state-directory", metavar="PATH", help="Where the local CA is, as the daemons take it."),
            click.option(
                "-c", "--config", metavar="FILE", help="The daemon's: where it listens, and its state directory."
            ),
            click.option(
                "--token-file", metavar="FILE", help="What one elsewhere wants to be shown; or SCALEKIT_TOKEN_FILE."
            ),
            click.option(
                "--ca", metavar="FILE", help="What signs its certificate; or SCALEKIT_CA.  [default: the local CA]"
            ),
            click.option(
                f"--{peer.name}",
                "at",
                metavar="URL",
                help=f"Its {peer.listener}; or SCALEKIT_{peer.name.upper()}.  [default: {peer.local}]",
            ),
        ):
            command = option(command)
        return command

    return decorate


def whom(
    peer: Peer,
    surroundings: Surroundings,
    at: str | None,
    ca: str | None,
    token_file: str | None,
    state_directory: str | None,
    config: str | None = None,
) -> Asking:
    """
    Whom the options name, the environment, or the configuration, in this order.

    :raises click.BadParameter: it is no URL, or the configuration names none.
    :raises ConfigurationFault: the configuration is wrong.
    """
    environ = surroundings.environ
    given = at or environ.get(f"SCALEKIT_{peer.name.upper()}")
    if config is not None:
        settings = read_configuration(surroundings, config, state_directory)
        state_directory = settings.state_directory
        given = given or _listener(settings, peer, config)
    state = state_directory or default_state_directory(environ)
    given = given or local_url(state, peer.table, peer.local)
    try:
        url = parse_base_url(given)
    except ValueError as why:
        raise click.BadParameter(f"found {given!r}, expected a URL such as {peer.local}: {why}") from None
    if not url.startswith(("http://", "https://")):
        raise click.BadParameter(f"found {given!r}, expected an http or https URL such as {peer.local}")
    ca = ca or environ.get("SCALEKIT_CA") or local_ca(state, url)
    return Asking(url, ca, token_file or environ.get("SCALEKIT_TOKEN_FILE") or "")


def _listener(settings: Config, peer: Peer, config: str) -> str:
    """The URL of a daemon of this configuration, by loopback if it can be reached so."""
    listen: tuple[ListenURL, ...] = getattr(settings, peer.table).listen
    for one in sorted(listen, key=lambda one: not one.is_local):
        if one.port:  # not a socket file, nor a port that the system chooses
            is_any = ip_address(one.host).is_unspecified
            return str(msgspec.structs.replace(one, host="127.0.0.1")) if is_any else str(one)
    raise click.BadParameter(f"{config}: [{peer.table}] listens on no port that it names: --{peer.name} URL is needed")


def plain(text: object) -> str:
    """What somebody else has written, for a terminal: nothing in it moves the cursor or changes colours."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text))


def token_in(path: str, roles: tuple[str, ...]) -> str:
    """
    The token of a file: the one that stands alone, or of lines ``role[:service] token`` the first of the best role.

    :raises click.ClickException: there is none, or no file; a token is never shown.
    """
    try:
        lines = [line.split() for line in Path(path).read_text("ascii").splitlines()]
    except (OSError, ValueError) as why:
        raise click.ClickException(f"{path}: found {why}, expected a file with a token") from None
    lines = [words for words in lines if words and not words[0].startswith("#")]
    for words in lines:
        if len(words) == 1:
            return words[0]
    for role in roles:
        for words in lines:
            if words[0].partition(":")[0] == role:
                return words[-1]
    raise click.ClickException(f"{path}: found no token of the role {' or '.join(roles)}")
