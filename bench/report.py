"""Printing figures, and keeping them."""

from __future__ import annotations

import json
import os
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


def _writable(_context: click.Context, _option: click.Parameter, file: Path | None) -> Path | None:
    """Refuse before the run, not after it."""
    if file is not None and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise click.BadParameter(f"{file.parent} is no folder that can be written to")
    return file


#: The option of a command to keep its figures, as `file`.
json_option = click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_writable,
    help="Keep all figures there, times in seconds and sizes in bytes.",
)


def write_json(file: Path, *, machine: Machine, **figures: Any) -> None:
    """Write figures, dataclasses among them, times in seconds and sizes in bytes.

    Raises:
        ClickException: the file can't be written.
    """
    text = json.dumps({"machine": asdict(machine), **figures}, indent=1, default=asdict)
    try:
        file.write_text(text + "\n")
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None
    click.echo(f"Written to {file}")
