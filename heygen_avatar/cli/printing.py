"""How results look: aligned columns or JSON on standard output, and what is going on as one line on a terminal."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import click

__all__ = ["Status", "print_json", "print_table"]


def print_json(value: Any) -> None:
    """One value, on one line in a pipe, indented on a terminal."""
    click.echo(json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False, default=str))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, nothing: str) -> None:
    """Rows in aligned columns, under a heading on a terminal; in a pipe, columns are separated by tabs.

    Args:
        nothing: what to tell a person where there are no rows.
    """
    table = [[_cell(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        for cells in table:
            click.echo("\t".join(cells))
        return
    if not table:
        click.echo(nothing, err=True)
        return
    widths = [max(len(cells[number]) for cells in [list(columns), *table]) for number in range(len(columns))]
    click.secho(_line([column.replace("_", " ") for column in columns], widths), bold=True)
    for cells in table:
        click.echo(_line(cells, widths))


class Status:
    """One line on the terminal that says what is going on, and goes away; nothing in a pipe. For any thread."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._shown = False

    def show(self, text: str) -> None:
        """Say what is going on, in place of what was said before."""
        if not self._terminal:
            return
        with self._lock:
            self._wipe()
            click.secho(f"{text} ...", dim=True, nl=False, err=True)
            self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            self._wipe()

    def note(self, text: str) -> None:
        """A line that stays."""
        if self._terminal:
            self.clear()
            click.secho(text, dim=True, err=True)

    def _wipe(self) -> None:
        if self._shown:
            click.echo("\r\x1b[2K", nl=False, err=True)
            self._shown = False


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(str(value).split())


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
