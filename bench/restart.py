"""What is done to a server while thousands of tabs are open, and what came of it."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from bench.actions import Action, percentiles, summary
from bench.bystander import CUT_OFF, HAD_BEEN_DONE, REFUSED, UNANSWERED
from bench.coming_back import Manner

#: As a page does, see shop/static/live.js.
AS_PAGES = Manner(0.3, 2.5, 0.3)
AT_ONCE = Manner(0.0, 0.0, 0.0, at_once=True)

#: Seconds of which the slowest action is told.
_HALF = 0.5


@dataclass(frozen=True)
class Way:
    """How a server ends, and how its tabs come back."""

    name: str
    signal: int
    #: `SHOP_DRAIN_SECONDS`
    drain: float
    manner: Manner


@dataclass(frozen=True)
class Load:
    """How many tabs there are, each with a cart of its own, and what others do meanwhile."""

    tabs: int
    #: actions a second
    rate: float


@dataclass(frozen=True)
class Restart:
    """What came of it. Moments in seconds since the new server said that it serves."""

    way: str
    #: the signal that the old server was sent
    signal: int
    #: the old server's exit status; below 0 the signal that ended it
    status: int
    #: when it was told to end, and when it had
    told: float
    ended: float
    #: by tab: when it lost its stream, and when it was current again
    lost: list[float]
    current: list[float]
    #: what came of attempts to come back that failed
    failures: dict[str, int]
    #: calls that the kernel dropped as too many waited to be accepted; they are repeated by it
    dropped: int
    #: CPU times until all were current, in seconds: the new server's, without its start; its start;
    #: the tabs' client's from before the old one's end
    cpu: float
    start_cpu: float
    client_cpu: float
    #: what visitors did
    actions: list[Action]

    def as_json(self) -> dict[str, Any]:
        """Return all but what single tabs and visitors did, of which there are thousands."""
        return vars(self) | {
            "lost": percentiles(self.lost),
            "current": percentiles(self.current),
            "slowest": self.slowest(),
            "actions": {moment: summary(done) for moment, done in self.moments.items()},
        }

    @property
    def moments(self) -> dict[str, list[Action]]:
        """What visitors did, by when it was due."""
        return {
            "before": [action for action in self.actions if action.over < self.told],
            "while it ends": [a for a in self.actions if a.over >= self.told and a.due < 0],
            "while tabs come back": self.meanwhile,
        }

    def slowest(self) -> list[tuple[float, float]]:
        """Return for each half of a second the longest that an answer took, by when it was due."""
        longest: dict[int, float] = {}
        for action in self.meanwhile:
            place = int(action.due / _HALF)
            longest[place] = max(longest.get(place, 0.0), action.took)
        return [((place + 0.5) * _HALF, took) for place, took in sorted(longest.items())]

    @property
    def was_asked(self) -> bool:
        """Whether the old server was told to end, and not just ended."""
        return self.signal == signal.SIGTERM

    @property
    def all_current(self) -> float:
        return max(self.current)

    @property
    def meanwhile(self) -> list[Action]:
        """What was due while tabs came back."""
        return [action for action in self.actions if 0 <= action.due <= self.all_current]

    @property
    def lost_requests(self) -> list[Action]:
        """Requests that went out, and to which no answer came."""
        return [action for action in self.actions if action.outcome in (CUT_OFF, UNANSWERED)]

    @property
    def wrong_answers(self) -> list[Action]:
        """Answers that an add or a remove should not have got."""
        fine = {"200", HAD_BEEN_DONE, REFUSED, CUT_OFF, UNANSWERED}
        return [action for action in self.actions if action.outcome not in fine]
