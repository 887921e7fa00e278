"""A rush of shoppers on a model of many servers: purchases, and what other servers hear of them.

All of it is decided by what is given and by the seed: the same is played the same way again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from bench.costs import Costs
from bench.model_tabs import SetUp
from bench.simulation import Do, Loop, Simulation, Station
from shop.live import TICK
from shop.relay import TICK as GATHERING

#: Turns of the buying process while it holds an item's row: each answer of PostgreSQL but the last
#: has to be noticed before the next statement goes out (the cart is saved, then the commit).
_TURNS_HOLDING = 3

#: How PostgreSQL's work for a purchase is shared by its requests: add, checkout page, order.
_DATABASE_SHARES = (0.3, 0.2, 0.5)


@dataclass(frozen=True)
class Rush:
    """What shoppers want in a drop, and how much there is."""

    #: purchases a second that are offered
    rate: float
    seconds: float
    #: pieces of each item
    stock: Sequence[int]
    #: how often a second a size passes a level that shoppers see, which every tab is told of
    levels: float = 0.0


@dataclass
class Drop:
    """What came of it; times in seconds."""

    sold: list[int]
    #: orders that came too late
    refused: int = 0
    #: purchases that were begun
    offered: int = 0
    #: answers in time for the drop: of purchases that were made
    made: int = 0
    add: list[float] = field(default_factory=list)
    page: list[float] = field(default_factory=list)
    order: list[float] = field(default_factory=list)
    #: from a change until all other processes had its name from Redis
    heard: list[float] = field(default_factory=list)
    #: shares of the drop in which each worked, on average
    servers: float = 0.0
    database: float = 0.0
    redis: float = 0.0
    #: and how long the row of the item that was asked for most was held
    hot_row: float = 0.0

    @property
    def posts(self) -> list[float]:
        return [*self.add, *self.order]


class _Row:
    """An item: its pieces, and the lock that one purchase at a time has on them."""

    def __init__(self, simulation: Simulation, pieces: int) -> None:
        self._simulation = simulation
        self._waiting: list[Do] = []
        self._held_since: float | None = None
        self.left = pieces
        #: seconds
        self.held = 0.0

    def acquire(self, then: Do) -> None:
        if self._held_since is not None:
            self._waiting.append(then)
            return
        self._held_since = self._simulation.now
        then()

    def release(self) -> None:
        assert self._held_since is not None
        self.held += self._simulation.now - self._held_since
        self._held_since = None
        if self._waiting:
            self.acquire(self._waiting.pop(0))


class _Process:
    """A server process in a drop: its loop, and what it announces and hears."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        #: names that are gathered for the next message
        self.names = 0
        #: how many messages and names of others it has heard, of all there were
        self.messages_seen = self.names_seen = 0


class Shop:
    """A shop on several servers while a drop lasts."""

    def __init__(self, costs: Costs, setup: SetUp, rush: Rush, seed: int = 1) -> None:
        self._costs, self._setup, self._rush = costs, setup, rush
        self._chance = random.Random(seed)
        self._simulation = Simulation()
        self._database = Station(self._simulation, setup.database_processors, setup.speed)
        self._redis = Station(self._simulation, speed=setup.speed)
        self._rows = [_Row(self._simulation, pieces) for pieces in rush.stock]
        self._processes = [
            _Process(Loop(self._simulation, setup.speed)) for _ in range(setup.processes)
        ]
        #: all that Redis has carried
        self._messages = self._names = 0
        self._drop = Drop([0] * len(rush.stock))
        self._requests = dict(zip(("add", "page", "order"), self._share_out(), strict=True))

    def play(self) -> Drop:
        """Let the drop happen, until the last purchase is answered or given up."""
        rush, simulation, drop = self._rush, self._simulation, self._drop
        for process in self._processes:
            simulation.after(self._chance.uniform(0, TICK), partial(self._hear, process))
        simulation.after(0.0, self._come)
        if rush.levels:
            simulation.after(0.0, self._change_level)
        simulation.run(until=rush.seconds)
        processes = self._processes
        drop.servers = sum(p.loop.busy(rush.seconds) for p in processes) / len(processes)
        drop.database = self._database.busy(rush.seconds)
        drop.redis = self._redis.busy(rush.seconds)
        drop.hot_row = max(row.held for row in self._rows) / rush.seconds
        return drop

    def _share_out(self) -> Iterator[tuple[float, float]]:
        """Give what each request of a purchase costs its process, and PostgreSQL."""
        costs = self._costs
        parts = (costs.change, costs.page, costs.checkout)
        for part, share in zip(parts, _DATABASE_SHARES, strict=True):
            yield (costs.requests * part / sum(parts), costs.purchase_database * share)

    def _come(self) -> None:
        """Have a shopper come who buys, and another one later."""
        self._drop.offered += 1
        row = self._chance.randrange(len(self._rows))
        self._redis.use(self._costs.purchase_redis, lambda: None)
        self._request("add", lambda: self._request("page", lambda: self._order(row)))
        self._simulation.after(self._chance.expovariate(self._rush.rate), self._come)

    def _request(self, kind: str, then: Do) -> None:
        """Handle a request: the process works, PostgreSQL does, the process goes on."""
        due, process = self._simulation.now, self._chance.choice(self._processes)
        cpu, asked = self._requests[kind]

        def answer() -> None:
            getattr(self._drop, kind).append(self._simulation.now - due)
            if kind == "add":
                self._announce(process)
            then()

        def ask() -> None:
            self._database.use(asked, lambda: process.loop.act(cpu / 2, answer))

        process.loop.act(cpu / 2, ask)

    def _order(self, number: int) -> None:
        """Place an order; take the piece last, so that the row is held no longer than needed."""
        due, process = self._simulation.now, self._chance.choice(self._processes)
        cpu, asked = self._requests["order"]
        row = self._rows[number]

        def answer(bought: bool) -> None:
            self._drop.order.append(self._simulation.now - due)
            self._drop.made += bought

        def commit() -> None:
            # The disk is waited for by nobody else: others commit together with this.
            self._simulation.after(self._costs.hot_row / self._setup.speed, end)

        def end() -> None:
            bought = row.left > 0
            row.left -= bought
            self._drop.sold[number] += bought
            self._drop.refused += not bought
            row.release()
            if bought:
                self._announce(process)
            process.loop.act(cpu / 2, lambda: answer(bought))

        def take_turns(left: int) -> None:
            process.loop.act(0.0, lambda: take_turns(left - 1) if left else commit())

        def take() -> None:
            row.acquire(lambda: take_turns(_TURNS_HOLDING - 1))

        process.loop.act(cpu / 2, lambda: self._database.use(asked, take))

    def _announce(self, process: _Process) -> None:
        """Say what changed, to all other processes, with what else changes in a moment."""
        process.names += 2  # the cart and the shelf
        if process.names == 2:
            self._simulation.after(GATHERING, lambda: self._send(process))

    def _send(self, process: _Process) -> None:
        names, process.names = process.names, 0
        since = self._simulation.now - GATHERING
        fan_out = (len(self._processes) - 1) * self._costs.redis_subscriber

        def carried() -> None:
            self._messages += 1
            self._names += names
            self._drop.heard.append(self._simulation.now - since)

        self._redis.use(self._costs.redis_message + fan_out, carried)

    def _hear(self, process: _Process) -> None:
        """Hear what was said since the last time, and read the shelf if anything was."""
        messages, names = self._messages - process.messages_seen, self._names - process.names_seen
        process.messages_seen, process.names_seen = self._messages, self._names
        if messages and len(self._processes) > 1:
            costs = self._costs
            work = messages * costs.hearing_message + names * costs.hearing_name
            read = partial(self._database.use, costs.shelf_read, lambda: None)
            process.loop.act(work, read)
        self._simulation.after(TICK, partial(self._hear, process))

    def _change_level(self) -> None:
        """Tell every tab of a size that has become scarce."""
        for process, tabs in zip(self._processes, self._setup.shares, strict=True):
            process.loop.tell(tabs, self._costs.delivery, lambda told: None)
        self._simulation.after(self._chance.expovariate(self._rush.levels), self._change_level)
