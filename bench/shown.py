"""The figures of streams as people read them: in words, in handy units, in an order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.trials import CARTS, SHOP, Results, Trial

#: In which order servers are told of; the first ones are ours.
OURS = ("hub", SHOP, CARTS)
_ORDER = (*OURS, "nchan", "node", "plain", "starlette")


@dataclass(frozen=True)
class Shown:
    """A figure as it is shown: its name, its unit, and how many of these a second or a byte is."""

    figure: str
    title: str
    unit: str
    scale: float

    def of(self, values: Iterable[float]) -> list[float]:
        return [value * self.scale for value in values]

    def of_trial(self, results: Results, trial: Trial) -> list[float]:
        """Return what it was in every run."""
        return self.of(getattr(run, self.figure) for run in results.trials[trial])


MEMORY = Shown("memory", "memory per idle stream", "KB", 1 / 1024)
MEMORY_AFTER = Shown("memory_after", "memory after the deliveries", "KB", 1 / 1024)
DELIVERY = Shown("cpu_per_delivery", "CPU per delivery", "µs", 1e6)
CLIENT = Shown("client_per_delivery", "load client's for a delivery", "µs", 1e6)
SERVER_BUSY = Shown("server_busy", "server busy meanwhile", "%", 100)
CLIENT_BUSY = Shown("client_busy", "load client busy meanwhile", "%", 100)
OPENING = Shown("cpu_per_opening", "CPU per opening", "ms", 1e3)
CLIENT_OPENING = Shown("client_per_opening", "load client's for an opening", "ms", 1e3)
OPENED = Shown("opened_per_second", "opened per second", "", 1)
FIRST_TO_LAST = Shown("first_to_last", "first tab to last", "ms", 1e3)
TO_HALF = Shown("to_half", "change to half of the tabs", "ms", 1e3)
TO_LAST = Shown("to_last", "change to the last tab", "ms", 1e3)
WORST = Shown("to_last_worst", "slowest to the last tab", "ms", 1e3)

#: What a table tells, from above downwards.
ROWS = (
    *(MEMORY, MEMORY_AFTER, DELIVERY, CLIENT, SERVER_BUSY, CLIENT_BUSY),
    *(FIRST_TO_LAST, TO_HALF, TO_LAST, WORST, OPENING, CLIENT_OPENING, OPENED),
)


def in_order(trials: Iterable[Trial]) -> list[Trial]:
    """Return trials in the order in which their servers are told of, fewer streams first."""
    return sorted(trials, key=lambda trial: (_ORDER.index(trial.who), trial.streams))
