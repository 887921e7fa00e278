"""`bin/bench sellout`: one item in thousands of different carts sells out."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from bench.machine import Machine, allow_files
from bench.neighbours import Neighbours
from bench.processes import client
from bench.report import into_option
from bench.sale import BYSTANDERS, DELIVERY, Load, Sale, Told
from bench.samples import read_profile
from bench.sellout_report import report_on
from bench.shops import Shop, open_shop


@click.command()
@click.option(
    "--tabs",
    default=10_000,
    type=click.IntRange(10, 15_000),
    show_default=True,
    help="Each with a stream and a cart of its own.",
)
@click.option("--rounds", default=8, type=click.IntRange(1, 100), show_default=True)
@click.option(
    "--rate",
    default=50.0,
    type=click.FloatRange(1, 1000),
    show_default=True,
    help="Adds and removes a second by other visitors, meanwhile.",
)
@click.option("--profile", is_flag=True, help="Tell where the server's CPU time goes. Costs some.")
@into_option
def sellout(tabs: int, rounds: int, rate: float, profile: bool, into: Path) -> None:
    """Measure how soon all tabs know that an item in all their carts is sold out.

    Each tab has a two-line cart of its own. An operator in another process sells out the one item
    that all of them hold; each tab must then have its own cart, with that line struck out. In turn
    with it, a fragment that is the same for all goes to the same tabs. Meanwhile other visitors add
    and remove, half of them on connections that they keep, half on fresh ones.

    \b
    Example:
      bin/bench sellout --tabs 2000 --rounds 3 --profile
    """
    allow_files(tabs + BYSTANDERS)
    machine, load, neighbours = Machine.here(), Load(tabs, rounds, rate), Neighbours()
    with TemporaryDirectory(prefix="shop-bench-samples-") as folder:
        samples = Path(folder) / "server.json" if profile else None
        with open_shop(tabs + 100, samples) as shop:
            told, opened = _measure(shop, load, Path(folder) / "carts", samples is not None)
        report = report_on(machine, load, told, opened, neighbours)
        report.show()
        if samples is not None:
            click.echo("\n" + "\n\n".join(map(str, read_profile(samples.parent).tables())))
        else:
            report.publish(into)


def _measure(
    shop: Shop, load: Load, carts: Path, looking: bool
) -> tuple[list[Told], dict[str, Any]]:
    with client("bench.cart_crowd") as crowd, client("bench.bystanders") as bystanders:
        sale = Sale(shop, crowd, bystanders, load)
        click.echo(f"{load.tabs:,} tabs open …", err=True)
        opened = sale.open(carts)
        told: list[Told] = []
        if looking:
            shop.look_anew()
        for number in range(load.rounds):
            click.echo(f"round {number + 1} of {load.rounds} …", err=True)
            told += sale.round(shared_first=number % 2 == 1)
        crowd.do(DELIVERY, do="leave")
    return told, opened
