"""What must hold: a figure, what it may be, and whether it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.charts import goal_of, with_unit
from bench.tables import Table


@dataclass(frozen=True)
class Goal:
    """One of the figures that must hold.

    Args:
        what: in words.
        measured: None if it could not be: what it is compared with is missing.
        allowed: what it must not exceed, or with `at_least` must reach.
        unit: of both, such as `KB`; `×` for a ratio within the run.
    """

    what: str
    measured: float | None
    allowed: float
    unit: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether it does; None if it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.allowed if self.at_least else self.measured <= self.allowed

    @property
    def verdict(self) -> str:
        return {True: "holds", False: "does not hold", None: "not measured"}[self.holds]

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "measured": self.measured,
            "at_least" if self.at_least else "at_most": self.allowed,
            "unit": self.unit,
            "holds": self.holds,
        }


def goals_table(goals: list[Goal]) -> Table:
    """Put goals together as a table."""
    return Table(["must hold", "measured", "goal", ""], [_row(goal) for goal in goals])


def _row(goal: Goal) -> list[str]:
    measured = "–" if goal.measured is None else with_unit(goal.measured, goal.unit)
    word = "at least" if goal.at_least else "at most"
    return [goal.what, measured, f"{word} {goal_of(goal.allowed, goal.unit)}", goal.verdict]
