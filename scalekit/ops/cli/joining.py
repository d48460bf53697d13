"""``scalekit run``: a command of any kind behind the balancer."""

from __future__ import annotations

import shutil

import click

from scalekit.config.kinds import is_service_name
from scalekit.config.urls import parse_base_url
from scalekit.kit.registration import words_in
from scalekit.ops.cli.running import Surroundings
from scalekit.places import LOCAL_BALANCER, default_state_directory, local_ca, local_url


# What follows the command's name is the command's, also without the two dashes.
@click.command(name="run", context_settings={"allow_interspersed_args": False})
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="Where the command listens.")
@click.option("--service", metavar="NAME", help="What it is a part of; or SCALEKIT_SERVICE.  [default: default]")
@click.option(
    "--for-host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A host whose requests the service is for, where the balancer's configuration does not say; repeatable; or"
    " SCALEKIT_HOSTS.",
)
@click.option("--for-path", "path", metavar="PREFIX", default="", help="The same for paths; or SCALEKIT_PATH.")
@click.option("--scheme", type=click.Choice(["http", "https", "h2c"]), default="http", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where its port is tried until it answers.")
@click.option(
    "--balancer", metavar="URL", help=f"Where to register; or SCALEKIT_BALANCER.  [default: {LOCAL_BALANCER}]"
)
@click.option(
    "--ca", metavar="FILE", help="What signs the balancer's certificate; or SCALEKIT_CA.  [default: the local CA]"
)
@click.option("--token-file", metavar="FILE", help="What a balancer elsewhere wants; or SCALEKIT_TOKEN_FILE.")
@click.option("--state-directory", metavar="PATH", help="Where the local CA is, as the daemons take it.")
@click.option(
    "--start-seconds",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    help="How long it may take until its port answers.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(0.0),
    default=30.0,
    show_default=True,
    help="How long what is in flight may take once it is to end.",
)
@click.option(
    "--keep-alive",
    type=click.FloatRange(0.0, 86400.0),
    help="After how many seconds the command closes an idle connection: the balancer does so a second before.",
)
@click.option(
    "--vouch",
    "is_vouched",
    is_flag=True,
    help="For a command without the kit's wrapper, and a balancer elsewhere; the token must be an operator's.",
)
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND...")
@click.pass_obj
def run_behind(
    surroundings: Surroundings,
    port: int,
    service: str | None,
    hosts: tuple[str, ...],
    path: str,
    scheme: str,
    host: str,
    balancer: str | None,
    ca: str | None,
    token_file: str | None,
    state_directory: str | None,
    start_seconds: float,
    drain_seconds: float,
    keep_alive: float | None,
    is_vouched: bool,
    command: tuple[str, ...],
) -> int:
    """
    Run a command behind the balancer.

    Starts it, registers it once its port answers, and keeps it registered.  SIGTERM drains first: the balancer sends
    nothing more and says when nothing is in flight; then the command gets SIGTERM, and its exit status is ours.  A
    second SIGTERM does not wait.  SIGHUP, SIGUSR1 and SIGUSR2 go on to the command.

        scalekit run --port 3000 -- gunicorn app:app -b 127.0.0.1:3000
    """
    environ = surroundings.environ
    service = service or environ.get("SCALEKIT_SERVICE") or "default"
    if not is_service_name(service):
        raise click.BadParameter(f"found {service!r}, expected letters, digits, and . _ - inside, at most 64")
    state = state_directory or default_state_directory(environ)
    given = balancer or environ.get("SCALEKIT_BALANCER") or local_url(state, "registration", LOCAL_BALANCER)
    try:
        url = parse_base_url(given)
    except ValueError as why:
        raise click.BadParameter(f"found {given!r}, expected a URL such as {LOCAL_BALANCER}: {why}") from None
    if shutil.which(command[0], path=environ.get("PATH")) is None:
        click.echo(f"scalekit: {command[0]}: not found", err=True)
        return 127  # as a shell
    ca = ca or environ.get("SCALEKIT_CA") or local_ca(state, url)
    token_file = token_file or environ.get("SCALEKIT_TOKEN_FILE") or ""
    hosts = hosts or words_in(environ.get("SCALEKIT_HOSTS", ""))
    path = path or environ.get("SCALEKIT_PATH") or ""

    # Only now: it brings the reactor, which no other command needs.
    from scalekit.kit.tap import Terms, die_as, run_command

    terms = Terms(
        command,
        service,
        scheme,
        host,
        port,
        url,
        ca,
        token_file,
        start_seconds,
        drain_seconds,
        is_vouched,
        keep_alive,
        hosts,
        path,
    )
    # For the wrappers in the command, scalekit.kit.wsgi and asgi: whom to believe, and that the port is registered.
    told = {"SCALEKIT_BALANCER": url, "SCALEKIT_RUN": str(port)}
    return die_as(run_command(terms, {**environ, **told}))
