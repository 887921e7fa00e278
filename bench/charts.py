"""The charts of the benchmarks: bars below each other. `bench.lines` has those of a growing load.

Values stand written beside what is drawn, so a chart can be read without measuring it. What is ours
has the one strong colour among bars; a dashed line is a goal. Whiskers reach from the least to the
most of all runs; a bar ends at their median.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from bench import svg
from bench.svg import MARGIN, WIDTH

#: Where bars begin, and how much room is left for what stands behind them.
_LEFT, _BEHIND = 216.0, 190.0

_ROW, _THICK = 26.0, 14.0

#: A goal so close behind a bar is in the way of what is written there.
_NEAR = 24.0

#: Height of a panel's title, and of the room below a panel.
PANEL_HEAD, _PANEL_GAP = 30.0, 22.0


@dataclass(frozen=True)
class Bar:
    """A value of one of those that are compared; of several runs their median and extremes.

    Args:
        goal: what it must not exceed, where bars of one panel have different goals.
    """

    label: str
    value: float
    low: float
    high: float
    ours: bool = False
    goal: float | None = None

    @classmethod
    def of(
        cls, label: str, values: Sequence[float], ours: bool = False, goal: float | None = None
    ) -> Bar:
        """Make a bar of the values of all runs."""
        return cls(label, middle(values), min(values), max(values), ours, goal)


@dataclass(frozen=True)
class Bars:
    """One figure of all that are compared.

    Args:
        unit: written behind each value, as in `KB`.
        goal: what ours must not exceed (or, `at_least`, must reach), in the same unit.
    """

    title: str
    unit: str
    bars: Sequence[Bar]
    goal: float | None = None
    at_least: bool = False


def bar_chart(title: str, note: str, panels: Sequence[Bars]) -> str:
    """Draw panels of horizontal bars below each other; return it as SVG.

    Args:
        note: on what it was measured, and how; below the title.
    """
    canvas = Canvas(title, note)
    for panel in panels:
        canvas.add(_draw_bars(panel, canvas.bottom), len(panel.bars) * _ROW + PANEL_HEAD)
    return canvas.finish(". ".join(map(_tell_bars, panels)))


def number(value: float) -> str:
    """Write a number with three digits that count, and thousands apart."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".rstrip()


def goal_of(value: float, unit: str) -> str:
    """Write a goal as it was set, not as measured ones are written."""
    return f"{value:,g} {unit}".rstrip()


def heading(title: str, unit: str) -> str:
    """Write what a panel shows, and in which unit if there is one."""
    return f"{title}, {unit}" if unit else title


def middle(values: Sequence[float]) -> float:
    """Return what is shown of the values of all runs: their median."""
    return float(median(values))


def spread(values: Sequence[float], unit: str = "", digits: int | None = None) -> str:
    """Write the median of several runs and their extremes; the value, of one run.

    Args:
        digits: after the point; None: as `number` does.
    """

    def write(value: float) -> str:
        return number(value) if digits is None else f"{value:,.{digits}f}"

    text = f"{write(middle(values))} {unit}".rstrip()
    if len(values) < 2:
        return text
    return f"{text} ({write(min(values))}–{write(max(values))})"


class Canvas:
    """Takes panels, one below the other."""

    def __init__(self, title: str, note: str) -> None:
        self._title = title
        self._drawn = [svg.text(MARGIN, 36, title, "title")]
        self.bottom = 44.0
        for words in svg.wrapped(note, WIDTH - 2 * MARGIN):
            self.bottom += 16
            self._drawn.append(svg.text(MARGIN, self.bottom, words, "soft"))
        self.bottom += _PANEL_GAP

    def add(self, drawn: Iterator[str], height: float) -> None:
        self._drawn += drawn
        self.bottom += height + _PANEL_GAP

    def finish(self, told: str) -> str:
        return svg.picture(self._title, told, self.bottom, self._drawn)


def _draw_bars(panel: Bars, top: float) -> Iterator[str]:
    goals = [goal for goal in (panel.goal, *(bar.goal for bar in panel.bars)) if goal is not None]
    scale = (WIDTH - _LEFT - _BEHIND) / (max([*goals, *(bar.high for bar in panel.bars)]) or 1.0)
    yield svg.text(MARGIN, top + 12, heading(panel.title, panel.unit), "panel")
    first, bottom = top + PANEL_HEAD, top + PANEL_HEAD + len(panel.bars) * _ROW
    yield svg.line(_LEFT, first, _LEFT, bottom, "axis")
    for row, bar in enumerate(panel.bars):
        yield from _draw_bar(bar, panel.unit, first + (row + 0.5) * _ROW, scale)
    if panel.goal is not None:
        at = _LEFT + panel.goal * scale
        yield svg.line(at, first - 2, at, bottom, "target")
    if goals:
        yield svg.text(WIDTH - MARGIN, top + 12, f"- - goal: {_goal_words(panel)}", "goal end")


def _draw_bar(bar: Bar, unit: str, y: float, scale: float) -> Iterator[str]:
    kind, value = "ours" if bar.ours else "rest", _spread(bar)
    yield svg.text(_LEFT - 10, y + 4.5, bar.label, "end")
    told = f"{bar.label}: {value} {unit}".rstrip()
    yield svg.bar(_LEFT, y - _THICK / 2, max(1.0, bar.value * scale), _THICK, kind, told)
    low, high = _LEFT + bar.low * scale, _LEFT + bar.high * scale
    if bar.low < bar.high:
        yield svg.line(low, y, high, y, "whisker")
        yield from (svg.line(x, y - 4, x, y + 4, "whisker") for x in (low, high))
    if bar.goal is not None:
        at = _LEFT + bar.goal * scale
        yield svg.line(at, y - _ROW / 2 + 1, at, y + _ROW / 2 - 1, "target")
        high = max(high, at) if abs(high - at) < _NEAR else high
    yield svg.text(max(high, _LEFT) + 8, y + 4.5, value, "number")


def _goal_words(panel: Bars) -> str:
    if panel.goal is None:
        return "at most this"
    return f"{'at least' if panel.at_least else 'at most'} {goal_of(panel.goal, panel.unit)}"


def _spread(bar: Bar) -> str:
    if bar.low == bar.high:
        return number(bar.value)
    return f"{number(bar.value)} ({number(bar.low)}–{number(bar.high)})"


def _tell_bars(panel: Bars) -> str:
    values = "; ".join(f"{bar.label} {_spread(bar)}" for bar in panel.bars)
    goal = f"; goal {goal_of(panel.goal, panel.unit)}" if panel.goal is not None else ""
    return f"{heading(panel.title, panel.unit)}: {values}{goal}"
