"""What other visitors did meanwhile, and how long their answers took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.processes import Client

#: How long the clients may take for ending what they began, in seconds.
_END = 40.0


@dataclass(frozen=True, slots=True)
class Action:
    """An add or a remove."""

    #: when its moment had come, on the monotonic clock in seconds
    due: float
    #: seconds from then until it was answered, or was given up
    took: float
    #: the answer's status, or why there was none; see `bystander`
    outcome: str
    #: whether it went over a connection that had been kept
    reused: bool

    @property
    def over(self) -> float:
        return self.due + self.took

    @property
    def was_done(self) -> bool:
        return self.outcome == "200"


def end_actions(bystanders: Client) -> tuple[list[Action], float]:
    """Have visitors do nothing more; return all that they did, and the CPU time of their client."""
    bystanders.tell(do="report")
    bystanders.answer(_END)
    told: dict[str, Any] = bystanders.answer(_END)
    return [Action(**action) for action in told["actions"]], told["cpu"]


def within(actions: Iterable[Action], since: float, until: float) -> list[Action]:
    """Return those that were under way at any time between two moments."""
    return [action for action in actions if action.due <= until and action.over >= since]


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of them doesn't exceed: one that was seen."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered), -int(-share * len(ordered) // 1)) - 1)]


def percentiles(values: Sequence[float]) -> list[float]:
    """Return the least and the most of many values, and those at each percent between them."""
    ordered = sorted(values)
    places = (round(percent * (len(ordered) - 1) / 100) for percent in range(101))
    return [round(ordered[place], 5) for place in places] if ordered else []


def summary(actions: Sequence[Action]) -> dict[str, Any]:
    """Return what came of actions, and how long answers took, for a file of figures."""
    outcomes = Counter(action.outcome for action in actions)
    ways = {True: "kept", False: "fresh"}
    times = {
        way: [action.took for action in actions if action.was_done and action.reused == reused]
        for reused, way in ways.items()
    }
    return {
        "outcomes": dict(outcomes),
        **{way: {"answers": len(took), **_quantiles(took)} for way, took in times.items()},
    }


def _quantiles(took: Sequence[float]) -> dict[str, float]:
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: quantile(took, share) for name, share in shares.items()} if took else {}


def times_cells(actions: Sequence[Action]) -> list[str]:
    """Return how many there were, and p50, p99 and max of their times, for a table's row."""
    took = [action.took for action in actions]
    if not took:
        return ["0", "–", "–", "–"]
    spread = (quantile(took, 0.5), quantile(took, 0.99), max(took))
    return [f"{len(took):,}", *(f"{1e3 * seconds:,.0f} ms" for seconds in spread)]
