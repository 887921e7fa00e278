"""A hundred thousand shoppers and more: what servers they need, and what these then do."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from bench.actions import quantile
from bench.costs import MESSAGES, Costs
from bench.model_drop import Drop, Rush, Shop
from bench.model_tabs import Herd, SetUp, Told, attempts, come_back, tell
from bench.restart import AS_PAGES
from bench.small_cases import SIZES

#: A server: processes of the shop, each with so many tabs; and as many of nginx beside them.
PROCESSES, TABS = 8, 10_000
PROCESSORS = 2 * PROCESSES

#: PostgreSQL's processors.
DATABASE_PROCESSORS = 32

#: The kernel's memory for a tab, in bytes: nginx's two sockets and the shop's one. Assumed.
KERNEL = 12_000

#: A server's line, in bits a second; and what an event takes on it besides its bytes: TLS, TCP and
#: IP in packets of 1,460 bytes. Assumed.
LINE, ON_THE_WIRE = 10e9, 1.06

#: How fast nginx gives up on a server that is gone, in seconds; see docs/operations.md.
GONE = 1.0

#: Purchases a second that are tried, and for how many seconds; what counts as carried: so large a
#: part of them made, and nothing busier than that, or it would fall behind in time.
_RATES = (25, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1000, 1500, 2000, 3000)
_SECONDS, _MADE, _LASTING = 4.0, 0.95, 0.95

#: How often a second a size passes a level: three each, in the minute in which they sell out.
_LEVELS = SIZES * 3 / 60

#: What others do while tabs come back, actions a second and process.
_MEANWHILE = 20.0

#: p99 that shoppers may wait for adds and orders, and tabs for what others did, in seconds.
POST_P99 = 0.5

_PLENTY = 1_000_000


@dataclass(frozen=True)
class Plan:
    """How many servers so many shoppers need, with one to spare."""

    shoppers: int

    @property
    def servers(self) -> int:
        """All of them; one may be lost, and the others have `TABS` a process at most."""
        return ceil(self.shoppers / (PROCESSES * TABS)) + 1

    @property
    def processes(self) -> int:
        return self.servers * PROCESSES

    @property
    def setup(self) -> SetUp:
        return SetUp(self.processes, self.shoppers, DATABASE_PROCESSORS)

    @property
    def without_one(self) -> SetUp:
        """What is left when a server is lost."""
        return SetUp(self.processes - PROCESSES, self.shoppers, DATABASE_PROCESSORS)

    def memory(self, costs: Costs) -> float:
        """Return what a server needs when another one is lost, in bytes."""
        each = costs.stream_memory + costs.proxied_memory + KERNEL
        tabs = self.shoppers / (self.servers - 1)
        return PROCESSES * costs.process_memory + tabs * each

    @staticmethod
    def _wire(costs: Costs) -> float:
        return costs.fragment_bytes * ON_THE_WIRE

    def release_bytes(self, costs: Costs) -> float:
        """Return what a release to every tab takes on all lines together."""
        return self.shoppers * self._wire(costs)

    def line_seconds(self, costs: Costs) -> float:
        """Return for how long a release keeps a server's line busy."""
        return self.release_bytes(costs) / self.servers * 8 / LINE

    def release_seconds(self, costs: Costs, told: Told) -> float:
        """Return when the last tab has a release: servers, nginx and lines work side by side."""
        return max(told.last, self.nginx_seconds(costs), self.line_seconds(costs))

    def nginx_seconds(self, costs: Costs) -> float:
        """Return for how long a release keeps a server's nginx processes busy."""
        return self.shoppers / self.processes * costs.proxied_delivery


@dataclass(frozen=True)
class Carried:
    """How many purchases a second are answered in time, and how busy everything is with them."""

    rate: float
    p99: float
    drop: Drop

    def as_json(self) -> dict[str, Any]:
        busy = {part: getattr(self.drop, part) for part in BUSY}
        return {"rate": self.rate, "p99": self.p99, **busy, "made": self.drop.made}


#: Who can be what everybody waits for, by what `Drop` calls it.
BUSY = {
    "servers": "the servers",
    "database": "PostgreSQL's processors",
    "redis": "Redis",
    "hot_row": "the row of the item",
}


@dataclass(frozen=True)
class Large:
    """What is reckoned for so many shoppers."""

    plan: Plan
    told: Told
    #: a server's tabs come to the others; and all tabs come back, as one process sees it
    one_lost: Herd
    all_back: Herd
    #: purchases a second that were tried, until too many: of all sizes alike, and of one
    spread: list[Carried]
    one_item: list[Carried]

    def as_json(self) -> dict[str, Any]:
        return {
            "plan": asdict(self.plan) | {"servers": self.plan.servers},
            "told": {"half": self.told.half, "last": self.told.last},
            "one_lost": {"last": max(self.one_lost.current), "p99": self.one_lost.p99},
            "all_back": {"last": max(self.all_back.current), "p99": self.all_back.p99},
            "spread": self.spread,
            "one_item": self.one_item,
        }


def play(costs: Costs, shoppers: int, rates: Sequence[float] = _RATES) -> Large:
    """Play through a release, the loss of a server and of all, and purchases.

    Args:
        rates: purchases a second to try, the fewest first.
    """
    plan = Plan(shoppers)
    return Large(
        plan,
        tell(costs, plan.setup, costs.delivery),
        _lose_a_server(costs, plan),
        _lose_all(costs, plan),
        _try_rates(costs, plan, rates, [_PLENTY] * SIZES),
        _try_rates(costs, plan, rates, [_PLENTY]),
    )


def carried(tried: Sequence[Carried]) -> Carried:
    """Return the most that was carried; of none, the least that was tried."""
    return next((one for one in reversed(tried) if _holds(one)), tried[0])


def first_to_break(tried: Sequence[Carried]) -> str:
    """Name what was busiest when it was too much."""
    drop = tried[-1].drop
    return BUSY[max(BUSY, key=lambda part: float(getattr(drop, part)))]


def redis_seconds(costs: Costs, processes: int) -> float:
    """Return Redis's CPU time for a purchase that so many processes hear of, in seconds."""
    carried = costs.redis_message + (processes - 1) * costs.redis_subscriber
    return costs.purchase_redis + MESSAGES * carried


def _holds(one: Carried) -> bool:
    drop = one.drop
    in_time = max(one.p99, _p99(drop.heard)) <= POST_P99
    lasting = max(getattr(drop, part) for part in BUSY) <= _LASTING
    return in_time and lasting and drop.made >= _MADE * drop.offered


def _p99(took: Sequence[float]) -> float:
    return quantile(took, 0.99) if took else 0.0


def _lose_a_server(costs: Costs, plan: Plan) -> Herd:
    tabs = plan.shoppers // plan.servers
    arrivals = attempts([GONE] * tabs, GONE, AS_PAGES, random.Random(1))
    left = plan.without_one
    return come_back(costs, left, arrivals, _MEANWHILE * left.processes)


def _lose_all(costs: Costs, plan: Plan) -> Herd:
    """Play it for one process: the others are like it."""
    tabs = ceil(plan.shoppers / plan.processes)
    arrivals = attempts([0.0] * tabs, 0.0, AS_PAGES, random.Random(1))
    return come_back(costs, SetUp(1, tabs), arrivals, _MEANWHILE)


def _try_rates(
    costs: Costs, plan: Plan, rates: Sequence[float], stock: Sequence[int]
) -> list[Carried]:
    tried: list[Carried] = []
    for rate in rates:
        rush = Rush(rate, _SECONDS, stock, _LEVELS)
        drop = Shop(costs, plan.setup, rush).play()
        tried.append(Carried(rate, _p99(drop.posts), drop))
        if not _holds(tried[-1]):
            break
    return tried
