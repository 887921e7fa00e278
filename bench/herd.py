"""`bin/bench herd`: thousands of tabs come back after their server was restarted."""

from __future__ import annotations

import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from bench.herd_report import report_on
from bench.machine import Machine, allow_files
from bench.neighbours import Neighbours
from bench.report import into_option
from bench.restart import AS_PAGES, AT_ONCE, Load, Restart, Way
from bench.restart_drill import restart
from bench.sale import BYSTANDERS
from bench.samples import read_profile

#: The default of `SHOP_DRAIN_SECONDS`.
_DRAIN = 5.0

WAYS = {
    way.name: way
    for way in (
        Way("drained", signal.SIGTERM, _DRAIN, AS_PAGES),
        Way("killed", signal.SIGKILL, _DRAIN, AS_PAGES),
        Way("all at once", signal.SIGKILL, _DRAIN, AT_ONCE),
    )
}


@click.command()
@click.option(
    "--tabs",
    default=5000,
    type=click.IntRange(10, 15_000),
    show_default=True,
    help="Each with a stream and a cart of its own.",
)
@click.option(
    "--way",
    "names",
    type=click.Choice(list(WAYS)),
    multiple=True,
    default=list(WAYS),
    show_default=True,
    help="How the server ends and its tabs come back. Can be given several times.",
)
@click.option("--runs", default=1, type=click.IntRange(1, 20), show_default=True)
@click.option(
    "--rate",
    default=50.0,
    type=click.FloatRange(1, 1000),
    show_default=True,
    help="Adds and removes a second by other visitors, all the while.",
)
@click.option("--profile", is_flag=True, help="Tell where the new server's CPU time goes.")
@into_option
def herd(
    tabs: int, names: tuple[str, ...], runs: int, rate: float, profile: bool, into: Path
) -> None:
    """Measure how thousands of tabs come back after their server was restarted.

    The server is told to end (SIGTERM) and lets its tabs go over five seconds, or is killed; a new
    one starts at the same port as soon as the old one has ended. Tabs come back as htmx has them
    come, at random moments and later after each attempt that failed; or all in the moment in which
    the port opens. While no server runs an item in all their carts sells out: a tab is current
    when it shows that, in its own cart. Other visitors add and remove all the while.

    \b
    Example:
      bin/bench herd --tabs 1000 --way drained
    """
    allow_files(tabs + BYSTANDERS)
    machine, load, neighbours = Machine.here(), Load(tabs, rate), Neighbours()
    with TemporaryDirectory(prefix="shop-bench-samples-") as folder:
        samples = Path(folder) if profile else None
        restarts = {name: _run(WAYS[name], load, runs, samples) for name in names}
        profiled = read_profile(Path(folder)).tables() if profile else []
    report = report_on(machine, load, runs, restarts, neighbours)
    report.show()
    if profiled:
        click.echo("\n" + "\n\n".join(map(str, profiled)))
    else:
        report.publish(into)


def _run(way: Way, load: Load, runs: int, samples: Path | None) -> list[Restart]:
    done = []
    for number in range(runs):
        click.echo(f"{way.name}, {load.tabs:,} tabs, run {number + 1} of {runs} …", err=True)
        file = samples / f"{way.name} {number}.json" if samples else None
        done.append(restart(way, load, file))
    return done
