"""Open tabs on a model of many servers: they are told of a release, and come back to a server.

All of it is decided by what is given and by the seed: the same is played the same way again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.actions import quantile
from bench.coming_back import Manner
from bench.costs import Costs
from bench.simulation import Loop, Simulation, Station

#: How often a server with SQLite looks for others' commits, in seconds: what is new waits half.
LOOK = 0.030


@dataclass(frozen=True)
class SetUp:
    """Servers, and what stands beside them."""

    #: server processes, each with a processor of its own or a share of one
    processes: int
    #: of all shoppers, at each process as many as at others
    tabs: int
    #: PostgreSQL's; 0: SQLite, within the one process
    database_processors: int = 0
    speed: float = 1.0

    @property
    def shares(self) -> list[int]:
        """How many tabs each process has."""
        least, more = divmod(self.tabs, self.processes)
        return [least + (number < more) for number in range(self.processes)]


@dataclass
class Told:
    """How a message reached tabs: moments since the change in seconds, and how many had it then."""

    moments: list[tuple[float, int]] = field(default_factory=list)
    #: how long others' actions took meanwhile
    actions: list[float] = field(default_factory=list)

    @property
    def tabs(self) -> int:
        return sum(tabs for _, tabs in self.moments)

    @property
    def half(self) -> float:
        return self.after(0.5)

    @property
    def last(self) -> float:
        return self.after(1.0)

    def after(self, share: float) -> float:
        """Return when so large a share of all had it."""
        wanted, had = share * self.tabs, 0
        for moment, tabs in sorted(self.moments):
            had += tabs
            if had >= wanted:
                return moment
        return 0.0


def tell(costs: Costs, setup: SetUp, each: float, rate: float = 0.0, seed: int = 1) -> Told:
    """Have an operator release a product: it is heard of, read, rendered and sent to every tab.

    Args:
        each: seconds for a tab.
        rate: others' adds and removes a second, at all processes together.
    """
    simulation, told = Simulation(), Told()
    database = Station(simulation, max(1, setup.database_processors))
    redis = Station(simulation)
    loops = [Loop(simulation, setup.speed) for _ in range(setup.processes)]

    def note(tabs: int) -> None:
        told.moments.append((simulation.now, tabs))

    def begin(loop: Loop, tabs: int) -> None:
        # Read (by PostgreSQL meanwhile), rendered as in a page, sent.
        send = partial(loop.tell, tabs, each, note)
        database.use(costs.shelf_read, lambda: loop.act(costs.page, send))

    def hear() -> None:
        for loop, tabs in zip(loops, setup.shares, strict=True):
            loop.act(costs.hearing_message, partial(begin, loop, tabs))

    def missing() -> bool:
        return told.tabs < setup.tabs

    _act_meanwhile(
        simulation, loops, costs.change, rate, random.Random(seed), missing, told.actions
    )
    if setup.database_processors:
        redis.use(costs.redis_message + setup.processes * costs.redis_subscriber, hear)
    else:
        simulation.after(LOOK / 2, hear)
    simulation.run()
    return told


def _act_meanwhile(
    simulation: Simulation,
    loops: Sequence[Loop],
    each: float,
    rate: float,
    chance: random.Random,
    goes_on: Callable[[], bool],
    took: list[float],
) -> None:
    """Have visitors act at random moments and processes, and note how long each action took."""

    def act() -> None:
        if not goes_on():
            return
        due = simulation.now
        chance.choice(loops).act(each, lambda: took.append(simulation.now - due))
        simulation.after(chance.expovariate(rate), act)

    if rate:
        simulation.after(0.0, act)


def attempts(
    lost: Sequence[float], back: float, manner: Manner, chance: random.Random
) -> list[float]:
    """Return when each tab finds a server again, trying as htmx does.

    Args:
        lost: when each lost its stream.
        back: from when on one takes calls.
    """

    def arrive(at: float) -> float:
        if manner.at_once:
            return max(at, back)
        delay = manner.delay
        while True:
            at += delay * chance.uniform(1 - manner.jitter, 1 + manner.jitter)
            if at >= back:
                return at
            delay = min(2 * delay, manner.longest)

    return [arrive(at) for at in lost]


@dataclass
class Herd:
    """Tabs that came back: when each was current, and how long others' actions took meanwhile."""

    current: list[float] = field(default_factory=list)
    actions: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return quantile(self.actions, 0.5) if self.actions else 0.0

    @property
    def p99(self) -> float:
        return quantile(self.actions, 0.99) if self.actions else 0.0


def come_back(
    costs: Costs, setup: SetUp, arrivals: Sequence[float], rate: float, seed: int = 1
) -> Herd:
    """Have tabs open their streams at the moments given, while others add and remove.

    Args:
        rate: actions a second at all processes together.
    """
    simulation, chance, herd = Simulation(), random.Random(seed), Herd()
    loops = [Loop(simulation, setup.speed) for _ in range(setup.processes)]

    def opened() -> None:
        herd.current.append(simulation.now)

    def missing() -> bool:
        return len(herd.current) < len(arrivals)

    _act_meanwhile(simulation, loops, costs.change, rate, chance, missing, herd.actions)
    for number, at in enumerate(arrivals):
        loop = loops[number % len(loops)]
        simulation.after(max(0.0, at), partial(loop.open, costs.opening, opened))
    simulation.run()
    return herd
