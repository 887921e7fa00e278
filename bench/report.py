"""What a benchmark found: printed, kept as JSON, drawn, and written into the document.

One command makes one table, from the same figures as the JSON and the chart beside it.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import click

from bench.machine import ROOT, commit, describe_machine, watch_others

#: Where figures are kept; the document beside it, `docs/benchmarks.md`, has the tables.
PUBLISHED = ROOT / "docs" / "benchmarks"

#: Units in which figures are shown, and how many of them a second or a byte is. Others are as is.
_SCALES = {"ms": 1e3, "µs": 1e6, "KB": 1 / 1024}

#: What one run came to, by the column's name: seconds, bytes, or numbers.
Figures = dict[str, float]

T = TypeVar("T")


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them doesn't exceed: one that was seen."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -int(-share * len(ordered) // 1)) - 1)]


def quantiles(times: Sequence[float]) -> Figures:
    """Return how many times there are, p50, p95, p99 and the longest."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}
    some = {name: quantile(times, share) for name, share in shares.items()} if times else {}
    return {"times": len(times), **some}


def number(value: float, unit: str = "") -> str:
    """Write a number with three digits that count, or a whole one as it is."""
    if isinstance(value, int):
        return f"{value:,} {unit}".strip()
    size = abs(value)
    digits = 0 if size >= 100 or not value else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{digits}f} {unit}".strip()


def spread(values: Sequence[float], unit: str = "") -> str:
    """Write the median of figures in a unit, with the least and the most of them."""
    inner = sorted(value * _SCALES.get(unit, 1) for value in values)
    if not inner:
        return ""
    if len(inner) == 1:
        return number(inner[0], unit)
    return f"{number(median(inner), unit)} ({number(inner[0])}–{number(inner[-1])})"


@dataclass(frozen=True)
class Goal:
    """A figure that must hold, at most `limit` or at least; in seconds, bytes, or a number."""

    name: str
    value: float
    limit: float
    unit: str = ""
    at_least: bool = False

    def __str__(self) -> str:
        holds = self.value >= self.limit if self.at_least else self.value <= self.limit
        word = "at least" if self.at_least else "at most"
        value, limit = spread([self.value], self.unit), spread([self.limit], self.unit)
        verdict = "holds" if holds else "**does not hold**"
        return f"{self.name}: {value}, {word} {limit}: {verdict}"


@dataclass(frozen=True)
class Column:
    """A column of the table: its title, under which name rows have its figures, and their unit."""

    title: str
    key: str
    unit: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}".removesuffix(", ")


@dataclass
class Report:
    """What a benchmark found.

    Args:
        name: its command's.
        title: of the first column, which has the names of the rows.
        rows: by name, the figures of each run; not all must have all of them. The table shows
            medians and extremes, JSON the medians.
        figures: further ones, for JSON only.
        bars: the column that the chart shows.
        note: how it was measured, in a sentence or more.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Mapping[str, Sequence[Figures]]
    goals: Sequence[Goal] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    bars: Column | None = None
    note: str = ""
    document: str = "benchmarks"

    def publish(self, into: Path, other_work: float) -> None:
        """Print it all, and write it: `NAME.json` and `NAME.svg` into a folder, the table into
        the document beside that, between its lines `<!-- NAME -->` and `<!-- /NAME -->`.

        Args:
            other_work: how many processors all else on the machine had meanwhile.
        """
        about = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["bin/bench", *sys.argv[1:]]),
            "commit": commit(),
            "machine": describe_machine(),
            "other_work": round(other_work, 3),
        }
        text = self._text(about)
        click.echo(text)
        figures = _rounded({**about, **self.figures, **self.medians()})
        (into / f"{self.name}.json").write_text(json.dumps(figures, indent=1) + "\n")
        if self.bars:
            (into / f"{self.name}.svg").write_text(self._chart(self.bars))
            text = f"![{self.bars.heading}]({into.name}/{self.name}.svg)\n\n{text}"
        document = into.parent / f"{self.document}.md"
        if document.exists():
            between = rf"(?<=^<!-- {self.name} -->\n).*?(?=^<!-- /{self.name} -->$)"
            old = document.read_text()
            new = re.sub(between, lambda _: f"\n{text}\n\n", old, flags=re.S | re.M)
            document.write_text(new)
        click.echo(f"\nWritten to {into}", err=True)

    def medians(self) -> dict[str, Figures]:
        """Return the median of each row's figures, by the names of row and column."""
        return {
            name: {key: median(values_of(runs, key)) for key in dict.fromkeys(chain(*runs))}
            for name, runs in self.rows.items()
        }

    def _text(self, about: Mapping[str, Any]) -> str:
        measured = (
            f"Measured {about['measured_at'][:10]} at {about['commit']} by `{about['command']}` "
            f"on {about['machine']}; all else there had {about['other_work']:.2f} processors "
            "meanwhile."
        )
        goals = "\n".join(f"- {goal}" for goal in self.goals)
        return "\n\n".join(filter(None, (self._table(), goals, self.note, measured)))

    def _table(self) -> str:
        lines = [[self.title, *(one.title for one in self.columns)]]
        lines += [["---", *["---:"] * len(self.columns)]]
        for name, runs in self.rows.items():
            cells = [spread(values_of(runs, one.key), one.unit) for one in self.columns]
            lines.append([name, *cells])
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

    def _chart(self, column: Column) -> str:
        # Known only here: it puts a finder of modules of its own into Python's import system.
        import pygal
        from pygal.style import CleanStyle

        scale, rows = _SCALES.get(column.unit, 1), self.medians().items()
        bars = {name: row[column.key] * scale for name, row in rows if column.key in row}
        style = CleanStyle(background="white", plot_background="white")
        options = {"style": style, "js": [], "show_legend": False, "print_values": True}
        chart = pygal.HorizontalBar(**options, height=90 + 45 * len(bars))
        chart.title, chart.value_formatter = column.heading, number
        chart.x_labels = [*bars]
        chart.add("", [*bars.values()])
        return f"{chart.render(is_unicode=True)}\n"


def benchmark(measure: Callable[..., Report]) -> click.Command:
    """Make a command of a function that measures: it has the option --into, and publishes."""

    @click.option(
        "--into",
        type=click.Path(file_okay=False, path_type=Path),
        default=PUBLISHED,
        show_default="docs/benchmarks",
        callback=_make_folder,
        help="Write JSON and chart there, and the table into the document beside it.",
    )
    @wraps(measure)
    def run(into: Path, **options: Any) -> None:
        other_work = watch_others()
        measure(**options).publish(into, other_work())

    return click.command()(run)


def values_of(runs: Sequence[Figures], key: str) -> list[float]:
    """Return a figure of those runs that have it."""
    return [figures[key] for figures in runs if key in figures]


def in_turn(cases: Collection[T], rounds: int) -> Iterator[T]:
    """Give all cases in each round; whoever goes first in one round goes last in the next."""
    for number in range(rounds):
        click.echo(f"round {number + 1} of {rounds} …", err=True)
        yield from reversed([*cases]) if number % 2 else cases


def _make_folder(_: click.Context, __: click.Parameter, folder: Path) -> Path:
    """Refuse before the run, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.BadParameter(f"{folder}: {error.strerror}") from None
    return folder.resolve()


def _rounded(figure: Any) -> Any:
    """Return figures with four digits that count: more would be noise."""
    if isinstance(figure, float):
        return float(f"{figure:.4g}")
    if isinstance(figure, Mapping):
        return {name: _rounded(value) for name, value in figure.items()}
    return figure
