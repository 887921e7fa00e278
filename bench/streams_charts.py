"""The charts of streams: all that was measured at the largest number, and how it grows with it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from bench.charts import Bar, Bars, bar_chart
from bench.lines import Line, Lines, line_chart
from bench.machine import Machine
from bench.shown import DELIVERY, FIRST_TO_LAST, MEMORY, OPENING, OURS, Shown, in_order
from bench.streams_goals import BARE, BESIDE_FLOOR, BESIDE_NCHAN, TO_OPEN, WITH_CART
from bench.trials import CARTS, SHOP, SMALL, Results

#: A bare send and receive, as a bar among servers'.
_FLOOR = "bare send and receive"


def charts_of(results: Results, machine: Machine, runs: int) -> dict[str, str]:
    """Return the charts by name, as SVG."""
    note = f"{machine.processor}, {machine.processors} processors, {machine.kernel}. " + (
        f"Medians of {runs} runs, whiskers from the least to the most." if runs > 1 else "One run."
    )
    charts = {"streams": _bar_chart(results, note)}
    if len({trial.streams for trial in results.trials}) > 1:
        charts["streams-growing"] = _line_chart(results, note)
    return charts


def _bar_chart(results: Results, note: str) -> str:
    memory_goals = {"hub": BARE, SHOP: BARE, CARTS: WITH_CART}
    floor = Bar.of(_FLOOR, DELIVERY.of(results.floor(SMALL)))
    delivery = _bars(results, DELIVERY, _delivery_goals(results))
    first_to_last = _bars(results, FIRST_TO_LAST, _beside_nchan(results, FIRST_TO_LAST))
    panels = [
        Bars("Memory per idle stream", "KB", _bars(results, MEMORY, memory_goals, True)),
        Bars("CPU per delivery of 300 bytes", "µs", [*delivery, floor]),
        Bars("300 bytes from the first tab to the last", "ms", first_to_last),
        Bars("CPU to open a stream", "ms", _bars(results, OPENING, {CARTS: TO_OPEN}, True)),
    ]
    return bar_chart(f"{results.most:,} open tabs in one process", note, panels)


def _delivery_goals(results: Results) -> dict[str, float]:
    """Return the strictest of what the hub's deliveries are held to."""
    floor = median(DELIVERY.of(results.floor(SMALL))) * BESIDE_FLOOR
    return {"hub": min([floor, *_beside_nchan(results, DELIVERY).values()])}


def _beside_nchan(results: Results, shown: Shown) -> dict[str, float]:
    nchan = shown.of(results.of("nchan", SMALL, shown.figure))
    return {"hub": median(nchan) * BESIDE_NCHAN} if nchan else {}


def _bars(
    results: Results, shown: Shown, goals: Mapping[str, float], with_shop: bool = False
) -> list[Bar]:
    """Return the bars of all that send 300 bytes.

    Args:
        goals: by server, what its bar must not exceed.
        with_shop: whether what is sent doesn't matter, so that the real shop belongs to it.
    """
    trials = in_order(trial for trial in results.trials if trial.streams == results.most)
    return [
        Bar.of(trial.label, shown.of_trial(results, trial), trial.who in OURS, goals.get(trial.who))
        for trial in trials
        if trial.message == SMALL or (with_shop and trial.who in OURS)
    ]


def _line_chart(results: Results, note: str) -> str:
    panels = [_lines(results, shown) for shown in (FIRST_TO_LAST, DELIVERY, MEMORY)]
    return line_chart("As more tabs open, sent 300 bytes", note, panels)


def _lines(results: Results, shown: Shown) -> Lines:
    points: dict[str, list[tuple[float, float]]] = {}
    for trial in in_order(trial for trial in results.trials if trial.message == SMALL):
        value = median(shown.of_trial(results, trial))
        points.setdefault(trial.label, []).append((trial.streams, value))
    lines = [Line(label, one) for label, one in points.items()]
    return Lines(shown.title[0].upper() + shown.title[1:], "open tabs", shown.unit, lines)
