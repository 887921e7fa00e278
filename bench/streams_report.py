"""What is told of streams, in tables and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from bench.charts import number
from bench.goals import goals_table
from bench.loopback import Floor
from bench.machine import Machine
from bench.report import Report
from bench.shown import ROWS, in_order
from bench.streams_charts import charts_of
from bench.streams_goals import goals_of
from bench.tables import Table
from bench.trials import SMALL, Results, Trial


def report(results: Results, machine: Machine, options: Mapping[str, Any]) -> Report:
    """Put together what a benchmark of streams found."""
    goals = list(goals_of(results))
    return Report(
        "streams",
        machine,
        options,
        {"goals": goals, **results.as_json()},
        [goals_table(goals), *_tables(results)],
        charts_of(results, machine, options["runs"]),
        _note(results, options),
    )


def _tables(results: Results) -> Iterator[Table]:
    for (message, size, streams), trials in _groups(results).items():
        head = [f"{streams:,} streams", *(trial.label for trial in trials)]
        rows = [
            [
                shown.title,
                *(_spread(shown.of_trial(results, trial), shown.unit) for trial in trials),
            ]
            for shown in ROWS
        ]
        yield Table(head, rows, message if message == SMALL else f"{message}, {size:,} bytes")
    rows = [_floor_row(size, floors) for size, floors in results.floors.items()]
    yield Table(["the kernel alone", "send", "receive", "both"], rows)


def _groups(results: Results) -> dict[tuple[str, int, int], list[Trial]]:
    """Return trials by what was sent to how many."""
    groups: dict[tuple[str, int, int], list[Trial]] = {}
    for trial in in_order(results.trials):
        groups.setdefault((trial.message, trial.bytes, trial.streams), []).append(trial)
    return dict(sorted(groups.items()))


def _floor_row(size: int, floors: list[Floor]) -> list[str]:
    names = ("send", "receive", "both")
    figures = ([getattr(floor, name) * 1e6 for floor in floors] for name in names)
    return [f"{size:,} bytes", *(_spread(values, "µs") for values in figures)]


def _spread(values: list[float], unit: str) -> str:
    """Write a figure's median over all runs, and if there are several, its extremes."""
    text = f"{number(median(values))} {unit}".rstrip()
    if len(values) < 2:
        return text
    return f"{text} ({number(min(values))}–{number(max(values))})"


def _note(results: Results, options: Mapping[str, Any]) -> str:
    beside = f" Beside {'; '.join(results.versions)}." if results.versions else ""
    without = f" Missing here: {', '.join(results.missing)}." if results.missing else ""
    return (
        f"{options['deliveries']} messages to all streams, one after another; medians of "
        f"{options['runs']} run(s), ratios within a run. Memory is what the server process's "
        "unique set size (USS) grew by while the streams were opened. CPU is user and system "
        "time; for a delivery, of the broadcast in the middle of all. A change is another "
        "process's commit to the shop's database, and a request to the other servers. Every tab "
        f"has an address of its own.{beside}{without}"
    )
