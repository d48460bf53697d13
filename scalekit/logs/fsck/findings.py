"""What is told of a log's directory."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """
    Something that is not as the log has left it, or (``is_note``) that somebody may want to know.

    :ivar offset: in bytes; of what is compressed, before it was; None: the whole file.
    """

    file: str
    offset: int | None
    what: str
    is_note: bool = False


def note(file: str, offset: int | None, what: str) -> Finding:
    """What is in order."""
    return Finding(file, offset, what, True)


class Report(NamedTuple):
    """
    :ivar is_partial: whether a daemon has the directory, so that what it is writing was left out.
    :ivar entries: in volumes; `frames`: in the journal.
    """

    findings: list[Finding]
    is_partial: bool
    entries: int
    frames: int

    @property
    def is_clean(self) -> bool:
        """Whether there are only notes."""
        return all(finding.is_note for finding in self.findings)
