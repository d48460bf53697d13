"""``scalekit check-config``: whether daemons would start with a configuration."""

from __future__ import annotations

import os

import click

from scalekit.config import Config
from scalekit.config.loading import check_database, check_directory, load_password, load_tokens
from scalekit.config.tokens import check_private_listener
from scalekit.kit.token_file import TokenFile
from scalekit.ops.access_log import check_access_log
from scalekit.ops.certificates import check_certificates, listeners_of
from scalekit.ops.cli.running import Surroundings, configured, read_configuration
from scalekit.ops.options import PRIVATE
from scalekit.ops.trust import client_tls


@click.command("check-config")
@configured
@click.pass_obj
def check_config(surroundings: Surroundings, config: str | None, state_directory: str | None) -> None:
    """
    Say whether the daemons would start with this configuration.

    Reads it as they do, looks at the files and the places to write to that it names, and says the first fault in one
    line.
    """
    settings = read_configuration(surroundings, config, state_directory)
    for doubt in check_files(settings):
        click.echo(f"warning: {doubt}", err=True)
    click.echo(f"{config or 'the defaults'}: fine")


def check_files(settings: Config) -> list[str]:
    """
    Look at what a configuration names.

    :return: what keeps no daemon from starting, and is perhaps not meant.
    :raises ConfigurationFault: something of it is wrong.
    """
    for section, key in PRIVATE.items():
        table = getattr(settings, section)
        token_file = getattr(table, key) if key else None
        check_private_listener(section, table.listen, token_file)
        if token_file:
            load_tokens(token_file, f"{section}.{key}")
    doubts = check_certificates(settings, listeners_of(settings))
    if settings.balancer.upstream_tls.ca:
        client_tls(settings)
    if settings.redis.url is not None:
        load_password(settings.redis.password_file, "redis.password_file")
    TokenFile(settings.log_client.token_file, None).headers()
    if settings.logs.sink:
        # Only those who have any wait for what this imports.
        from scalekit.logs.sinks.opening import check_sinks

        check_sinks(settings.logs.sink)
        for sink in settings.logs.sink:
            TokenFile(sink.token_file, None).headers()
    check_access_log(settings.balancer.access_log)
    check_directory(settings.logs.directory, "logs.directory")
    if os.path.dirname(settings.data.database) != settings.state_directory or os.path.lexists(settings.data.database):
        check_database(settings.data.database, "data.database")
    return doubts
