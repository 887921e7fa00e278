"""Printing figures, and keeping them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from bench.machine import Machine


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print rows under a head, the first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, ["-" * width for width in widths], *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
        click.echo("  ".join(cells).rstrip())


def write_json(file: Path, *, machine: Machine, **figures: Any) -> None:
    """Write figures, times in seconds and sizes in bytes.

    Raises:
        ClickException: the file can't be written.
    """
    text = json.dumps({"machine": asdict(machine), **figures}, indent=1)
    try:
        file.write_text(text + "\n")
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    click.echo(f"Written to {file}")
