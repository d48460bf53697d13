"""What all commands share: where the configuration is, and faults as one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

import click

from scalekit.config import Config, load
from scalekit.errors import ConfigurationFault

F = TypeVar("F", bound=Callable[..., Any])


class Surroundings(NamedTuple):
    """
    What a command is told of the process it runs in.

    :ivar wall: as `time.time`.
    :ivar names: finds out what this machine is called.
    :ivar steady: as `time.monotonic`.
    :ivar sleep: as `time.sleep`.
    """

    environ: Mapping[str, str]
    wall: Callable[[], float]
    names: Callable[[], list[str]]
    steady: Callable[[], float]
    sleep: Callable[[float], object]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)


def configured(command: F) -> F:
    """A decorator: the command gets ``config`` and ``state_directory``, as daemons do, for `read_configuration`."""
    for option in (
        click.option("--state-directory", metavar="PATH", help="Where certificates are kept, as the daemons take it."),
        click.option("-c", "--config", metavar="FILE", help="The configuration, as the daemons take it."),
    ):
        command = option(command)
    return command


def read_configuration(surroundings: Surroundings, config: str | None, state_directory: str | None) -> Config:
    """
    The configuration that a daemon with these options would have.

    :raises ConfigurationFault: it is wrong.
    """
    return load(config, state_directory, surroundings.environ)


def run(command: click.Command, arguments: Sequence[str] | None, surroundings: Surroundings) -> int:
    """Run a command: 0, or 1 after one line on the standard error."""
    try:
        status = command.main(arguments, "scalekit", standalone_mode=False, obj=surroundings)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except click.exceptions.NoArgsIsHelpError as fault:
        click.echo(fault.ctx.get_help() if fault.ctx else "", err=True)
        return 1
    except click.ClickException as fault:
        why = fault.format_message()
    except ConfigurationFault as fault:
        why = str(fault)
    except click.Abort:
        why = "interrupted"
    except BrokenPipeError:  # whoever reads has read enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains at its end
        return 0
    except OSError as fault:
        why = f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault)
    click.echo(f"scalekit: {' '.join(why.split())}", err=True)
    return 1
