"""What is told of streams: goals, tables, charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.charts import Bar, Bars, bar_chart, number
from bench.goals import Goal, goals_table
from bench.lines import Line, Lines, line_chart
from bench.machine import Machine
from bench.report import Report
from bench.tables import Table
from bench.trials import CARTS, FRAGMENT, SHOP, SMALL, Results, Trial, ratio

_OURS = ("hub", SHOP, CARTS)

#: A bare send and receive, as a row among servers.
_FLOOR = "bare send and receive"


@dataclass(frozen=True)
class Shown:
    """A figure as it is shown: its name, its unit, and how many of these a second or byte is."""

    figure: str
    title: str
    unit: str
    scale: float

    def of(self, values: Iterable[float]) -> list[float]:
        return [value * self.scale for value in values]


MEMORY = Shown("memory", "memory per idle stream", "KB", 1 / 1024)
MEMORY_AFTER = Shown("memory_after", "  after the deliveries", "KB", 1 / 1024)
DELIVERY = Shown("cpu_per_delivery", "CPU per delivery", "µs", 1e6)
CLIENT = Shown("client_per_delivery", "  the load client's", "µs", 1e6)
SERVER_BUSY = Shown("server_busy", "  server busy meanwhile", "%", 100)
CLIENT_BUSY = Shown("client_busy", "  load client busy", "%", 100)
OPENING = Shown("cpu_per_opening", "CPU per opening", "ms", 1e3)
CLIENT_OPENING = Shown("client_per_opening", "  the load client's", "ms", 1e3)
OPENED = Shown("opened_per_second", "opened per second", "", 1)
FIRST_TO_LAST = Shown("first_to_last", "first tab to last", "ms", 1e3)
TO_HALF = Shown("to_half", "change to half of the tabs", "ms", 1e3)
TO_LAST = Shown("to_last", "change to the last tab", "ms", 1e3)
WORST = Shown("to_last_worst", "  the slowest of all", "ms", 1e3)

_ROWS = (
    *(MEMORY, MEMORY_AFTER, DELIVERY, CLIENT, SERVER_BUSY, CLIENT_BUSY),
    *(FIRST_TO_LAST, TO_HALF, TO_LAST, WORST, OPENING, CLIENT_OPENING, OPENED),
)


def report(results: Results, machine: Machine, options: Mapping[str, Any]) -> Report:
    """Put together what a benchmark of streams found."""
    goals = list(_goals(results))
    return Report(
        "streams",
        machine,
        options,
        {"goals": goals, **results.as_json()},
        [goals_table(goals), *_tables(results)],
        _charts(results, machine, options["runs"]),
        _note(results, options),
    )


# --- Goals --------------------------------------------------------------------------------------


def _goals(results: Results) -> Iterable[Goal]:
    most = f"{results.most:,} tabs"
    yield _in_kb(f"{most}: memory of an idle one, bare", results.of(SHOP, FRAGMENT, "memory"), 1.5)
    yield _in_kb(f"{most}: with a cart of two lines", results.of(CARTS, FRAGMENT, "memory"), 3)
    yield from _beside_nchan(results, "CPU per delivery", "cpu_per_delivery")
    for who, message, name in _COMPARED:
        delivery = results.of(who, message, "cpu_per_delivery")
        floor = ratio(delivery, results.floor(message))
        yield Goal(f"CPU per delivery, {name}, to bare send and receive", floor, 1.5, "×")
    yield from _beside_nchan(results, "first tab to last", "first_to_last")
    opening = results.of(CARTS, FRAGMENT, "cpu_per_opening")
    yield Goal("CPU to open a stream with a cart", _median(opening, 1e3), 0.8, "ms")
    yield from _beside_plain(results)


#: What is compared: who, sending what, and as people read it.
_COMPARED = (("hub", SMALL, "300 bytes"), (SHOP, FRAGMENT, "product fragment"))


def _in_kb(what: str, memory: list[float], allowed: float) -> Goal:
    return Goal(what, _median(memory, 1 / 1024), allowed, "KB")


def _beside_nchan(results: Results, title: str, figure: str) -> Iterable[Goal]:
    for who, message, name in _COMPARED:
        measured = ratio(results.of(who, message, figure), results.of("nchan", message, figure))
        yield Goal(f"{title}, {name}, to nchan's", measured, 1, "×")


def _beside_plain(results: Results) -> Iterable[Goal]:
    """Give what held before nchan was compared with: beside a generator for each stream."""
    for figure, title, allowed in (("memory", "memory", 0.2), ("cpu_per_delivery", "CPU", 0.5)):
        ours, plain = (results.of(who, FRAGMENT, figure) for who in (SHOP, "plain"))
        yield Goal(
            f"{title}, product fragment, to a plain generator's", ratio(ours, plain), allowed, "×"
        )


def _median(values: list[float], scale: float) -> float | None:
    return median(values) * scale if values else None


# --- Tables -------------------------------------------------------------------------------------


def _tables(results: Results) -> Iterable[Table]:
    for (message, size, streams), trials in _groups(results).items():
        head = [f"{streams:,} streams", *(trial.label for trial in trials)]
        rows = [
            [shown.title, *(_cell(results, trial, shown) for trial in trials)] for shown in _ROWS
        ]
        title = message if message == SMALL else f"{message}, {size:,} bytes"
        yield Table(head, rows, title)
    rows = [_floor_row(size, floors) for size, floors in results.floors.items()]
    yield Table(["the kernel alone", "send", "receive", "both"], rows, "")


def _groups(results: Results) -> dict[tuple[str, int, int], list[Trial]]:
    groups: dict[tuple[str, int, int], list[Trial]] = {}
    for trial in sorted(results.trials, key=lambda trial: _place(trial.who)):
        groups.setdefault((trial.message, trial.bytes, trial.streams), []).append(trial)
    return dict(sorted(groups.items()))


def _place(who: str) -> int:
    order = (*_OURS, "nchan", "node", "plain", "starlette")
    return order.index(who)


def _cell(results: Results, trial: Trial, shown: Shown) -> str:
    values = shown.of(getattr(run, shown.figure) for run in results.trials[trial])
    return _spread(values, shown.unit)


def _floor_row(size: int, floors: list[Any]) -> list[str]:
    figures = (
        [getattr(floor, name) * 1e6 for floor in floors] for name in ("send", "receive", "both")
    )
    return [f"{size:,} bytes", *(_spread(values, "µs") for values in figures)]


def _spread(values: list[float], unit: str) -> str:
    """Write a figure's median over all runs, and if there are several, its extremes."""
    text = f"{number(median(values))} {unit}".rstrip()
    if len(values) < 2:
        return text
    return f"{text} ({number(min(values))}–{number(max(values))})"


# --- Charts -------------------------------------------------------------------------------------


def _charts(results: Results, machine: Machine, runs: int) -> dict[str, str]:
    note = f"{machine.processor}, {machine.processors} processors, {machine.kernel}. " + (
        f"Medians of {runs} runs, whiskers from the least to the most." if runs > 1 else "One run."
    )
    charts = {"streams": _bars(results, note)}
    if len({trial.streams for trial in results.trials}) > 1:
        charts["streams-growing"] = _lines(results, note)
    return charts


def _bars(results: Results, note: str) -> str:
    panels = [
        Bars("Memory per idle stream", "KB", _bars_of(results, MEMORY), 1.5),
        Bars("CPU per delivery of 300 bytes", "µs", _bars_of(results, DELIVERY)),
        Bars("300 bytes from the first tab to the last", "ms", _bars_of(results, FIRST_TO_LAST)),
        Bars("CPU to open a stream", "ms", _bars_of(results, OPENING), 0.8),
    ]
    return bar_chart(f"{results.most:,} open tabs in one process", note, panels)


def _bars_of(results: Results, shown: Shown) -> list[Bar]:
    """Return the bars of all that send 300 bytes; and of the shop, where those don't matter."""
    messages = (SMALL,) if shown in (DELIVERY, FIRST_TO_LAST) else (SMALL, FRAGMENT)
    trials = [trial for trial in results.trials if trial.streams == results.most]
    bars = {}
    for trial in sorted(trials, key=lambda trial: _place(trial.who)):
        if trial.message in messages and (trial.message == SMALL or trial.who in _OURS):
            values = shown.of(getattr(run, shown.figure) for run in results.trials[trial])
            bars[trial.who] = Bar.of(trial.label, values, ours=trial.who in _OURS)
    if shown is DELIVERY:
        bars[_FLOOR] = Bar.of(_FLOOR, shown.of(results.floor(SMALL)))
    return list(bars.values())


def _lines(results: Results, note: str) -> str:
    panels = [_lines_of(results, shown) for shown in (FIRST_TO_LAST, DELIVERY, MEMORY)]
    return line_chart("As more tabs open, sent 300 bytes", note, panels)


def _lines_of(results: Results, shown: Shown) -> Lines:
    points: dict[str, list[tuple[float, float]]] = {}
    for trial in sorted(results.trials, key=lambda trial: (_place(trial.who), trial.streams)):
        if trial.message == SMALL:
            values = shown.of(getattr(run, shown.figure) for run in results.trials[trial])
            points.setdefault(trial.label, []).append((trial.streams, median(values)))
    lines = [Line(label, one) for label, one in points.items()]
    return Lines(
        shown.title.capitalize() if shown is not DELIVERY else shown.title,
        "open tabs",
        shown.unit,
        lines,
    )


def _note(results: Results, options: Mapping[str, Any]) -> str:
    without = f" Missing here: {', '.join(results.missing)}." if results.missing else ""
    return (
        f"{options['deliveries']} messages to all streams, one after another; medians of "
        f"{options['runs']} run(s), ratios within a run. Memory is what the server process's "
        "unique set size (USS) grew by while the streams were opened. CPU is user and system "
        "time; for a delivery, of the broadcast in the middle of all. A change is another "
        "process's commit to the shop's database, and a request to the other servers. Every tab "
        f"has an address of its own.{without}"
    )
