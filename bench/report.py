"""What a benchmark found: printed, kept as JSON, drawn, and written into the document.

One command makes one table, from the same figures as the JSON and the chart beside it.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.machine import OtherWork, commit, describe_machine
from bench.processes import ROOT

#: Where figures are kept; the document beside it, `docs/benchmarks.md`, has the tables.
PUBLISHED = ROOT / "docs" / "benchmarks"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them doesn't exceed: one that was seen."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -int(-share * len(ordered) // 1)) - 1)]


def number(value: float, unit: str = "") -> str:
    """Write a number with three digits that count."""
    digits = (
        0
        if abs(value) >= 100 or not value
        else 1
        if abs(value) >= 10
        else 2
        if abs(value) >= 1
        else 3
    )
    return f"{value:,.{digits}f} {unit}".strip()


def spread(values: Sequence[float], unit: str = "", scale: float = 1) -> str:
    """Write the median of values, with the least and the most of them."""
    inner = sorted(value * scale for value in values)
    if not inner:
        return "–"
    if len(inner) == 1:
        return number(inner[0], unit)
    return f"{number(median(inner), unit)} ({number(inner[0])}–{number(inner[-1])})"


@dataclass(frozen=True)
class Goal:
    """A figure that must hold, at most `limit` or at least."""

    name: str
    value: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        verdict = "holds" if self.holds else "**does not hold**"
        limit = number(self.limit, self.unit)
        return f"{self.name}: {number(self.value, self.unit)}, {word} {limit}: {verdict}"


@dataclass
class Report:
    """What a benchmark found.

    Args:
        name: its command's.
        figures: medians and quantiles by name; times in seconds, sizes in bytes.
        head, rows: the table, as it is printed and stands in the document.
        bars: what the chart shows, by label; `bars_title` says what it is, with its unit.
        note: how it was measured, in a sentence or more.
    """

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    goals: Sequence[Goal] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    bars: Mapping[str, float] = field(default_factory=dict)
    bars_title: str = ""
    note: str = ""
    document: str = "benchmarks"

    def publish(self, into: Path, other_work: OtherWork) -> None:
        """Print it all, and write it: `NAME.json` and `NAME.svg` into a folder, the table into
        the document beside that, between its lines `<!-- NAME -->` and `<!-- /NAME -->`.

        Raises:
            ClickException: a file can't be written.
        """
        machine, others = describe_machine(), other_work.processors()
        measured = (
            f"Measured {datetime.now(UTC):%Y-%m-%d} at {commit() or 'no commit'} by `{_command()}` "
            f"on {machine}; all else there had {others:.2f} processors meanwhile."
        )
        goals = "\n".join(f"- {goal}" for goal in self.goals)
        text = "\n\n".join(filter(None, (self._table(), goals, self.note, measured)))
        click.echo(text)
        figures = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": _command(),
            "commit": commit(),
            "machine": machine,
            "other_work": round(others, 3),
            **_rounded(self.figures),
        }
        files = {into / f"{self.name}.json": json.dumps(figures, indent=1) + "\n"}
        if self.bars:
            files[into / f"{self.name}.svg"] = _bar_chart(self.bars_title, self.bars)
            text = f"![{self.bars_title}]({into.name}/{self.name}.svg)\n\n{text}"
        document = into.parent / f"{self.document}.md"
        if document.exists():
            files[document] = _put_into(document.read_text(), self.name, text)
        for file, content in files.items():
            _write(file, content)
        click.echo(f"\nWritten to {', '.join(map(str, files))}", err=True)

    def _table(self) -> str:
        line = ["---", *["---:"] * (len(self.head) - 1)]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (self.head, line, *self.rows))


def read_figures(folder: Path, name: str) -> dict[str, Any]:
    """Return the figures that another benchmark kept.

    Raises:
        ClickException: it has not been run.
    """
    file = folder / f"{name}.json"
    if not file.exists():
        raise click.ClickException(f"{folder} lacks {file.name}. Run `bin/bench {name}` first.")
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures


def _make_folder(_: click.Context, __: click.Parameter, folder: Path) -> Path:
    """Refuse before the run, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise click.BadParameter(f"{folder}: {error.strerror}") from None
    return folder.resolve()


#: The option of a command to write elsewhere, as `into`.
into_option: Callable[..., Any] = click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=PUBLISHED,
    show_default="docs/benchmarks",
    callback=_make_folder,
    help="Write JSON and chart there, and the table into the document beside it.",
)


def _put_into(text: str, name: str, block: str) -> str:
    between = re.compile(rf"(?<=^<!-- {name} -->\n).*?(?=^<!-- /{name} -->$)", re.S | re.M)
    return between.sub(lambda _: f"\n{block}\n\n", text)


def _bar_chart(title: str, bars: Mapping[str, float]) -> str:
    # Known only here: it puts a finder of modules of its own into Python's import system.
    import pygal
    from pygal.style import CleanStyle

    style = CleanStyle(background="white", plot_background="white")
    chart = pygal.HorizontalBar(
        style=style, js=[], show_legend=False, print_values=True, height=90 + 45 * len(bars)
    )
    chart.title = title
    chart.x_labels = [*bars]
    chart.value_formatter = number
    chart.add("", [*bars.values()])
    return f"{chart.render(is_unicode=True)}\n"


def _rounded(figure: Any) -> Any:
    """Return figures with four digits that count: more would be noise."""
    if isinstance(figure, float):
        return float(f"{figure:.4g}")
    if isinstance(figure, Mapping):
        return {name: _rounded(value) for name, value in figure.items()}
    return [_rounded(value) for value in figure] if isinstance(figure, list) else figure


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror}") from None


def _command() -> str:
    return shlex.join(["bin/bench", *sys.argv[1:]])
