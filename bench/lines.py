"""Charts of what goes with a growing load, or with time: lines, named at their ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench import svg
from bench.charts import PANEL_HEAD, Canvas, goal_of, heading, number, with_unit
from bench.svg import MARGIN, WIDTH

#: Where lines begin, and how much room is left for what stands behind them.
_LEFT, _BEHIND = 76.0, 230.0

#: Height of what is drawn in, of what stands below it, and of a line's name.
_PLOT, _BELOW, _LABEL = 190.0, 40.0, 16.0

#: Lines of more points than that are drawn without marking each.
_MARKED = 24


@dataclass(frozen=True)
class Line:
    """How a value goes with what grows from left to right, as points (x, y) in order of x."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Lines:
    """One figure over a growing load, or over time.

    Args:
        x: what grows from left to right, as in `open tabs`.
        unit: of the values, as in `ms`.
        goal: what ours must not exceed, in the same unit.
    """

    title: str
    x: str
    unit: str
    lines: Sequence[Line]
    goal: float | None = None


def line_chart(title: str, note: str, panels: Sequence[Lines]) -> str:
    """Draw panels of lines below each other; return it as SVG."""
    canvas = Canvas(title, note)
    for panel in panels:
        canvas.add(_draw_lines(panel, canvas.bottom), PANEL_HEAD + _PLOT + _BELOW)
    return canvas.finish(". ".join(map(_tell_lines, panels)))


class _Plot:
    """Where values lie in a panel of lines."""

    def __init__(self, panel: Lines, top: float) -> None:
        points = [point for line in panel.lines for point in line.points]
        self.left, self.right = _LEFT, WIDTH - _BEHIND
        self.top, self.bottom = top + PANEL_HEAD, top + PANEL_HEAD + _PLOT
        self.xs = sorted({x for x, _ in points})
        self.ticks = _round_steps(max([y for _, y in points] + [panel.goal or 0.0]))

    def x(self, value: float) -> float:
        least, most = min(0.0, self.xs[0]), self.xs[-1] or 1.0
        return self.left + (value - least) / (most - least) * (self.right - self.left)

    def y(self, value: float) -> float:
        return self.bottom - value / self.ticks[-1] * (self.bottom - self.top)


def _draw_lines(panel: Lines, top: float) -> Iterator[str]:
    plot = _Plot(panel, top)
    yield svg.text(MARGIN, top + 12, heading(panel.title, panel.unit), "panel")
    yield from _draw_axes(panel, plot)
    for colour, line in enumerate(panel.lines):
        places = [(plot.x(x), plot.y(y)) for x, y in line.points]
        yield svg.polyline(places, f"line s{colour % svg.COLOURS}")
        for (x, y), place in zip(line.points, places, strict=True):
            if len(places) <= _MARKED:
                told = f"{line.label}: {with_unit(y, panel.unit)} at {number(x)} {panel.x}"
                yield svg.point(*place, f"point s{colour % svg.COLOURS}", told)
    yield from _draw_labels(panel, plot)


def _draw_axes(panel: Lines, plot: _Plot) -> Iterator[str]:
    for tick in plot.ticks:
        yield svg.line(plot.left, plot.y(tick), plot.right, plot.y(tick), "grid")
        yield svg.text(plot.left - 8, plot.y(tick) + 4, f"{tick:,g}", "soft number end")
    yield svg.line(plot.left, plot.bottom, plot.right, plot.bottom, "axis")
    for x in _with_room(plot):
        yield svg.text(plot.x(x), plot.bottom + 18, f"{x:,g}", "soft number middle")
    yield svg.text((plot.left + plot.right) / 2, plot.bottom + 36, panel.x, "soft middle")
    if panel.goal is not None:
        yield svg.line(plot.left, plot.y(panel.goal), plot.right, plot.y(panel.goal), "target")
        words = f"goal: at most {goal_of(panel.goal, panel.unit)}"
        yield svg.text(plot.left + 6, plot.y(panel.goal) - 5, words, "goal")


def _with_room(plot: _Plot) -> list[float]:
    """Return the values of x whose labels have room: all of a few, round ones of many."""
    if len(plot.xs) <= 12:
        return plot.xs
    return [x for x in _round_steps(plot.xs[-1]) if x <= plot.xs[-1]]


def _draw_labels(panel: Lines, plot: _Plot) -> Iterator[str]:
    """Write each line's name and last value behind its end, none over another."""
    ends = sorted((plot.y(line.points[-1][1]), n, line) for n, line in enumerate(panel.lines))
    heights = _apart([y for y, _, _ in ends], plot.bottom)
    for height, (y, colour, line) in zip(heights, ends, strict=True):
        words, x = f"{line.label} {number(line.points[-1][1])}", plot.x(line.points[-1][0])
        away = [(x + 8, y), (plot.right + 14, height), (plot.right + 24, height)]
        yield svg.polyline(away, f"line s{colour % svg.COLOURS}")
        yield svg.text(plot.right + 28, height + 4, words)


def _apart(heights: list[float], bottom: float) -> list[float]:
    """Move heights, given from above downwards, until there is room for a label between any two."""
    placed = list(heights)
    for above, below in pairwise(range(len(placed))):
        placed[below] = max(placed[below], placed[above] + _LABEL)
    limit = bottom
    for at in reversed(range(len(placed))):
        placed[at] = min(placed[at], limit)
        limit = placed[at] - _LABEL
    return placed


def _round_steps(most: float) -> list[float]:
    """Return some four round steps from 0 to at least `most`."""
    rough = (most or 1.0) / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 2.5, 5, 10) if size * n >= rough * 0.999)
    return [step * n for n in range(math.ceil(most / step - 1e-9) + 1)]


def _tell_lines(panel: Lines) -> str:
    told = "; ".join(f"{line.label} {_tell(line)}" for line in panel.lines)
    return f"{heading(panel.title, panel.unit)}, over {panel.x}: {told}"


def _tell(line: Line) -> str:
    some = line.points[:: max(1, len(line.points) // _MARKED)]
    return ", ".join(f"{number(y)} at {number(x)}" for x, y in some)
