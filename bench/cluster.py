"""`bin/bench cluster`: the shop on several servers, with PostgreSQL and Redis, under a drop."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, LiteralString

import click
import psycopg

from bench.machine import OtherWork, allow_files
from bench.processes import Client, cpu_of
from bench.report import Column, Goal, Report, into_option, quantile, quantiles, spread
from bench.shoppers import BOUGHT, Purchase
from bench.shops import OPENING, Cluster, Shop, open_cluster, open_shop

#: p95, in seconds, until a change of a cart is in all of its tabs: of several servers, of one.
SEVERAL, ALONE = 0.150, 0.100

_SEVERAL = "a change of a cart to all its tabs, several servers"
_ALONE = "… one server, SQLite"

_COLUMNS = (
    Column("times", "times"),
    Column("p50", "p50", "ms"),
    Column("p95", "p95", "ms"),
    Column("p99", "p99", "ms"),
    Column("longest", "longest", "ms"),
)

#: p99, in seconds, from a commit in a drop until a tab shows it.
IN_A_DROP = 0.500

#: One size in so many is scarce; there is so much of it, of what will be asked for, from and to;
#: and so much of the others, with some more for chance.
_SCARCE, _FEW, _ENOUGH, _SPARE = 3, (0.2, 0.9), 1.6, 10

#: Seconds that servers have, when the shoppers have left, for what they were asked before.
_SETTLE = 40.0

_COMMITTED: LiteralString = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"


@click.command()
@click.option("--servers", default=2, type=click.IntRange(2, 8), show_default=True)
@click.option("--tabs", default=8, type=click.IntRange(2, 40), show_default=True)
@click.option("--changes", default=200, type=click.IntRange(10, 5000), show_default=True)
@click.option("--streams", default=4000, type=click.IntRange(10, 50_000), show_default=True)
@click.option("--rate", default=100.0, type=click.FloatRange(0.5, 5000), show_default=True)
@click.option("--seconds", default=60.0, type=click.FloatRange(2, 3600), show_default=True)
@into_option
def cluster(
    servers: int, tabs: int, changes: int, streams: int, rate: float, seconds: float, into: Path
) -> None:
    """Measure a shop on several servers, with a real PostgreSQL (fsync on) and a real Redis.

    First, how soon each of CHANGES to a cart is in all TABS that show it, on whichever server; and
    the same on one server with SQLite. Then a drop: shoppers with a tab and a cart each buy at
    random moments, RATE a second, half of them at another server than their tab's, and some sizes
    sell out. A purchase is an add, the checkout page and the order. Afterwards the books must agree
    with what was answered and with what tabs show.

    \b
    Example:
      bin/bench cluster --streams 400 --rate 20 --seconds 15
    """
    allow_files(2 * streams)
    others = OtherWork()
    with open_cluster(servers) as opened:
        several = _change_a_cart(opened.shop, tabs, changes)
    with open_shop() as shop:
        alone = _change_a_cart(shop, min(4, tabs), changes)
    with open_cluster(servers, streams) as opened, Client() as shoppers:
        drop = Drop(opened, shoppers, streams, rate, seconds)
        drop.run()
    _report(drop, several, alone).publish(into, others)


def _change_a_cart(shop: Shop, tabs: int, changes: int) -> list[float]:
    click.echo(f"{changes} changes of a cart, {len(shop.servers)} server(s) …", err=True)
    how = {"tabs": tabs, "changes": changes, "items": [item["id"] for item in shop.items()]}
    with Client() as visitor:
        within = 60 + 10 * changes
        delays: list[float] = visitor.do(
            "shoppers.change_one_cart", within, ports=shop.ports, **how
        )
    return delays


class Drop:
    """Shoppers who come in and buy, and what the books say afterwards."""

    def __init__(
        self, cluster: Cluster, client: Client, streams: int, rate: float, seconds: float
    ) -> None:
        self._cluster, self._client, self._shop = cluster, client, cluster.shop
        self.streams, self.rate, self.seconds = streams, rate, seconds
        self.cpu: dict[str, float] = {}
        self.delays: dict[str, list[float]] = {}
        self.books: dict[str, int] = {}
        self.outcomes: Counter[str] = Counter()

    def run(self) -> None:
        """Let the shoppers in, have them buy, and read the books."""
        self._stock()
        items = [str(item["id"]) for item in self._shop.items()]
        click.echo(f"{self.streams:,} shoppers come in …", err=True)
        chance = random.Random(1)
        contents = [
            sorted(chance.sample([*map(int, items)], 1 + n % 2)) for n in range(self.streams)
        ]
        how = {"ports": self._shop.ports, "contents": contents, "timeout": OPENING}
        self._client.do("shoppers.enter", 2 * OPENING, **how)
        click.echo(f"they buy for {self.seconds:g} s …", err=True)
        cpu = self._cpu_times()
        pace = {"rate": self.rate, "seconds": self.seconds, "items": items}
        bought = self._client.do("shoppers.buy", self.seconds + 60, **pace)
        self.cpu = {part: after - cpu[part] for part, after in self._cpu_times().items()}
        self.cpu["load client"] = bought["cpu"]
        self._read_books(bought)

    @property
    def made(self) -> float:
        """Purchases a second that were made."""
        return self.outcomes[BOUGHT] / self.seconds

    def _stock(self) -> None:
        """Put so much on the shelf that some sizes sell out in the drop, one after another."""
        skus = [item["sku"] for item in self._shop.items()]
        purchases = self.rate * self.seconds
        asked_for = (1.5 * min(purchases, self.streams) + purchases) / len(skus)
        scarce, (least, most) = skus[::_SCARCE], _FEW
        for sku in skus:
            self._shop.set_stock(sku, round(asked_for * _ENOUGH) + _SPARE)
        for number_, sku in enumerate(scarce):
            share = least + (most - least) * number_ / (len(scarce) - 1)
            self._shop.set_stock(sku, round(asked_for * share) + 1)

    def _cpu_times(self) -> dict[str, float]:
        return {
            "servers": sum(cpu_of(server.pid) for server in self._shop.servers),
            "PostgreSQL": cpu_of(self._cluster.postgresql.pid),
            "Redis": cpu_of(self._cluster.redis.pid),
        }

    def _read_books(self, bought: dict[str, Any]) -> None:
        """Compare the database with what was answered and shown, once nothing happens any more."""
        purchases: list[Purchase] = bought["purchases"]
        made = [one for one in purchases if one.outcome == BOUGHT]
        self.outcomes = Counter(one.outcome or "no answer in time" for one in purchases)
        self.outcomes["all shoppers still busy"] = bought["nobody"]
        deadline = time.monotonic() + _SETTLE
        while True:
            shown = self._client.do("shoppers.look", after=1.0)
            orders, sold_out_at, self.books = self._balance(made, shown)
            if not any(self.books.values()) or time.monotonic() > deadline:
                break
        self._shop.command("check")
        seen = [one for one in made if one.emptied is not None and one.email in orders]
        self.books["purchases that the shopper's tab never showed"] = len(made) - len(seen)
        self.delays = _delays(seen, orders) | {
            "last piece's commit to every tab": [
                at - since
                for item, since in sold_out_at.items()
                for at in shown["sold_out_at"].get(item, ())
            ],
            "purchase, from when it was due": [one.took for one in made],
            **{f"answer: {kind}": took for kind, took in bought["times"].items()},
        }

    def _balance(
        self, made: list[Purchase], shown: dict[str, Any]
    ) -> tuple[dict[str, float], dict[str, float], dict[str, int]]:
        """Read the database as of one moment: servers may still be at work.

        Returns:
            When each order was committed by its e-mail address, and the last piece of each item
            that sold out, on the wall clock; and what tabs or answers have otherwise than it, by
            name: nothing ever should be. What it has itself, `check` goes through.
        """
        with psycopg.connect(self._cluster.url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            orders = dict(_rows(connection, f"SELECT email, {_COMMITTED} FROM orders"))
            gone = _rows(connection, f"SELECT id, {_COMMITTED} FROM items WHERE available = 0")
            held = _rows(connection, "SELECT count(*) FROM cart_items")[0][0]
        sold_out_at = {str(item): at for item, at in gone}
        sold_out = sorted(sold_out_at)
        missing = {one.email for one in made} - orders.keys()
        wrong = {
            "purchases answered as made, not in the orders": len(missing),
            "lines in carts that tabs don't show, or show too many": abs(held - shown["lines"]),
            "tabs with wrong sizes": sum(sizes != sold_out for sizes in shown["sold_out"]),
        }
        return orders, sold_out_at, wrong


def _rows(connection: psycopg.Connection[Any], question: LiteralString) -> list[Any]:
    return connection.execute(question).fetchall()


def _delays(seen: list[Purchase], orders: dict[str, float]) -> dict[str, list[float]]:
    """Return the seconds from purchases' commits until the shoppers' tabs showed them."""
    delays: dict[str, list[float]] = {}
    for place, elsewhere in (("same server", False), ("another server", True)):
        delays[f"commit to the shopper's tab, {place}"] = [
            one.emptied - orders[one.email]
            for one in seen
            if one.elsewhere == elsewhere and one.emptied is not None
        ]
    return delays


def _goals(drop: Drop, delays: dict[str, list[float]]) -> Iterator[Goal]:
    for name, limit in ((_SEVERAL, SEVERAL), (_ALONE, ALONE)):
        yield Goal(f"{name}, p95", quantile(delays[name], 0.95), limit, "ms")
    yield Goal("purchases made, a second", drop.made, drop.rate, at_least=True)
    yield Goal("whatever doesn't agree in the books", sum(drop.books.values()), 0)
    for name, times in delays.items():
        if times and name.startswith(("commit", "last piece")):
            yield Goal(f"{name}, p99", quantile(times, 0.99), IN_A_DROP, "ms")


def _report(drop: Drop, several: list[float], alone: list[float]) -> Report:
    delays = {_SEVERAL: several, _ALONE: alone, **drop.delays}
    outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in drop.outcomes.most_common() if n)
    books = "; ".join(f"{name}: {count}" for name, count in drop.books.items())
    each = {part: spent / max(1, drop.outcomes[BOUGHT]) for part, spent in drop.cpu.items()}
    cpu = ", ".join(f"{part} {spread([spent], 'ms')}" for part, spent in each.items())
    return Report(
        name="cluster",
        title="time",
        columns=_COLUMNS,
        rows={name: quantiles(times) for name, times in delays.items() if times},
        goals=[*_goals(drop, delays)],
        figures={"made": drop.made, "streams": drop.streams, "cpu_per_purchase": each},
        bars="p99",
        note=f"{drop.streams:,} streams; {drop.rate:g} purchases a second offered for "
        f"{drop.seconds:g} s: {outcomes}. `check` found the books right; besides, {books}. "
        f"CPU time for a purchase: {cpu}.",
    )
