"""A shop with thousands of open tabs, and visitors who act while something reaches all of those."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import click

from bench.load import LoadClient
from bench.report import Column, Figures, quantiles
from bench.shops import Shop, open_shop
from bench.tabs import Finds, product_fragment
from bench.visits import Action

#: Visitors who act: enough for all that is due while the shop takes its time; and the adds and
#: removes a second that are due.
_VISITORS, RATE = 40, 50.0

#: Seconds that server and clients have for what went before, and in which visitors act alone.
_SETTLE, _BEFORE = 1.0, 0.5

#: The last tab is what charts show.
LAST = Column("to the last", "last", "ms")

#: When a message reached tabs; and what visitors did meanwhile.
REACH_COLUMNS = (
    Column("to the first tab", "first", "ms"),
    Column("to half of them", "half", "ms"),
    LAST,
)
ACTION_COLUMNS = (
    Column("adds and removes meanwhile", "times"),
    Column("p50", "p50", "ms"),
    Column("p99", "p99", "ms"),
    Column("longest", "longest", "ms"),
    Column("not answered 200", "others"),
)


@dataclass(frozen=True)
class Observed:
    """What reached all tabs and how soon, by the keys of columns; what visitors did meanwhile."""

    figures: Figures
    actions: list[Action]


class Crowd:
    """A shop, with an item `scarce` that all carts hold, and `other` that none does; who is there.

    Args:
        count: of the tabs.
        rate: how many adds and removes a second are due while others act.
    """

    def __init__(
        self, shop: Shop, tabs: LoadClient, visitors: LoadClient, count: int, rate: float
    ) -> None:
        self.shop, self.tabs, self._visitors = shop, tabs, visitors
        self._count, self._rate = count, rate
        items = shop.items()
        self.scarce, wanted, self.other = items[0], items[1]["id"], items[-1]
        self._change_level = shop.level_changes(self.other["sku"])
        visitors.do("visits.enter", port=shop.server.port, visitors=_VISITORS, item=wanted)

    def begin_acting(self) -> None:
        """Have visitors add and remove until `end_acting`."""
        self._visitors.send("visits.act", rate=self._rate)

    def end_acting(self) -> list[Action]:
        """Have them end what they began; return all that they did."""
        self._visitors.send("visits.stop")
        actions: list[Action] = self._visitors.answer()
        self._visitors.answer()
        return actions

    def share(self) -> Observed:
        """Tell all tabs of a level of an item: a fragment that is the same for all."""
        return self.observe(self._change_level, partial(product_fragment, product=2))

    def observe(self, change: Callable[[], float], finds: Finds) -> Observed:
        """Change something, and wait until all tabs show it, while visitors act.

        The arguments are those of `LoadClient.reach`.
        """
        time.sleep(_SETTLE)
        self.tabs.do("tabs.prepare")
        self.begin_acting()
        time.sleep(_BEFORE)
        cpu = self.shop.server.cpu()
        began, reached = self.tabs.reach(change, finds)
        cpu = self.shop.server.cpu() - cpu
        last = began + reached["last"]
        actions = [a for a in self.end_acting() if a.due <= last and a.ended >= began]
        each = {"cpu_per_tab": cpu, "client_per_tab": reached.pop("cpu")}
        return Observed(reached | {key: one / self._count for key, one in each.items()}, actions)


@contextmanager
def open_crowd(
    tabs: int,
    path: str,
    rate: float = RATE,
    marked: bool = False,
    both: bool = True,
    **settings: str,
) -> Iterator[Crowd]:
    """Open a shop, and so many tabs, each with a cart of its own.

    Args:
        path: of the tabs' streams.
        rate: of adds and removes meanwhile, a second.
        marked: whether each cart has a size of the second product marked, which is closed.
            Without, it has two lines, of which one is of the same item for all.
        both: whether these lines may be of either product; else they are of the first.
        settings: of the shop.
    """
    with open_shop(settings) as shop, LoadClient(nice=10) as client, LoadClient() as visitors:
        click.echo(f"{tabs:,} tabs open …", err=True)
        crowd = Crowd(shop, client, visitors, tabs, rate)
        without = None if both else crowd.other["product"]
        contents = shop.pairs(tabs, holding=crowd.scarce["id"], without=without)
        if marked:
            shop.command("close", "2")
            tomorrow = datetime.now(UTC) + timedelta(days=1)  # it has to be announced
            shop.command("release", "2", "--at", tomorrow.isoformat())
            sizes = [one["id"] for one in shop.items() if one["product"] == crowd.other["product"]]
            contents = [[sizes[number % len(sizes)]] for number in range(tabs)]
        shop.open_tabs(client, path, contents, marked)
        yield crowd
        client.do("tabs.leave")


def row_of(runs: Sequence[Observed]) -> list[Figures]:
    """Return the row of some runs, and of what visitors did during all of them."""
    actions = [action for run in runs for action in run.actions]
    others = sum(action.outcome != "200" for action in actions)
    meanwhile = quantiles([action.took for action in actions]) | {"others": others}
    return [*(run.figures for run in runs), meanwhile]
