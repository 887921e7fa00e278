"""What the model says of loads that were measured, beside what was measured."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.actions import quantile
from bench.costs import Benchmarks, Costs
from bench.model_drop import Rush, Shop
from bench.model_tabs import SetUp, attempts, come_back, tell
from bench.restart import AS_PAGES, AT_ONCE
from bench.tables import Table
from bench.trials import CARTS, FRAGMENT, OF_SHOP, SHOP

#: More than anybody buys.
_PLENTY = 1_000_000

#: A catalogue's sizes, as the demo shop has them.
SIZES = 26


@dataclass(frozen=True)
class Case:
    """A figure as the model has it and as it was measured, in seconds, or `per_second`."""

    what: str
    predicted: float
    measured: float
    #: the share of a processor that a server had, as the run's other figures say
    speed: float
    per_second: bool = False

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured if self.measured else 0.0

    def as_json(self) -> dict[str, Any]:
        return vars(self) | {"ratio": self.ratio}


def small_cases(benchmarks: Benchmarks, costs: Costs) -> list[Case]:
    """Play through what was measured, with the same costs for all of it."""
    return [
        *_broadcasts(benchmarks, costs),
        *_sellouts(benchmarks, costs),
        *_herds(benchmarks, costs),
        *_purchases(benchmarks, costs),
    ]


def cases_table(cases: Iterable[Case]) -> Table:
    """Put them side by side."""
    head = ["one or two servers", "the model", "measured", "ratio", "server had of a processor"]
    rows = [
        [
            *(case.what, _write(case, case.predicted), _write(case, case.measured)),
            *(f"{case.ratio:.2f}", f"{case.speed:.0%}"),
        ]
        for case in cases
    ]
    return Table(head, rows, "The model beside what was measured")


def _write(case: Case, value: float) -> str:
    if case.per_second:
        return f"{value:,.1f}/s"
    return f"{value * 1e3:,.0f} ms" if value < 10 else f"{value:,.1f} s"


def _broadcasts(benchmarks: Benchmarks, costs: Costs) -> Iterator[Case]:
    """Broadcasts, at all numbers of tabs with the cost at the largest; and openings."""
    for who in (SHOP, CARTS):
        trials = benchmarks.trials(who)
        for trial in trials:
            tabs, found = trial["streams"], trial["median"]
            speed = _speed_of_others(benchmarks, trial)
            told = tell(costs, SetUp(1, tabs, 0, speed), trials[-1]["median"]["cpu_per_delivery"])
            what = f"{OF_SHOP[who]}: a product's fragment to {tabs:,} tabs"
            yield Case(f"{what}, half", told.half, found["to_half"], speed)
            yield Case(f"{what}, the last", told.last, found["to_last"], speed)


def _speed_of_others(benchmarks: Benchmarks, own: dict[str, Any]) -> float:
    """Return which share of a processor other servers had that sent this to as many tabs."""
    trials = benchmarks["streams"]["trials"]
    alike = [t for t in trials if (t["message"], t["streams"]) == (FRAGMENT, own["streams"])]
    others = [trial["median"] for trial in alike if trial is not own] or [own["median"]]
    work = (one["cpu_per_delivery"] * own["streams"] / one["first_to_last"] for one in others)
    return _share(median(work))


def _sellouts(benchmarks: Benchmarks, costs: Costs) -> Iterator[Case]:
    """Carts' own fragments, with the share of a processor that shared ones had; and vice versa."""
    options = benchmarks["sellout"]["options"]
    names = {"carts": "a sold-out line", "shared": "a shared fragment"}
    for what, each in (("carts", costs.own_delivery), ("shared", costs.delivery)):
        rounds = benchmarks.told(what)
        other = benchmarks.told("shared" if what == "carts" else "carts") or rounds
        speed = _share(median(told["cpu"] / (told["last"] - told["first"]) for told in other))
        told = tell(costs, SetUp(1, options["tabs"], 0, speed), each, options["rate"])
        title = f"sellout: {names[what]} to {options['tabs']:,} tabs, the last"
        yield Case(title, told.last, median(told["last"] for told in rounds), speed)


def _herds(benchmarks: Benchmarks, costs: Costs) -> Iterator[Case]:
    """Tabs that come back, at the cost of an opening that `streams` found."""
    options, restarts = benchmarks["herd"]["options"], benchmarks["herd"]["restarts"]
    for way, done in restarts.items():
        others = [one for name, ones in restarts.items() if name != way for one in ones] or done
        speed = _share(median(one["cpu"] / one["current"][-1] for one in others))
        manner = AT_ONCE if way == "all at once" else AS_PAGES
        lost = _spread(done[0]["lost"], options["tabs"])
        arrivals = attempts(lost, 0.0, manner, random.Random(1))
        setup = SetUp(1, options["tabs"], 0, speed)
        herd = come_back(costs, setup, arrivals, options["rate"])
        title = f"herd of {options['tabs']:,}, {way}"
        last = median(one["current"][-1] for one in done)
        yield Case(f"{title}: the last is current", max(herd.current), last, speed)
        kept = [one["actions"]["while tabs come back"]["kept"].get("p50", 0.0) for one in done]
        yield Case(f"{title}: an action meanwhile, p50", herd.p50, median(kept), speed)


def _spread(percentiles: list[float], count: int) -> list[float]:
    """Return as many values as were summed up in percentiles."""
    return [percentiles[number * len(percentiles) // count] for number in range(count)]


def _purchases(benchmarks: Benchmarks, costs: Costs) -> Iterator[Case]:
    """Purchases on several servers that share their processors with all else."""
    drop, machine = benchmarks["cluster"]["drop"], benchmarks["cluster"]["machine"]
    load, processors = drop["load"], machine["processors"]
    # Who wants little of a processor gets it soon, unless more want one than there are.
    loads = (machine["load_before"], benchmarks["cluster"].get("load_after", 0.0))
    speed = _share(processors / max(processors, sum(loads) / 2))
    setup = SetUp(load["servers"], load["streams"], processors, speed)
    rush = Rush(load["rate"], load["seconds"], [_PLENTY] * SIZES)
    made = Shop(costs, setup, rush).play()
    title = f"{load['servers']} servers, {load['rate']:g} purchases/s offered"
    bought = drop["in_time"] / drop["seconds"]
    yield Case(f"{title}: made", made.made / load["seconds"], bought, speed, per_second=True)
    measured = drop["delays"]["answers"]
    kinds = {"add": made.add, "checkout page": made.page, "purchase": made.order}
    for kind, took in kinds.items():
        if took and measured.get(kind):
            half = median(measured[kind])
            yield Case(f"{title}: {kind}, p50", quantile(took, 0.5), half, speed)


def _share(value: float) -> float:
    return max(0.05, min(1.0, value))
