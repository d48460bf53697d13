"""What commands show: lines and tables, for a terminal or a pipe."""

from __future__ import annotations

from collections.abc import Collection

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Where the width is not known, as in a pipe, nothing is cut off.
_WIDE = 200


def table(*columns: str, right: Collection[str] = ()) -> Table:
    """:param right: the columns that are aligned there, as numbers are."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left")
    return made


def show(*lines: Text | Table) -> None:
    """Print them: to a pipe without colours; what somebody else has written is text, never markup."""
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, emoji=False, markup=False, width=_WIDE)
    for line in lines:
        # A line stays one, however long: for grep, and for whoever copies it out of a terminal.
        console.print(line, soft_wrap=isinstance(line, Text))
