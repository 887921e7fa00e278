"""`bin/bench sellout`: one item in thousands of different carts sells out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click

from bench.background import (
    VISITORS,
    Action,
    arrive,
    begin_acting,
    end_acting,
    times_figures,
    times_row,
)
from bench.machine import OtherWork, allow_files
from bench.processes import Client, client
from bench.report import Goal, Report, into_option, quantile, spread
from bench.shops import DELIVERY, FRONT_PAGE, PLENTY, Shop, open_shop, open_tabs, pairs

#: Seconds that server and clients have for what went before, and in which visitors act alone.
_SETTLE, _BEFORE = 1.0, 0.5

CARTS, SHARED = "each tab's own cart", "a shared fragment"


@dataclass(frozen=True)
class Broadcast:
    """One message to all tabs. Times in seconds from the commit; CPU times in seconds."""

    first: float
    half: float
    last: float
    cpu: float
    client_cpu: float
    #: what visitors did meanwhile
    actions: list[Action]


@click.command()
@click.option("--tabs", default=10_000, type=click.IntRange(10, 15_000), show_default=True)
@click.option("--rounds", default=8, type=click.IntRange(1, 100), show_default=True)
@click.option("--rate", default=50.0, type=click.FloatRange(1, 1000), show_default=True)
@into_option
def sellout(tabs: int, rounds: int, rate: float, into: Path) -> None:
    """Measure how soon all tabs know that an item in all their carts is sold out.

    Each tab has a two-line cart of its own. An operator in another process sells out the one item
    that all of them hold; each tab must then have its own cart, with that line struck out. In turn
    with it, a fragment that is the same for all goes to the same tabs. Meanwhile other visitors add
    and remove RATE times a second, half of them on connections that they keep.

    \b
    Example:
      bin/bench sellout --tabs 2000 --rounds 3
    """
    allow_files(tabs + VISITORS)
    others = OtherWork()
    with open_shop(tabs) as shop, client() as crowd, client() as visitors:
        crowd.do("give_way")
        click.echo(f"{tabs:,} tabs open …", err=True)
        scarce = shop.items()[0]
        open_tabs(crowd, shop, FRONT_PAGE, pairs(shop, tabs, holding=scarce["id"]))
        arrive(visitors, shop)
        sale = Sale(shop, crowd, visitors, rate)
        found: dict[str, list[Broadcast]] = {CARTS: [], SHARED: []}
        for number in range(rounds):
            click.echo(f"round {number + 1} of {rounds} …", err=True)
            for what, broadcast in sale.round(shared_first=number % 2 == 1):
                found[what].append(broadcast)
        crowd.do("leave")
    _report(found, tabs, rate).publish(into, others)


class Sale:
    """A shop with open tabs, in whose carts there is one item that sells out again and again."""

    def __init__(self, shop: Shop, crowd: Client, visitors: Client, rate: float) -> None:
        self._shop, self._crowd, self._visitors, self._rate = shop, crowd, visitors, rate
        items = shop.items()
        self._scarce = items[0]
        # Of the other product: no matter of any cart.
        self._change_level = shop.level_changes(items[-1]["sku"])

    def round(self, shared_first: bool) -> Iterator[tuple[str, Broadcast]]:
        """Have the item sell out, and be there again; before it or after, tell all of a product."""
        ways = ((SHARED, self._share), (CARTS, self._sell_out))
        for what, way in ways if shared_first else reversed(ways):
            yield what, way()

    def _share(self) -> Broadcast:
        return self._tell(self._change_level, "expect_product", product=2)

    def _sell_out(self) -> Broadcast:
        broadcast = self._tell(lambda: self._set(0), "expect_cart", struck=self._scarce["id"])
        self._crowd.send("expect_cart", struck=None, timeout=DELIVERY)
        self._set(PLENTY)
        self._crowd.answer(2 * DELIVERY)
        return broadcast

    def _set(self, count: int) -> float:
        return self._shop.set_stock(self._scarce["sku"], count)

    def _tell(self, change: Callable[[], float], expect: str, **what: Any) -> Broadcast:
        time.sleep(_SETTLE)
        self._crowd.do("prepare")
        begin_acting(self._visitors, self._rate, 2 * DELIVERY)
        time.sleep(_BEFORE)
        cpu = self._shop.server.cpu()
        self._crowd.send(expect, timeout=DELIVERY, **what)
        began = change()
        heard = self._crowd.answer(2 * DELIVERY)
        cpu = self._shop.server.cpu() - cpu
        actions = end_acting(self._visitors)
        return Broadcast(
            first=heard["first"] - began,
            half=heard["half"] - began,
            last=heard["last"] - began,
            cpu=cpu,
            client_cpu=heard["cpu"],
            actions=[a for a in actions if a.due <= heard["last"] and a.ended >= began],
        )


def _report(found: dict[str, list[Broadcast]], tabs: int, rate: float) -> Report:
    def row(name: str, figure: Callable[[Broadcast], float], unit: str, scale: float) -> list[str]:
        return [name, *(spread([*map(figure, ones)], unit, scale) for ones in found.values())]

    multiples = [
        own.last / shared.last for own, shared in zip(found[CARTS], found[SHARED], strict=True)
    ]
    actions = {what: [a for one in ones for a in one.actions] for what, ones in found.items()}
    times = [times_row("", actions[what])[1:] for what in found]
    titles = ("adds and removes meanwhile", "… p50", "… p99", "… longest", "… not answered 200")
    figures = {
        what: {
            "first": median(one.first for one in ones),
            "last": median(one.last for one in ones),
            "cpu_per_tab": median(one.cpu for one in ones) / tabs,
            **times_figures(actions[what]),
        }
        for what, ones in found.items()
    }
    last = figures[CARTS]["last"]
    post = quantile([action.took for action in actions[CARTS]] or [0.0], 0.99)
    return Report(
        name="sellout",
        head=[f"to {tabs:,} tabs", *found],
        rows=[
            row("commit to the first tab", lambda one: one.first, "ms", 1e3),
            row("commit to half of them", lambda one: one.half, "ms", 1e3),
            row("commit to the last", lambda one: one.last, "ms", 1e3),
            row("server's CPU for each tab", lambda one: one.cpu / tabs, "µs", 1e6),
            row("load client's", lambda one: one.client_cpu / tabs, "µs", 1e6),
            *(
                [title, *cells]
                for title, cells in zip(titles, zip(*times, strict=True), strict=True)
            ),
        ],
        goals=[
            Goal("commit to the last tab, each with its own cart", last, 1, "s"),
            Goal("… as a multiple of a shared fragment's time", median(multiples), 3, "×"),
            Goal("an add or remove meanwhile, p99", 1e3 * post, 100, "ms"),
        ],
        figures={"tabs": tabs, "multiple": median(multiples), **figures},
        bars={what: 1e3 * one["last"] for what, one in figures.items()},
        bars_title=f"Commit to the last of {tabs:,} tabs, ms",
        note=f"Medians and extremes of {len(multiples)} rounds. A tab counts when all of its own "
        "cart has come, by its fingerprint, with the right line struck out; another's cart in it "
        f"would end the run. Meanwhile {rate:g} adds and removes a second are due at given "
        "moments, each timed from its moment; the server's CPU time is with them.",
    )
