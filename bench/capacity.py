"""`bin/bench capacity`: from what was measured to a million shoppers, on a model.

The model is two formulas for a process that does one thing at a time: requests take their share of
it, a broadcast and the streams that open have the rest. What a thing costs is what the other
benchmarks measured; nothing is measured here. It says only what its small cases confirm.
"""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path
from typing import Any

import click

from bench.herd import WAYS
from bench.report import PUBLISHED, Column, Figures, Report, benchmark
from bench.sellout import CARTS
from bench.streams import CARTS as STREAMS_WITH_CARTS

#: For how long changes are gathered before a broadcast begins, in seconds; see shop/live.py.
_TICK = 0.020

#: A small case agrees if the model is within these multiples of what was measured.
_AGREES = (0.7, 1.3)

#: A server of a large set-up: processes, and open tabs in each. Half of its processors are nginx's.
PROCESSES, TABS = 8, 10_000

#: Requests a second that each process answers meanwhile.
_RATE = 50

#: How soon nginx sends tabs of a lost server elsewhere; and how soon after that a page tries again
#: that tried in vain before: the third wait of shop/static/live.js. In seconds.
_NOTICED, _TRIED = 1.0, 1.56

_COLUMNS = (
    Column("measured", "measured", "s"),
    Column("model", "model", "s"),
    Column("model, of measured", "ratio", "×"),
    Column("servers, one to spare", "servers"),
    Column("a release is with the last tab after", "release", "s"),
    Column("tabs of a lost server are current after", "lost", "s"),
)


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
    measured = {name: _read(folder, name) for name in ("streams", "sellout", "herd", "pages")}
    cases = {
        "release": _broadcasts(measured["streams"], measured["sellout"]),
        "lost": _returns(measured["herd"]),
    }
    rows = {f"measured: {name}": [case] for some in cases.values() for name, case in some.items()}
    for shoppers in sorted(counts):
        estimate = _estimate(measured, shoppers)
        for column, some in cases.items():
            if not all(map(agrees, some.values())):
                del estimate[column]
        rows[f"{shoppers:,} shoppers"] = [estimate]
    return Report(
        name="capacity",
        document="capacity",
        title="load",
        columns=_COLUMNS,
        rows=rows,
        note=f"A server has {PROCESSES} processes with {TABS:,} tabs each, on as many processors, "
        f"and as many again for nginx; each answers {_RATE} requests a second meanwhile.",
    )


def compare(measured: float, model: float) -> Figures:
    """Return a small case: the seconds that it took, and those of the model."""
    return {"measured": measured, "model": model, "ratio": model / measured}


def agrees(case: Figures) -> bool:
    """Tell whether the model is near what was measured."""
    return _AGREES[0] <= case["ratio"] <= _AGREES[1]


def time_to_tell(tabs: float, each: float, rate: float, action: float) -> float:
    """Return the seconds until the last tab of a process has a change, while others act.

    A broadcast lets requests go between its slices: these take only their share of the process.

    Args:
        each: CPU seconds that telling one tab takes.
        rate, action: how many requests a second there are besides, and CPU seconds of one.
    """
    return _TICK / 2 + tabs * each / _share_left(rate, action)


def time_to_return(tabs: float, opening: float, rate: float, action: float) -> float:
    """Return the seconds until so many tabs are open again, when they come sooner than that.

    Args:
        opening: CPU seconds that opening one takes.
        rate, action: as in `time_to_tell`.
    """
    return tabs * opening / _share_left(rate, action)


def _share_left(rate: float, action: float) -> float:
    """Return how much of a process requests leave for other work, from 0 to 1."""
    if rate * action >= 1:
        raise click.ClickException(f"{rate:.0f} requests a second are more than a process answers")
    return 1 - rate * action


def _read(folder: Path, name: str) -> dict[str, Any]:
    file = folder / f"{name}.json"
    if not file.exists():
        raise click.ClickException(f"{folder} lacks {file.name}. Run `bin/bench {name}` first.")
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures


def _with_carts(streams: dict[str, Any]) -> list[Figures]:
    """Return the rows of tabs with a cart each, the fewest first."""
    rows = [row for name, row in streams.items() if name.startswith(STREAMS_WITH_CARTS)]
    return sorted(rows, key=lambda row: float(row["streams"]))


def _broadcasts(streams: dict[str, Any], sellout: dict[str, Any]) -> dict[str, Figures]:
    cases = {}
    for row in _with_carts(streams):
        model = time_to_tell(row["streams"], row["cpu_per_delivery"], 0, 0)
        cases[f"a change to {row['streams']:,.0f} tabs"] = compare(row["to_last"], model)
    tabs, row = sellout["tabs"], sellout[CARTS]
    model = time_to_tell(tabs, row["cpu_per_tab"], 0, 0)
    return cases | {f"an item sells out in {tabs:,} carts": compare(row["last"], model)}


def _returns(herd: dict[str, Any]) -> dict[str, Figures]:
    tabs, cases = herd["tabs"], {}
    for way in WAYS:
        if way in herd:
            model = time_to_return(tabs, herd[way]["cpu_per_tab"], 0, 0)
            cases[f"{tabs:,} tabs come back, {way}"] = compare(herd[way]["last"], model)
    return cases


def _estimate(measured: dict[str, Any], shoppers: int) -> Figures:
    tab = _with_carts(measured["streams"])[-1]
    action = measured["pages"]["add, no stream open"]["cpu"]
    servers = ceil(shoppers / (PROCESSES * TABS)) + 1
    tabs = ceil(shoppers / (servers * PROCESSES))
    from_lost = ceil(shoppers / servers / ((servers - 1) * PROCESSES))
    back = time_to_return(from_lost, tab["cpu_per_opening"], _RATE, action)
    return {
        "servers": servers,
        "release": time_to_tell(tabs, tab["cpu_per_delivery"], _RATE, action),
        "lost": _NOTICED + max(_TRIED, back),
    }
