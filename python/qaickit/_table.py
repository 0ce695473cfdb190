"""Label and value, row by row: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["console_on", "print_line", "print_rows"]

# Columns of a table that goes into a file or a pipe, where $COLUMNS does not say.
_PIPE_WIDTH = 160


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """As of any other output, not an end with a code that means something else."""
        raise


def console_on(stream: TextIO) -> Console:
    """A console for tables: as wide as the terminal, or wide enough where there is none."""
    is_free = not stream.isatty() and "COLUMNS" not in os.environ
    return _Console(file=stream, width=_PIPE_WIDTH if is_free else None, highlight=False)


def print_line(console: Console, text: str) -> None:
    """Print one line as it is: not wrapped, marked up or coloured."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_rows(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Print (label, value) rows."""
    listed = list(rows)
    if console.is_terminal:
        table = Table(show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for label, text in listed:
            table.add_row(Text(label), Text(text))
        console.print(table)
        return
    width = max((len(label) for label, _ in listed), default=0)
    for label, text in listed:
        aligned = text.replace("\n", "\n" + " " * (width + 2))
        print_line(console, f"{label:<{width}}  {aligned}".rstrip())
