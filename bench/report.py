"""Printing figures, and keeping them: as JSON, as charts, and as tables in the document.

What is written down for people is made by the run that measured it, from the same figures as the
JSON beside it. So the three can't disagree.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill
from typing import Any

import click

from bench.machine import Machine, commit
from bench.processes import ROOT
from bench.tables import Table

#: Where what a benchmark found is kept, and beside it the document of all of them.
PUBLISHED = ROOT / "docs" / "benchmarks"


@dataclass(frozen=True)
class Report:
    """What a benchmark found.

    Args:
        name: its command's.
        options: what it was asked to do, as far as it counts.
        figures: all of them, of every run: times in seconds, sizes in bytes. Dataclasses are taken.
        tables: as they are printed, and stand in the document.
        charts: by name, as SVG; the main one has the name of the benchmark.
        note: in a sentence or more, how it was measured; below the tables.
        document: which one, beside the folder, has the tables; if not given, that of the folder.
        how: the word for where its figures are from, before the date.
        passages: what else stands in it, by name, as Markdown: `NAME` there is `REPORT: NAME`.
    """

    name: str
    machine: Machine
    options: Mapping[str, Any]
    figures: Mapping[str, Any]
    tables: Sequence[Table]
    charts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    document: str = ""
    how: str = "Measured"
    passages: Mapping[str, str] = field(default_factory=dict)

    def show(self) -> None:
        """Print the tables, and what they were measured on."""
        click.echo("\n\n".join(map(str, self.tables)))
        for words in filter(None, (self.note, str(self.machine))):
            click.echo("\n" + fill(words, 110))

    def publish(self, into: Path) -> None:
        """Write `NAME.json` and the charts into a folder, and the tables into its document.

        The document of a folder `docs/benchmarks` is `docs/benchmarks.md`. What stands between
        its lines `<!-- NAME -->` and `<!-- /NAME -->` is replaced; without them it is left alone.
        So it is with passages, between `<!-- NAME: PASSAGE -->` and `<!-- /NAME: PASSAGE -->`.

        Raises:
            ClickException: a file can't be written.
        """
        files = {into / f"{self.name}.json": self.as_json()}
        files |= {into / f"{name}.svg": svg for name, svg in self.charts.items()}
        document = into.with_name(f"{self.document or into.name}.md")
        if document.exists():
            files |= {document: self._put_into(document.read_text(), into.name)}
        for file, text in files.items():
            _write(file, text)
        click.echo("Written to " + ", ".join(_from_here(file) for file in files))

    def write(self, file: Path) -> None:
        """Write `NAME.json` under another name.

        Raises:
            ClickException: the file can't be written.
        """
        _write(file, self.as_json())
        click.echo(f"Written to {file}")

    def as_json(self) -> str:
        """Return all figures, with the conditions that they were measured under."""
        return as_json(
            self.machine, benchmark=self.name, options=dict(self.options), **self.figures
        )

    def _put_into(self, text: str, folder: str) -> str:
        blocks = {f"{self.name}: {name}": f"\n{words}\n\n" for name, words in self.passages.items()}
        for name, block in {self.name: self._markdown(folder), **blocks}.items():
            between = re.compile(rf"(?<=^<!-- {name} -->\n).*?(?=^<!-- /{name} -->$)", re.S | re.M)
            text = between.sub(lambda _, block=block: block, text)  # type: ignore[misc]
        return text

    def _markdown(self, folder: str) -> str:
        pictures = [f"![{_title(svg)}]({folder}/{name}.svg)" for name, svg in self.charts.items()]
        tables = [table.markdown() for table in self.tables]
        measured = f"{self.how} {_now():%Y-%m-%d} by `{_command()}` on {self.machine}."
        figures = f"All figures: [{self.name}.json]({folder}/{self.name}.json)."
        parts = [*pictures, *tables, self.note, f"{measured} {figures}"]
        return "\n" + "\n\n".join(filter(None, parts)) + "\n\n"


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print rows under a head, the first column to the left and the others to the right."""
    click.echo(str(Table(head, rows)))


def as_json(machine: Machine, **figures: Any) -> str:
    """Return figures as JSON, with the machine, the date, the command and the commit."""
    conditions = {
        "measured_at": _now().isoformat(timespec="seconds"),
        "command": _command(),
        "commit": commit(),
        "machine": asdict(machine),
    }
    return json.dumps(conditions | figures, indent=1, default=_plain) + "\n"


def _writable_parent(_: click.Context, option: click.Parameter, file: Path | None) -> Path | None:
    """Refuse before the run, not after it."""
    if file is not None and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise click.BadParameter(f"{file.parent} is no folder that can be written to")
    return file


def _writable_folder(_: click.Context, option: click.Parameter, folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"{folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise click.BadParameter(f"{folder} can't be written to")
    return folder.resolve()


#: The option of a command to keep its figures in a file of one's choice, as `file`.
json_option = click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_writable_parent,
    help="Keep all figures there as well, times in seconds and sizes in bytes.",
)

#: The option of a command to publish what it found elsewhere, as `into`.
into_option: Callable[..., Any] = click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=PUBLISHED,
    show_default="docs/benchmarks",
    callback=_writable_folder,
    help="Write JSON and charts there; and tables into the document beside it, docs/benchmarks.md.",
)


def write_json(file: Path, *, machine: Machine, **figures: Any) -> None:
    """Write figures, dataclasses among them, times in seconds and sizes in bytes.

    Raises:
        ClickException: the file can't be written.
    """
    _write(file, as_json(machine, **figures))
    click.echo(f"Written to {file}")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None


def _plain(value: Any) -> Any:
    """Return what JSON can say of an object: what it says itself, or its fields."""
    own = getattr(value, "as_json", None)
    return own() if own else asdict(value)


def _now() -> datetime:
    return datetime.now(UTC)


def _command() -> str:
    """Return the command that was given, as one would type it."""
    return shlex.join(["bin/bench", *sys.argv[1:]])


def _title(svg: str) -> str:
    found = re.search(r"<title[^>]*>([^<]*)", svg)
    return found[1] if found else ""


def _from_here(file: Path) -> str:
    return os.path.relpath(file) if file.is_relative_to(Path.cwd()) else str(file)
