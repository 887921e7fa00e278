"""`bin/bench pages`: what pages, adds and purchases cost, beside a route that does nothing."""

from __future__ import annotations

from pathlib import Path

import click

from bench.machine import Machine, allow_files
from bench.neighbours import Neighbours
from bench.pages_report import report_on
from bench.report import into_option, json_option
from bench.visits import Load, measure


@click.command()
@click.option(
    "--seconds",
    default=0.5,
    type=click.FloatRange(0.2, 4),
    show_default=True,
    help="Of each slice; there are nine in a round.",
)
@click.option("--rounds", default=12, type=click.IntRange(1, 100), show_default=True)
@click.option(
    "--connections",
    default=8,
    type=click.IntRange(4, 200),
    show_default=True,
    help="Visitors that act at the same time.",
)
@click.option(
    "--streams",
    default=5000,
    type=click.IntRange(10, 15_000),
    show_default=True,
    help="Open at one of the two shops, each with a cart of its own.",
)
@json_option
@into_option
def pages(
    seconds: float, rounds: int, connections: int, streams: int, file: Path | None, into: Path
) -> None:
    """Measure pages, adds, removes and purchases: rate, time to the answer, CPU time.

    Visitors on keep-alive connections ask a bare Flask route under the shop's own server class, the
    shop while no stream is open, and the shop while thousands are, in short slices in turn. Takes
    some two minutes.

    \b
    Example:
      bin/bench pages --rounds 4 --streams 1000
    """
    allow_files(streams + connections)
    machine, load = Machine.here(), Load(streams, rounds, seconds, connections)
    neighbours = Neighbours()
    done, alone = measure(load)
    report = report_on(machine, load, done, alone, neighbours)
    report.show()
    if file is not None:
        report.write(file)
    report.publish(into)
