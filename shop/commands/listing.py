"""Lists of any length: written as they are read, and never held as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import click

T = TypeVar("T")

Pages = Iterable[Sequence[T]]


def write_json(pages: Pages[T], row: Callable[[T], object]) -> None:
    """Write one array of what `row` makes of each, with a line for each."""
    before = "[\n"
    for page in pages:
        click.echo(before + ",\n".join(json.dumps(row(each)) for each in page), nl=False)
        before = ",\n"
    click.echo("[]" if before == "[\n" else "\n]")


def write_lines(pages: Pages[T], line: Callable[[T], str], none: str) -> None:
    """Write what `line` makes of each; where there is nothing, say so."""
    for page in pages:
        click.echo("\n".join(map(line, page)))
        none = ""
    if none:
        click.echo(none)
