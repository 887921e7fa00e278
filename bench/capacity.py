"""`bin/bench capacity`: from what was measured to a million shoppers, on a model.

The model is two formulas for a process that does one thing at a time: requests take their share of
it, a broadcast and the streams that open have the rest. What a thing costs is what the other
benchmarks measured; nothing is measured here. It says only what its small cases confirm.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import click

from bench.machine import OtherWork
from bench.report import PUBLISHED, Report, into_option, number, read_figures

#: For how long changes are gathered before a broadcast begins, in seconds; see shop/live.py.
_TICK = 0.020

#: A small case agrees if the model is within these multiples of what was measured.
_AGREES = (0.7, 1.3)

#: A server of a large set-up: processes, and open tabs in each. Half of its processors are nginx's.
PROCESSES, TABS = 8, 10_000

#: How tabs come back, as pages do: the first and the longest delay, in seconds, and their jitter.
_DELAY, _LONGEST, _JITTER = 0.3, 2.5, 0.3

#: When the first and the last tab lost its stream, in seconds before the new server served.
_LOST = {"drained": (-5.8, -0.8), "killed": (-0.8, -0.8), "all at once": (-0.8, -0.8)}

#: How soon nginx sends tabs of a lost server elsewhere, in seconds.
_NOTICED = 1.0


@dataclass(frozen=True)
class Costs:
    """What things cost a server process: CPU seconds, bytes."""

    tab_memory: float
    delivery: float
    own_cart: float
    opening: float
    action: float
    #: of a purchase, all three requests of it: of the servers, and of PostgreSQL
    purchase: float
    purchase_database: float


@dataclass(frozen=True)
class Case:
    """A load that was measured, and what the model says of it, in seconds."""

    name: str
    measured: float
    model: float

    @property
    def agrees(self) -> bool:
        return _AGREES[0] <= self.model / self.measured <= _AGREES[1]


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
    "counts",
    multiple=True,
    default=(100_000, 1_000_000),
    show_default=True,
    type=click.IntRange(1000, 5_000_000),
    help="Who wait with the page open. Can be given several times.",
)
@into_option
def capacity(folder: Path, counts: tuple[int, ...], into: Path) -> None:
    """Estimate how many servers so many shoppers need, and how soon they see a release.

    Computes loads that were measured with a model and prints both side by side; then larger ones.
    Measures nothing itself. Writes into docs/capacity.md.

    \b
    Example:
      bin/bench capacity --shoppers 300000 --into /tmp/bench
    """
    others = OtherWork()
    names = ("streams", "sellout", "herd", "pages", "cluster")
    figures = {name: read_figures(folder, name) for name in names}
    costs = _costs(figures)
    cases = [*_small_cases(figures, costs)]
    _report(costs, cases, counts).publish(into, others)


def _costs(figures: dict[str, Any]) -> Costs:
    _, tab = _streams(figures)[-1]
    cluster = figures["cluster"]["cpu_per_purchase"]
    return Costs(
        tab_memory=tab["memory"],
        delivery=tab["cpu_per_delivery"],
        own_cart=figures["sellout"]["each tab's own cart"]["cpu_per_tab"],
        opening=tab["cpu_per_opening"],
        action=figures["pages"]["add, no stream open"]["cpu"],
        purchase=cluster["servers"],
        purchase_database=cluster["PostgreSQL"],
    )


def _streams(figures: dict[str, Any]) -> list[tuple[int, dict[str, float]]]:
    """Return what `streams` measured of tabs with a cart each, by their number."""
    prefix = "carts, product fragment, "
    of_carts = ((name, one) for name, one in figures["streams"].items() if name.startswith(prefix))
    return sorted((int(name.removeprefix(prefix)), one) for name, one in of_carts)


# --- The model ---------------------------------------------------------------------------------


def time_to_tell(tabs: int, each: float, rate: float, action: float) -> float:
    """Return the seconds until the last tab of a process has a change, while others act.

    A broadcast lets requests go between its slices: these take only their share of the process.

    Args:
        each: CPU seconds that telling one tab takes.
        rate, action: how many requests a second there are besides, and CPU seconds of one.
    """
    return _TICK / 2 + tabs * each / _share_left(rate, action)


def time_to_return(arrivals: Sequence[float], opening: float, rate: float, action: float) -> float:
    """Return the seconds until all streams are open that come at these moments to a process.

    Each is opened when it has come and the one before it is open.
    """
    free, took = 0.0, opening / _share_left(rate, action)
    for at in sorted(arrivals):
        free = max(free, at) + took
    return free


def _share_left(rate: float, action: float) -> float:
    """Return how much of a process requests leave for other work, from 0 to 1.

    Raises:
        ClickException: nothing is left.
    """
    left = 1 - rate * action
    if left <= 0:
        raise click.ClickException(f"{rate:.0f} requests a second are more than a process answers")
    return left


def _arrivals(lost: Sequence[float], at_once: bool) -> list[float]:
    """Return when tabs find the server again that serves from 0 on, by when they lost theirs."""
    chance = random.Random(1)

    def arrive(at: float) -> float:
        delay = _DELAY
        while True:
            at += delay * chance.uniform(1 - _JITTER, 1 + _JITTER)
            if at >= 0:
                return at
            delay = min(2 * delay, _LONGEST)

    return [0.0 if at_once else arrive(at) for at in lost]


# --- Small cases, and large ones -----------------------------------------------------------------


def _small_cases(figures: dict[str, Any], costs: Costs) -> Iterator[Case]:
    for tabs, measured in _streams(figures):
        model = time_to_tell(tabs, measured["cpu_per_delivery"], 0, 0)
        yield Case(f"a change to {tabs:,} tabs", measured["to_last"], model)
    sellout, herd = figures["sellout"], figures["herd"]
    model = time_to_tell(sellout["tabs"], costs.own_cart, 0, 0)
    name = f"an item sells out in {sellout['tabs']:,} carts"
    yield Case(name, sellout["each tab's own cart"]["last"], model)
    tabs = herd["tabs"]
    for way, (began, ended) in _LOST.items():
        if way in herd:
            lost = [began + (ended - began) * number / tabs for number in range(tabs)]
            arrivals = _arrivals(lost, at_once=way == "all at once")
            model = time_to_return(arrivals, herd[way]["cpu_per_tab"], 0, 0)
            yield Case(f"{tabs:,} tabs come back, {way}", herd[way]["last"], model)


def _report(costs: Costs, cases: list[Case], counts: Sequence[int]) -> Report:
    rows = [
        [
            f"measured: {case.name}",
            number(case.measured, "s"),
            number(case.model, "s"),
            f"{number(case.model / case.measured, '×')}{'' if case.agrees else ', no agreement'}",
        ]
        for case in cases
    ]
    figures: dict[str, Any] = {case.name: vars(case) for case in cases}
    told = all(case.agrees for case in cases if "change" in case.name)
    back = all(case.agrees for case in cases if "come back" in case.name)
    for count in sorted(counts):
        estimate = figures[f"{count} shoppers"] = _estimate(costs, count)
        lines = {f"**{count:,} shoppers**: servers, one to spare": f"{estimate['servers']}"}
        if told:
            lines["… a release is with the last tab after"] = number(estimate["release"], "s")
        if back:
            lines["… tabs of a lost server are current after"] = number(estimate["lost"], "s")
        lines["… memory of a server for open tabs"] = number(estimate["memory"] / 2**30, "GB")
        lines["… purchases a second, at most"] = number(estimate["purchases"])
        rows += [[name, "", value, ""] for name, value in lines.items()]
    processors = ceil(costs.purchase_database / costs.purchase * PROCESSES)
    return Report(
        name="capacity",
        document="capacity",
        head=["", "measured", "model", "model, of measured"],
        rows=rows,
        figures=figures,
        note=f"A server has {PROCESSES} processes with {TABS:,} tabs each, on as many processors, "
        f"and as many again for nginx. Purchases are bounded by the servers' CPU time for one "
        f"({number(1e3 * costs.purchase, 'ms')}); PostgreSQL then uses {processors} processors "
        f"for each server, at {number(1e3 * costs.purchase_database, 'ms')} a purchase. What it "
        "costs to wait for one row that everybody wants is not in it.",
    )


def _estimate(costs: Costs, shoppers: int) -> dict[str, float]:
    servers = ceil(shoppers / (PROCESSES * TABS)) + 1
    each = shoppers / (servers * PROCESSES)
    lost = ceil(shoppers / servers / ((servers - 1) * PROCESSES))
    arrivals = _arrivals([-_NOTICED] * lost, at_once=False)
    return {
        "servers": servers,
        "release": time_to_tell(ceil(each), costs.delivery, 50, costs.action),
        "lost": _NOTICED + time_to_return(arrivals, costs.opening, 50, costs.action),
        "memory": costs.tab_memory * shoppers / (servers - 1),
        "purchases": (servers - 1) * PROCESSES / costs.purchase,
    }
