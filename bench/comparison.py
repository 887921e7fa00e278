"""Two servers that send the same bytes to as many streams, and how they compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import click

from bench.broadcasts import Figures
from bench.loopback import Floor
from bench.report import print_table

#: What the shop's streams must hold: its share of the plain server's figure, at most.
ALLOWED = {"memory": 1 / 5, "cpu_per_delivery": 1 / 2}

_LABELS = {"memory": "memory per idle stream", "cpu_per_delivery": "CPU per delivery"}


@dataclass(frozen=True)
class Pair:
    """The shop's way and the plain one, measured in turn."""

    name: str
    #: length of a message as an event, in bytes
    size: int
    ours: list[Figures]
    plain: list[Figures]
    floor: Floor

    def share(self, figure: str) -> float:
        """Return ours as a share of the plain server's, from the medians of all runs."""
        ours, plain = Figures.median(self.ours), Figures.median(self.plain)
        return float(getattr(ours, figure) / getattr(plain, figure))

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "shares": {figure: self.share(figure) for figure in ALLOWED}}


def print_comparison(pairs: list[Pair]) -> None:
    """Print what must hold and whether it does, then all figures."""
    head = ["share of the plain server's", "message", "share", "allowed", ""]
    print_table(head, [_verdict(pair, figure) for figure in ALLOWED for pair in pairs])
    for pair in pairs:
        click.echo()
        print_table([f"{pair.size:,}-byte messages", pair.name, "plain"], _rows(pair))


def _verdict(pair: Pair, figure: str) -> list[str]:
    share, allowed = pair.share(figure), ALLOWED[figure]
    message = f"{pair.name}, {pair.size:,} bytes"
    verdict = "holds" if share <= allowed else "does not hold"
    return [_LABELS[figure], message, f"{share:.3f}", f"{allowed:.3f}", verdict]


def _rows(pair: Pair) -> list[list[str]]:
    def row(label: str, figure: str, unit: str, scale: float, digits: int = 1) -> list[str]:
        runs = ([getattr(run, figure) * scale for run in way] for way in (pair.ours, pair.plain))
        return [label, *(_spread(values, unit, digits) for values in runs)]

    floor = [f"{seconds * 1e6:.1f} µs" for seconds in (pair.floor.send, pair.floor.both)]
    return [
        row("memory per idle stream", "memory", "KB", 1 / 1024, 2),
        row("  after the deliveries", "memory_after", "KB", 1 / 1024, 2),
        row("CPU per delivery", "cpu_per_delivery", "µs", 1e6),
        row("  the load client's", "client_per_delivery", "µs", 1e6),
        ["  floor: a bare send", floor[0], floor[0]],
        ["  floor: send and receive", floor[1], floor[1]],
        row("CPU per opening", "cpu_per_opening", "µs", 1e6, 0),
        row("opened per second", "opened_per_second", "", 1, 0),
        row("change to half of the tabs", "to_half", "ms", 1e3, 0),
        row("change to the last tab, p50", "to_last", "ms", 1e3, 0),
        row("change to the last tab, max", "to_last_worst", "ms", 1e3, 0),
    ]


def _spread(values: list[float], unit: str, digits: int) -> str:
    """Write a figure's median over all runs, and if there are several, its extremes."""
    middle = sorted(values)[len(values) // 2]
    text = f"{middle:,.{digits}f} {unit}".rstrip()
    if len(values) == 1:
        return text
    return f"{text} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def measure_pair(
    name: str,
    size: int,
    floor: Floor,
    ours: Callable[[], Figures],
    plain: Callable[[], Figures],
    runs: int,
) -> Pair:
    """Measure both ways `runs` times, taking turns in who goes first."""
    pair = Pair(name, size, [], [], floor)
    for run in range(runs):
        ways = [(name, ours, pair.ours), ("plain", plain, pair.plain)]
        for who, measure, figures in ways if run % 2 == 0 else reversed(ways):
            click.echo(f"run {run + 1} of {runs}, {size:,} bytes: {who} …", err=True)
            figures.append(measure())
    return pair
