"""`bin/bench capacity`: from what was measured to a million shoppers, on a model.

The model has processes that do one thing at a time: requests as they come, streams that open, and a
broadcast in slices, between which others go on. What a thing costs is what the other benchmarks
measured; nothing is measured here. It says only what its small cases confirm.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import click
import simpy

from bench.machine import OtherWork
from bench.report import PUBLISHED, Report, into_option, number, read_figures

#: How long a broadcast goes on before others have their turn, and for how long changes are
#: gathered before it begins, in seconds; see shop/streams.py and shop/live.py.
_SLICE, _TICK = 0.002, 0.020

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

    Plays loads that were measured through on a model and prints both side by side; then larger
    ones. Measures nothing itself. Writes into docs/capacity.md.

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


#: What happens in the model, one event after another.
Events = Generator[simpy.Event, Any, Any]


class Process:
    """A server process, which does one thing at a time."""

    def __init__(self, world: simpy.Environment) -> None:
        self.world = world
        self._processor = simpy.Resource(world, capacity=1)

    def work(self, seconds: float) -> Events:
        """Do something that takes so much CPU time."""
        with self._processor.request() as turn:
            yield turn
            yield self.world.timeout(seconds)

    def broadcast(self, tabs: int, each: float) -> Events:
        """Tell tabs of a change, in slices."""
        yield self.world.timeout(_TICK / 2)
        left = tabs * each
        while left > 0:
            yield from self.work(min(_SLICE, left))
            left -= _SLICE


def time_to_tell(tabs: int, each: float, rate: float, action: float) -> float:
    """Return the seconds until the last tab of a process has a change, while others act."""
    return _play(lambda process: process.broadcast(tabs, each), rate, action)


def time_to_return(arrivals: Sequence[float], opening: float, rate: float, action: float) -> float:
    """Return the seconds until all streams are open that come at these moments to a process."""

    def come(process: Process, at: float) -> Events:
        yield process.world.timeout(at)
        yield from process.work(opening)

    def all_come(process: Process) -> Events:
        yield process.world.all_of([process.world.process(come(process, at)) for at in arrivals])

    return _play(all_come, rate, action)


def _play(load: Callable[[Process], Events], rate: float, action: float) -> float:
    world, chance = simpy.Environment(), random.Random(1)
    process = Process(world)

    def act() -> Events:
        while True:
            yield world.timeout(chance.expovariate(rate))
            world.process(process.work(action))

    if rate:
        world.process(act())
    world.run(until=world.process(load(process)))
    return float(world.now)


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
