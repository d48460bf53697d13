"""``scalekit check-config``: whether daemons would start with a configuration."""

from __future__ import annotations

import click

from scalekit.config import Config
from scalekit.config.loading import load_tokens
from scalekit.config.tokens import check_private_listener
from scalekit.net.contexts import certified
from scalekit.ops.certificates import client_ca, configured_pairs, listeners_of
from scalekit.ops.cli.running import Surroundings, configured, read_configuration
from scalekit.ops.options import PRIVATE
from scalekit.ops.trust import client_tls


@click.command("check-config")
@configured
@click.pass_obj
def check_config(surroundings: Surroundings, config: str | None, state_directory: str | None) -> None:
    """
    Say whether the daemons would start with this configuration.

    Reads it as they do, with the token files and certificates that it names; says the first fault in one line.
    """
    settings = read_configuration(surroundings, config, state_directory)
    check_files(settings)
    click.echo(f"{config or 'the defaults'}: fine")


def check_files(settings: Config) -> None:
    """
    Read what a configuration names.

    :raises ConfigurationFault: something of it is wrong.
    """
    for section, key in PRIVATE.items():
        table = getattr(settings, section)
        token_file = getattr(table, key) if key else None
        check_private_listener(section, table.listen, token_file)
        if token_file:
            load_tokens(token_file, f"{section}.{key}")
    for pair in configured_pairs(settings):
        certified(pair.read())
    for url in listeners_of(settings):
        demanded = client_ca(settings, url)
        if demanded is not None:
            demanded.read()
    if settings.balancer.upstream_tls.ca:
        client_tls(settings)
