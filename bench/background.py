"""What other visitors do while something is measured: adds and removes at given moments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.processes import Client
from bench.report import number, quantile
from bench.shops import Shop

#: Visitors who act: enough for all that is due while the shop takes its time.
VISITORS = 40

#: How long they may take for ending what they began, in seconds.
_END = 60.0


@dataclass(frozen=True, slots=True)
class Action:
    """An add or a remove."""

    #: when its moment had come, on the monotonic clock in seconds
    due: float
    #: seconds from then until it was answered, or was given up
    took: float
    #: the answer's status, or why there was none; see `bench.visitors`
    outcome: str
    #: whether it went over a connection that had been kept
    reused: bool

    @property
    def ended(self) -> float:
        return self.due + self.took


def arrive(visitors: Client, shop: Shop) -> None:
    """Have visitors come who will add and remove an item that nobody else wants."""
    item = shop.items()[-2]["id"]
    visitors.do("arrive", port=shop.server.port, count=VISITORS, item=item)


def begin_acting(visitors: Client, rate: float, most: float) -> None:
    """Have them act `rate` times a second until `end_acting`, or for `most` seconds."""
    visitors.send("act", rate=rate, most=most)


def end_acting(visitors: Client) -> list[Action]:
    """Have them end what they began; return all that they did."""
    visitors.send("stop")
    actions = [Action(**one) for one in visitors.answer(_END)]
    visitors.answer(_END)
    return actions


def times_row(name: str, actions: Sequence[Action]) -> list[str]:
    """Return a row: how many there were, p50, p99, the longest, and what wasn't answered 200."""
    took = [action.took for action in actions]
    if not took:
        return [name, "0", "–", "–", "–", "–"]
    spread = (quantile(took, 0.5), quantile(took, 0.99), max(took))
    others = Counter(action.outcome for action in actions if action.outcome != "200")
    words = ", ".join(f"{count} {outcome}" for outcome, count in others.items()) or "none"
    return [name, f"{len(took):,}", *(number(1e3 * seconds, "ms") for seconds in spread), words]


def times_figures(actions: Sequence[Action]) -> dict[str, Any]:
    """Return the same as figures, in seconds."""
    took = [action.took for action in actions]
    if not took:
        return {"actions": 0}
    return {"actions": len(took), "p50": quantile(took, 0.5), "p99": quantile(took, 0.99)}
