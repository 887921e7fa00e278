"""The charts of what is reckoned: how a release spreads, and what each part sells."""

from __future__ import annotations

from collections.abc import Sequence

from bench.charts import Bar, Bars, bar_chart
from bench.costs import MESSAGES, Costs
from bench.large_cases import DATABASE_PROCESSORS, Large, carried, redis_seconds
from bench.lines import Line, Lines, line_chart

_RECKONED = "Reckoned from measured costs, not measured."


def charts_of(costs: Costs, large: Sequence[Large]) -> dict[str, str]:
    """Return the charts by name, as SVG."""
    return {
        "capacity": _release_chart(large),
        "capacity-purchases": _purchases_chart(costs, large[-1]),
    }


def _release_chart(large: Sequence[Large]) -> str:
    told = [Line(_shoppers(one), _told(one)) for one in large]
    panel = Lines("Tabs that a release has reached", "ms since the release", "%", told)
    return line_chart("A release, on a model of many servers", _RECKONED, [panel])


def _purchases_chart(costs: Costs, one: Large) -> str:
    """Draw what each part bears alone, and what the model sells."""
    alone = {
        "servers' processors": one.plan.processes / costs.requests,
        "hearing of them": 1 / (MESSAGES * costs.hearing_message),
        "Redis, to all processes": 1 / redis_seconds(costs, one.plan.processes),
        "PostgreSQL's processors": DATABASE_PROCESSORS / costs.purchase_database,
        "one size: its row": 1 / costs.hot_row,
    }
    sold = {
        "all sizes alike": carried(one.spread).rate,
        "one size alone": carried(one.one_item).rate,
    }
    panels = [
        Bars("Each part, if it had nothing else to do", "purchases/s", _bars(alone)),
        Bars("All together, on the model", "purchases/s", _bars(sold, ours=True)),
    ]
    title = f"What {one.plan.processes} processes for {_shoppers(one)} shoppers sell"
    return bar_chart(title, _RECKONED, panels)


def _bars(values: dict[str, float], ours: bool = False) -> list[Bar]:
    return [Bar.of(label, [value], ours) for label, value in values.items()]


def _told(one: Large) -> list[tuple[float, float]]:
    shares = [part / 20 for part in range(1, 21)]
    return [(one.told.after(share) * 1e3, share * 100) for share in shares]


def _shoppers(one: Large) -> str:
    return f"{one.plan.shoppers:,}"
