"""
The whole directory of a log, without changing anything in it.

Beside a daemon at work, what that may be writing is left out: the open volume, the newest of the journal, and what
both should have in common.  Its sealed volumes, their indexes, and the rest of the journal are looked at all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scalekit.logs.checkpoint import Checkpoint, decode_checkpoint
from scalekit.logs.directory import Files
from scalekit.logs.fsck.findings import Finding, Report, note
from scalekit.logs.fsck.journal import Journal, check_journal
from scalekit.logs.fsck.volumes import Checked, Known, check_open, check_sealed, check_unknown
from scalekit.logs.journal import PREFIX as JOURNAL
from scalekit.logs.output import CHECKPOINTS, read_checkpoint
from scalekit.logs.quarantine import PREFIX as QUARANTINE
from scalekit.logs.sinks.cursor import PREFIX as SINK
from scalekit.logs.sinks.cursor import decode_cursor
from scalekit.logs.sinks.refused import PREFIX as REFUSED
from scalekit.logs.volumes import INDEX, LATE, LOG, number_of, open_numbers

_MANIFEST = ".json"


def check(files: Files, *, is_partial: bool = False) -> Report:
    """
    Everything that is not as the log has left it.

    :param is_partial: whether a daemon is at work.
    """
    names = files.names()
    checkpoint = read_checkpoint(files)
    findings = _checkpoints(files, names, checkpoint) + _others(files, names, checkpoint)
    journal = check_journal(files, checkpoint, is_partial=is_partial)
    findings += journal.findings
    known = Known(files, journal.entries, set())
    volumes: list[Checked] = []
    for name in names:
        if name.endswith(_MANIFEST) and number_of(name) is not None:
            volumes += _read(name, lambda name=name: [check_sealed(known, name)])  # type: ignore[misc]
            if is_partial and not files.size(name):  # its daemon has removed it meanwhile
                volumes.pop()
    if not is_partial:
        sealed = {number_of(name) for name in names if name.endswith(_MANIFEST)}
        left = [number for number in open_numbers(names) if number not in sealed]
        if checkpoint is None:
            volumes += _read(LOG, lambda: check_unknown(known, left))
        elif checkpoint.volume.number not in sealed:
            at_hand = checkpoint
            volumes += _read(LOG, lambda: check_open(known, at_hand))
            findings += _together(journal, known, checkpoint, volumes)
    findings += [finding for volume in volumes for finding in volume.findings]
    return Report(findings, is_partial, sum(volume.entries for volume in volumes), journal.frames)


def _read(name: str, call: Callable[[], list[Checked]]) -> list[Checked]:
    """What a call says; that it could not read."""
    try:
        return call()
    except OSError as error:
        return [Checked([Finding(name, None, f"it cannot be read: {error.strerror}")], 0, 0)]


def _checkpoints(files: Files, names: Sequence[str], newest: Checkpoint | None) -> list[Finding]:
    findings = []
    if newest is not None:
        instead = "the other one counts"
        is_needed = newest.generation > 1  # the first of all has no other one yet
    else:
        instead = "a start finds out by the volumes what is written"
        # The first volume of all may have been begun, and the power lost before its first checkpoint.
        is_needed = open_numbers(names) not in ([], [1]) or any(number_of(name) is not None for name in names)
    for name in CHECKPOINTS:
        data = files.read(name)
        if data and decode_checkpoint(data) is None:
            findings.append(Finding(name, 0, f"it is damaged: {instead}"))
        elif not data and is_needed:
            findings.append(Finding(name, None, f"it is missing: {instead}"))
    return findings


def _others(files: Files, names: Sequence[str], checkpoint: Checkpoint | None) -> list[Finding]:
    """Files that no volume and no checkpoint speaks of."""
    findings = []
    there = set(names)
    kept = set()
    if checkpoint is not None:
        kept = {checkpoint.volume.number}
        if checkpoint.closing is not None:
            kept.add(checkpoint.closing.extent.number)
    for name in names:
        number = number_of(name)
        if name in (*CHECKPOINTS, LOG, LATE) or name.startswith(JOURNAL):
            continue
        if name.startswith(QUARANTINE):
            findings.append(note(name, None, f"{files.size(name)} bytes that could not be read, kept to be looked at"))
        elif name.startswith(REFUSED):
            findings.append(note(name, None, f"{files.size(name)} bytes of entries that were refused where they went"))
        elif name.startswith(SINK) and name.endswith(_MANIFEST):
            if decode_cursor(files.read(name)) is None:
                findings.append(Finding(name, None, "it is damaged: its sink sends again what the journal has"))
        elif number is not None:
            if f"{name.partition('.')[0]}{_MANIFEST}" in there or number in kept:
                continue
            if name.endswith(INDEX):
                findings.append(note(name, None, "an index of no volume; it is removed"))
            elif name.endswith((".ndjson", ".ndjson.gz")):
                findings.append(Finding(name, None, "its manifest is missing; a start makes it anew"))
            else:
                findings.append(Finding(name, None, "a text whose truth is missing"))
        elif found := open_numbers([name]):
            if checkpoint is not None and found[0] not in kept:
                what = "the checkpoint does not know it; a start takes from it what is not written elsewhere"
                findings.append(Finding(name, None, what))
        else:
            findings.append(note(name, None, "no file of the log, or one that it has left half done"))
    return findings


def _together(journal: Journal, known: Known, checkpoint: Checkpoint, volumes: Sequence[Checked]) -> list[Finding]:
    """Whether the journal's entries are in the volumes as the checkpoint says."""
    oldest = min((volume.first_time for volume in volumes if volume.entries), default=0)
    missing, twice = [], []
    for sequence, entry in journal.entries.items():
        is_written = checkpoint.is_written(sequence, entry.time)
        if is_written and sequence not in known.seen and entry.time >= oldest:  # else its volume is gone
            missing.append(sequence)
        elif not is_written and sequence in known.seen:
            twice.append(sequence)
    name = checkpoint.volume.truth
    findings = []
    if missing:
        what = f"{len(missing)} entries, from {missing[0]} to {missing[-1]}, are missing: the journal has them"
        findings.append(Finding(name, None, f"{what}, and the checkpoint says that they are written"))
    if twice:
        what = f"{len(twice)} entries, from {twice[0]} to {twice[-1]}, are written"
        findings.append(Finding(name, None, f"{what}, and the checkpoint says that they are not: a start repeats them"))
    return findings
