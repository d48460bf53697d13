"""``scalekit logs fsck``: whether the files of a log are as its daemon has left them."""

from __future__ import annotations

import json
import os

import click
from rich.text import Text

from scalekit.errors import ConfigurationFault
from scalekit.logs.directory import FoundDirectory, LocalDirectory
from scalekit.logs.fsck.checking import check
from scalekit.logs.fsck.findings import Report
from scalekit.logs.fsck.repairing import repair
from scalekit.ops.cli.running import Surroundings, configured, read_configuration
from scalekit.ops.cli.showing import show, table

#: Exit statuses, as those of other commands of this name.
CLEAN, FOUND, CANNOT = 0, 1, 2


@click.command()
@click.option("--directory", metavar="PATH", help="Where log.txt is, instead of where the configuration has it.")
@click.option(
    "--repair", "is_repair", is_flag=True, help="Do what a start would do, and make indexes; no daemon may run."
)
@click.option("--json", "is_json", is_flag=True, help="The findings as lines of JSON.")
@configured
@click.pass_obj
def fsck(
    surroundings: Surroundings,
    /,
    directory: str | None,
    is_repair: bool,
    is_json: bool,
    config: str | None,
    state_directory: str | None,
) -> int:
    """
    Look at a log's files: journal, checkpoints, volumes, their order and checksums, indexes.

    Changes nothing without --repair.  It may run beside the log's daemon: then it leaves out what that is writing.
    The exit status is 0 if all is as it was written, 1 if something is not, 2 if that cannot be found out.
    """
    try:
        settings = read_configuration(surroundings, config, state_directory).logs
        path = os.path.abspath(directory) if directory is not None else settings.directory
        if is_repair:
            report = _repair(path, int(settings.delay * 1e9), int(surroundings.wall() * 1e9), settings.compress)
        else:
            report = _check(path)
    except ConfigurationFault as fault:
        click.echo(f"scalekit: {fault}", err=True)
        return CANNOT
    except OSError as fault:
        click.echo(f"scalekit: {fault.filename or path}: {fault.strerror or fault}", err=True)
        return CANNOT
    if is_json:
        for finding in report.findings:
            click.echo(json.dumps(finding._asdict()))
    else:
        _show(path, report)
    return CLEAN if report.is_clean else FOUND


def _check(path: str) -> Report:
    files = FoundDirectory(path)
    try:
        is_taken = files.is_taken()
        report = check(files, is_partial=is_taken)
        if not is_taken and files.is_taken():  # a daemon has been started: what it writes are no faults
            report = check(files, is_partial=True)
    finally:
        files.close()
    return report


def _repair(path: str, delay: int, now: int, is_compressed: bool) -> Report:
    FoundDirectory(path).close()  # or it would be made
    directory = LocalDirectory(path)
    try:
        for sentence in repair(directory, delay, now, is_compressed=is_compressed):
            click.echo(f"scalekit: {sentence}", err=True)
        return check(directory)
    finally:
        directory.close()


def _show(path: str, report: Report) -> None:
    if report.findings:
        rows = table("file", "offset", "what", right=("offset",))
        for finding in sorted(
            report.findings, key=lambda finding: (finding.is_note, finding.file, finding.offset or 0)
        ):
            offset = "" if finding.offset is None else f"{finding.offset:,}"
            style = "dim" if finding.is_note else "red"
            rows.add_row(Text(finding.file, style), Text(offset), Text(finding.what))
        show(rows)
    count = sum(not finding.is_note for finding in report.findings)
    show(Text(f"{path}: {report.entries:,} entries in volumes, {report.frames:,} frames in the journal"))
    if report.is_partial:
        show(Text("a daemon has it: what it is writing was not looked at"))
    show(Text(f"{count:,} findings" if count else "clean", "bold red" if count else "green"))
