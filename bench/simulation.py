"""A small model of servers: events in time, loops that do one thing at a time, queues beside them.

Pure arithmetic, no clock and no network: what takes a second here takes as long as its events.
The order in which a loop works is that of the shop: requests as they come, streams that open
in a lane of their own (`shop.server.LANE`), broadcasts in slices (`shop.turns.LENGTH`).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from math import inf

from shop.server import LANE
from shop.turns import LENGTH

Do = Callable[[], None]

#: Parts of a slice by which a delivery may exceed it: sums of fractions are not exact.
_ROUNDING = 1e-9


class Simulation:
    """Events, done in the order of their times; those of one moment in the order they were made."""

    def __init__(self) -> None:
        #: seconds since the beginning
        self.now = 0.0
        self._events: list[tuple[float, int, Do]] = []
        self._numbers = count()

    def after(self, seconds: float, do: Do) -> None:
        """Have something done in so many seconds."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), do))

    def run(self, until: float = inf) -> None:
        """Do what is due, and what that leads to; leave what is due later than `until`."""
        while self._events and self._events[0][0] <= until:
            self.now, _, do = heapq.heappop(self._events)
            do()


class Station:
    """Takes what comes in its order, by so many at the same time.

    A database's processors, Redis, or the lock on a row, which only one can hold.
    """

    def __init__(self, simulation: Simulation, workers: int = 1, speed: float = 1.0) -> None:
        """Open one whose workers take `1 / speed` times what a piece of work is given as."""
        self._simulation = simulation
        self._free = workers
        self._workers = workers
        self._speed = speed
        self._waiting: deque[tuple[float, Do]] = deque()
        #: seconds that its workers worked, taken together
        self.worked = 0.0

    def use(self, seconds: float, then: Do) -> None:
        """Work for so long when it is its turn, and then do something."""
        self._waiting.append((seconds / self._speed, then))
        self._begin()

    def busy(self, seconds: float) -> float:
        """Return the share of a time that its workers worked, on average."""
        return self.worked / (seconds * self._workers)

    def _begin(self) -> None:
        while self._free and self._waiting:
            seconds, then = self._waiting.popleft()
            self._free -= 1
            self._simulation.after(seconds, partial(self._end, seconds, then))

    def _end(self, seconds: float, then: Do) -> None:
        self._free += 1
        self.worked += seconds
        then()
        self._begin()


@dataclass
class _Broadcast:
    """A message on its way to many tabs."""

    left: int
    #: seconds for each tab
    each: float
    #: called after each slice with how many have it since then
    told: Callable[[int], None]


class Loop:
    """A server process: one thread, in rounds.

    A round is what requests have come, then as many streams as the lane lets open, then a slice of
    the oldest broadcast. So a request waits for one round at most, however much is to be told.
    """

    def __init__(self, simulation: Simulation, speed: float = 1.0) -> None:
        """Make one that takes `1 / speed` times what a piece of work is given as."""
        self._simulation = simulation
        self._speed = speed
        self._actions: deque[tuple[float, Do]] = deque()
        self._openings: deque[tuple[float, Do]] = deque()
        self._broadcasts: deque[_Broadcast] = deque()
        self._round: deque[tuple[float, Do]] = deque()
        self._working = False
        #: seconds that it worked
        self.worked = 0.0

    def act(self, seconds: float, then: Do) -> None:
        """Handle a request, or part of one, in one piece; then do something."""
        self._actions.append((seconds, then))
        self._work()

    def open(self, seconds: float, then: Do) -> None:
        """Open a stream when the lane is free; then do something."""
        self._openings.append((seconds, then))
        self._work()

    def tell(self, tabs: int, each: float, told: Callable[[int], None]) -> None:
        """Send a message to tabs, in slices; say after each slice how many have it."""
        if tabs > 0:
            self._broadcasts.append(_Broadcast(tabs, each, told))
            self._work()

    def busy(self, seconds: float) -> float:
        """Return the share of a time that it worked."""
        return self.worked / seconds

    def _work(self) -> None:
        if self._working:
            return
        if not self._round:
            self._gather()
        if self._round:
            self._working = True
            seconds, then = self._round.popleft()
            took = seconds / self._speed
            self._simulation.after(took, lambda: self._done(took, then))

    def _gather(self) -> None:
        """Begin a round."""
        self._round.extend(self._actions)
        self._actions.clear()
        for _ in range(min(LANE, len(self._openings))):
            self._round.append(self._openings.popleft())
        if self._broadcasts:
            self._round.append(self._slice(self._broadcasts[0]))

    def _slice(self, broadcast: _Broadcast) -> tuple[float, Do]:
        # Of a processor that is slower, a slice of the same length holds fewer.
        fit = int(LENGTH * self._speed / broadcast.each + _ROUNDING)
        tabs = min(broadcast.left, max(1, fit))
        return tabs * broadcast.each, lambda: self._sent(broadcast, tabs)

    def _sent(self, broadcast: _Broadcast, tabs: int) -> None:
        broadcast.left -= tabs
        if not broadcast.left:
            self._broadcasts.popleft()
        broadcast.told(tabs)

    def _done(self, took: float, then: Do) -> None:
        self.worked += took
        self._working = False
        then()
        self._work()
