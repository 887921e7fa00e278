"""`bin/bench capacity`: from what was measured to a million shoppers, on a model.

The model is two formulas for a process that does one thing at a time: requests take their share of
it, a broadcast and the streams that open have the rest. What a thing costs is what the other
benchmarks measured; nothing is measured here. It says only what its small cases confirm.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil
from pathlib import Path
from typing import Any

import click

from bench.herd import AT_ONCE, DRAINED, KILLED
from bench.report import PUBLISHED, Column, Figures, Report, benchmark, spread
from bench.sellout import CARTS
from bench.streams import of_shop_with_carts
from bench.tabs import page_delay

#: For how long changes are gathered before a broadcast begins, in seconds; see shop/live.py.
_TICK = 0.020

#: A small case agrees if the model is within these multiples of what was measured.
_AGREES = (0.7, 1.3)

#: A server of a large set-up: processes, and open tabs in each. Half of its processors are nginx's.
PROCESSES, TABS = 8, 10_000

#: Requests a second that each process answers meanwhile.
_RATE = 50

#: When the first and the last tab lost its stream, in seconds before the new server served.
_LOST = {DRAINED: (-5.8, -0.8), KILLED: (-0.8, -0.8), AT_ONCE: (-0.8, -0.8)}

#: How soon nginx sends tabs of a lost server elsewhere, in seconds.
_NOTICED = 1.0

_COLUMNS = (
    Column("measured", "measured", "s"),
    Column("model", "model", "s"),
    Column("model, of measured", "ratio", "×"),
    Column("servers, one to spare", "servers"),
    Column("a release is with the last tab after", "release", "s"),
    Column("tabs of a lost server are current after", "lost", "s"),
    Column("memory of a server for open tabs", "memory", "GB"),
    Column("purchases a second, at most", "purchases"),
)


@dataclass(frozen=True)
class Case:
    """A load that was measured, and what the model says of it, in seconds."""

    name: str
    measured: float
    model: float

    @property
    def ratio(self) -> float:
        return self.model / self.measured

    @property
    def agrees(self) -> bool:
        return _AGREES[0] <= self.ratio <= _AGREES[1]


@benchmark
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
def capacity(folder: Path, counts: tuple[int, ...]) -> Report:
    """Estimate how many servers so many shoppers need, and how soon they see a release.

    Computes loads that were measured with a model and prints both side by side; then larger ones.
    Measures nothing itself. Writes into docs/capacity.md.

    \b
    Example:
      bin/bench capacity --shoppers 300000 --into /tmp/bench
    """
    names = ("streams", "sellout", "herd", "pages", "cluster")
    figures = {name: _read(folder, name) for name in names}
    changes = [*_changes(figures["streams"], figures["sellout"])]
    returns = [*_returns(figures["herd"])]
    rows = {
        f"measured: {case.name}": [
            {"measured": case.measured, "model": case.model, "ratio": case.ratio}
        ]
        for case in changes + returns
    }
    confirmed = {
        "release": all(case.agrees for case in changes),
        "lost": all(case.agrees for case in returns),
    }
    for shoppers in sorted(counts):
        estimate = _estimate(figures, shoppers).items()
        row = {key: value for key, value in estimate if confirmed.get(key, True)}
        rows[f"{shoppers:,} shoppers"] = [row]
    return _report(rows, figures["cluster"]["cpu_per_purchase"])


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
    """Return how much of a process requests leave for other work, from 0 to 1."""
    if rate * action >= 1:
        raise click.ClickException(f"{rate:.0f} requests a second are more than a process answers")
    return 1 - rate * action


def _arrivals(lost: Sequence[float]) -> list[float]:
    """Return when tabs find the server again that serves from 0 on, by when they lost theirs."""
    chance, found = random.Random(1), []
    for at in lost:
        for attempt in count(1):
            at += page_delay(attempt, chance)
            if at >= 0:
                break
        found.append(at)
    return found


def _read(folder: Path, name: str) -> dict[str, Any]:
    file = folder / f"{name}.json"
    if not file.exists():
        raise click.ClickException(f"{folder} lacks {file.name}. Run `bin/bench {name}` first.")
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures


def _changes(streams: dict[str, Any], sellout: dict[str, Any]) -> Iterator[Case]:
    for row in of_shop_with_carts(streams):
        tabs = round(row["streams"])
        model = time_to_tell(tabs, row["cpu_per_delivery"], 0, 0)
        yield Case(f"a change to {tabs:,} tabs", row["to_last"], model)
    tabs, row = sellout["tabs"], sellout[CARTS]
    model = time_to_tell(tabs, row["cpu_per_tab"], 0, 0)
    yield Case(f"an item sells out in {tabs:,} carts", row["last"], model)


def _returns(herd: dict[str, Any]) -> Iterator[Case]:
    tabs = herd["tabs"]
    for way, (began, ended) in _LOST.items():
        if way in herd:
            lost = [began + (ended - began) * number / tabs for number in range(tabs)]
            arrivals = [0.0] * tabs if way == AT_ONCE else _arrivals(lost)
            model = time_to_return(arrivals, herd[way]["cpu_per_tab"], 0, 0)
            yield Case(f"{tabs:,} tabs come back, {way}", herd[way]["last"], model)


def _estimate(figures: dict[str, Any], shoppers: int) -> Figures:
    tab = of_shop_with_carts(figures["streams"])[-1]
    action = figures["pages"]["add, no stream open"]["cpu"]
    purchase = figures["cluster"]["cpu_per_purchase"]["servers"]
    servers = ceil(shoppers / (PROCESSES * TABS)) + 1
    tabs = ceil(shoppers / (servers * PROCESSES))
    arrivals = _arrivals([-_NOTICED] * ceil(shoppers / servers / ((servers - 1) * PROCESSES)))
    return {
        "servers": servers,
        "release": time_to_tell(tabs, tab["cpu_per_delivery"], _RATE, action),
        "lost": _NOTICED + time_to_return(arrivals, tab["cpu_per_opening"], _RATE, action),
        "memory": tab["memory"] * shoppers / (servers - 1),
        "purchases": (servers - 1) * PROCESSES / purchase,
    }


def _report(rows: dict[str, list[Figures]], purchase: dict[str, float]) -> Report:
    processors = ceil(purchase["PostgreSQL"] / purchase["servers"] * PROCESSES)
    return Report(
        name="capacity",
        document="capacity",
        title="load",
        columns=_COLUMNS,
        rows=rows,
        note=f"A server has {PROCESSES} processes with {TABS:,} tabs each, on as many processors, "
        f"and as many again for nginx. Purchases are bounded by the servers' CPU time for one "
        f"({spread([purchase['servers']], 'ms')}); PostgreSQL then uses {processors} processors "
        f"for each server, at {spread([purchase['PostgreSQL']], 'ms')} a purchase. What it "
        "costs to wait for one row that everybody wants is not in it.",
    )
