"""`bin/bench capacity`: from what was measured to a million shoppers, on a model."""

from __future__ import annotations

from pathlib import Path

import click

from bench.capacity_report import report
from bench.costs import Benchmarks
from bench.large_cases import play
from bench.machine import Machine
from bench.report import PUBLISHED, into_option
from bench.small_cases import small_cases


@click.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=PUBLISHED,
    show_default="docs/benchmarks",
    help="Where the other benchmarks wrote their figures.",
)
@click.option(
    "--shoppers",
    multiple=True,
    default=(100_000, 1_000_000),
    show_default=True,
    type=click.IntRange(1000, 5_000_000),
    help="Who wait with the page open. Can be given several times.",
)
@into_option
def capacity(folder: Path, shoppers: tuple[int, ...], into: Path) -> None:
    """Reckon how many servers so many shoppers need, and what breaks first.

    Reads what the other benchmarks found, plays the same loads through on a model and prints both
    side by side; then plays larger ones. Measures nothing itself. Writes into docs/capacity.md.

    \b
    Example:
      bin/bench capacity --shoppers 300000 --into /tmp
    """
    benchmarks = Benchmarks.read(folder)
    costs = benchmarks.costs()
    cases = small_cases(benchmarks, costs)
    large = []
    for count in sorted(shoppers):
        click.echo(f"{count:,} shoppers …", err=True)
        large.append(play(costs, count))
    found = report(benchmarks, costs, cases, large, Machine.here())
    found.show()
    found.publish(into)
