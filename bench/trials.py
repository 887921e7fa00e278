"""What was measured of streams: who, sending what to how many, in every run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.broadcasts import Figures
from bench.loopback import Floor
from shop.framing import sse_event

#: What is sent: a message of 300 bytes, such as a chat's or a counter's, and a product's fragment.
SMALL, FRAGMENT = "300 bytes", "product fragment"

#: The real shop, its tabs without a cart and with one each.
SHOP, CARTS = "shop", "carts"
OF_SHOP = {SHOP: "the shop", CARTS: "the shop, a cart each"}


@dataclass(frozen=True)
class Message:
    """What is sent to everybody."""

    name: str
    text: str

    @property
    def bytes(self) -> int:
        """Its length as an event."""
        return len(sse_event(self.text))


@dataclass(frozen=True)
class Trial:
    """A server that sends a message to so many streams."""

    who: str
    label: str
    message: str
    #: the message's length as an event
    bytes: int
    streams: int

    def __str__(self) -> str:
        return f"{self.streams:,} streams, {self.bytes:,} bytes: {self.label}"


@dataclass
class Results:
    """All figures of all runs.

    Args:
        most: the largest number of streams, of which goals are told.
        missing: what ours could not be compared with.
        versions: of what it was compared with.
    """

    most: int
    missing: list[str]
    versions: list[str] = field(default_factory=list)
    trials: dict[Trial, list[Figures]] = field(default_factory=dict)
    #: of each run by a message's length, what the kernel alone took for it, after every trial
    _floors: list[dict[int, list[Floor]]] = field(default_factory=list)

    def begin_run(self) -> None:
        self._floors.append({})

    def add(self, trial: Trial, figures: Figures, floor: Floor) -> None:
        """Take what a trial found, and what the kernel alone took just then."""
        self.trials.setdefault(trial, []).append(figures)
        self._floors[-1].setdefault(floor.bytes, []).append(floor)

    def give_up(self, label: str) -> None:
        """Leave a server out that can't be measured: what was found of it is not of all runs."""
        self.missing.append(label)
        self.trials = {trial: runs for trial, runs in self.trials.items() if trial.label != label}

    @property
    def floors(self) -> dict[int, list[Floor]]:
        """By a message's length, what the kernel alone took for it in each run."""
        sizes = self._floors[0]
        return {size: [Floor.middle(run[size]) for run in self._floors] for size in sizes}

    def of(self, who: str, message: str, figure: str, streams: int = 0) -> list[float]:
        """Return a figure of every run; nothing if that wasn't measured.

        Args:
            streams: 0: the largest number.
        """
        for trial, runs in self.trials.items():
            if (trial.who, trial.message, trial.streams) == (who, message, streams or self.most):
                return [getattr(run, figure) for run in runs]
        return []

    def floor(self, message: str) -> list[float]:
        """Return what sending a message and receiving it takes, in every run, in seconds."""
        size = next(trial.bytes for trial in self.trials if trial.message == message)
        return [floor.both for floor in self.floors[size]]

    def as_json(self) -> dict[str, Any]:
        return {
            "missing": self.missing,
            "versions": self.versions,
            "trials": [
                {**asdict(trial), "median": _medians(runs), "runs": [asdict(run) for run in runs]}
                for trial, runs in self.trials.items()
            ],
            "floors": [
                {"bytes": size, "runs": [{"send": f.send, "receive": f.receive} for f in floors]}
                for size, floors in self.floors.items()
            ],
        }


def ratio(ours: list[float], theirs: list[float]) -> float | None:
    """Return the median of ours as a multiple of theirs in the same run; None without one."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=False)]
    return median(ratios) if ratios else None


def _medians(runs: list[Figures]) -> dict[str, float]:
    return {name: median(getattr(run, name) for run in runs) for name in asdict(runs[0])}
