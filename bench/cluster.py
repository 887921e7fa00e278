"""`bin/bench cluster`: the shop on several servers, with PostgreSQL and Redis, under a drop."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import click
import psycopg

from bench.load import LoadClient
from bench.report import Column, Goal, Report, benchmark, quantile, quantiles, spread
from bench.shoppers import BOUGHT, Purchase
from bench.shops import Shop, open_cluster, open_shop

_SEVERAL = "a change of a cart to all its tabs, several servers"
_ALONE = "… one server, SQLite"

#: p95, in seconds, until a change of a cart is in all of its tabs; p99 from a commit in a drop
#: until a tab shows it.
_LIMITS, _IN_A_DROP = {_SEVERAL: 0.150, _ALONE: 0.100}, 0.500

_P99 = Column("p99", "p99", "ms")
_COLUMNS = (
    Column("times", "times"),
    Column("p50", "p50", "ms"),
    Column("p95", "p95", "ms"),
    _P99,
    Column("longest", "longest", "ms"),
)

#: One size in so many is scarce: there is so much of it, of what will be asked for, from and to;
#: and so much of the others, with some more for chance.
_SCARCE, _FEW, _ENOUGH, _SPARE = 3, (0.2, 0.9), 1.6, 10

#: Servers of the shop, and tabs that show the cart that is changed, there and at a single server.
_SERVERS, _TABS, _TABS_ALONE = 2, 8, 4

#: Seconds that servers have, when the shoppers have left, for what they were asked before.
_SETTLE = 40.0

_COMMITTED: LiteralString = "extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"

#: Seconds, by what took them.
Delays = dict[str, list[float]]


@dataclass(frozen=True)
class Books:
    """The database as of one moment, and what tabs and answers have otherwise than it."""

    #: when each order was committed by its e-mail address, and the last piece of each item that
    #: sold out, on the wall clock
    orders: dict[str, float]
    sold_out_at: dict[str, float]
    #: how much doesn't agree, by what; what the database has itself, `check` goes through
    wrong: dict[str, int]


@benchmark
@click.option("--changes", default=200, type=click.IntRange(10, 5000), show_default=True)
@click.option("--streams", default=4000, type=click.IntRange(10, 50_000), show_default=True)
@click.option("--rate", default=100.0, type=click.FloatRange(0.5, 5000), show_default=True)
@click.option("--seconds", default=60.0, type=click.FloatRange(2, 3600), show_default=True)
def cluster(changes: int, streams: int, rate: float, seconds: float) -> Report:
    """Measure a shop on several servers, with a real PostgreSQL (fsync on) and a real Redis.

    First, how soon each of CHANGES to a cart is in all tabs that show it, on whichever server; and
    the same on one server with SQLite. Then a drop: shoppers with a tab and a cart each buy at
    random moments, RATE a second, half of them at another server than their tab's, and some sizes
    sell out. A purchase is an add, the checkout page and the order. Afterwards the books must agree
    with what was answered and with what tabs show.

    \b
    Example:
      bin/bench cluster --streams 400 --rate 20 --seconds 15
    """
    with open_cluster(_SERVERS) as shop:
        delays = {_SEVERAL: _change_a_cart(shop, _TABS, changes)}
    with open_shop() as shop:
        delays[_ALONE] = _change_a_cart(shop, _TABS_ALONE, changes)
    with open_cluster(_SERVERS) as shop, LoadClient() as shoppers:
        _stock(shop, streams, rate * seconds)
        click.echo(f"{streams:,} shoppers come in …", err=True)
        shoppers.do("shoppers.enter", ports=shop.ports, contents=shop.pairs(streams))
        click.echo(f"they buy for {seconds:g} s …", err=True)
        before, items = shop.cpu(), [str(item["id"]) for item in shop.items()]
        bought = shoppers.do("shoppers.buy", rate=rate, seconds=seconds, items=items)
        cpu = {part: after - before[part] for part, after in shop.cpu().items()}
        books, shown = _read_books(shop, shoppers, bought["purchases"])
    delays |= _delays(bought, books, shown)

    outcomes = Counter(one.outcome or "no answer in time" for one in bought["purchases"])
    outcomes["left out, the shopper being busy"] = bought["busy"]
    words = ", ".join(f"{n:,} {outcome}" for outcome, n in outcomes.most_common() if n)
    wrong = "; ".join(f"{name}: {count}" for name, count in books.wrong.items())
    cpu["load client"] = bought["cpu"]
    each = {part: spent / max(1, outcomes[BOUGHT]) for part, spent in cpu.items()}
    spent = ", ".join(f"{part} {spread([one], 'ms')}" for part, one in each.items())
    made = outcomes[BOUGHT] / seconds
    return Report(
        name="cluster",
        title="time",
        columns=_COLUMNS,
        rows={name: [quantiles(times)] for name, times in delays.items() if times},
        goals=[*_goals(delays, books, made, rate)],
        figures={"made": made, "cpu_per_purchase": each},
        bars=_P99,
        note=f"{streams:,} streams; {rate:g} purchases a second offered for {seconds:g} s: "
        f"{words}. `check` found the books right; besides, {wrong}. "
        f"CPU time for a purchase: {spent}.",
    )


def _change_a_cart(shop: Shop, tabs: int, changes: int) -> list[float]:
    click.echo(f"{changes} changes of a cart, {len(shop.servers)} server(s) …", err=True)
    how = {"tabs": tabs, "changes": changes, "items": [item["id"] for item in shop.items()]}
    with LoadClient() as visitor:
        delays: list[float] = visitor.do("shoppers.change_one_cart", ports=shop.ports, **how)
    return delays


def _stock(shop: Shop, streams: int, purchases: float) -> None:
    """Put so much on the shelf that some sizes sell out in the drop, one after another."""
    skus, chance = [item["sku"] for item in shop.items()], random.Random(1)
    asked_for = (2 * min(purchases, streams) + purchases) / len(skus)
    for number, sku in enumerate(skus):
        few, enough = asked_for * chance.uniform(*_FEW) + 1, asked_for * _ENOUGH + _SPARE
        shop.set_stock(sku, round(enough if number % _SCARCE else few))


def _read_books(
    shop: Shop, shoppers: LoadClient, purchases: list[Purchase]
) -> tuple[Books, dict[str, Any]]:
    """Compare the database with what was answered and shown, once nothing happens any more."""
    deadline = time.monotonic() + _SETTLE
    while True:
        shown = shoppers.do("shoppers.report", after=1.0)
        books = _balance(shop, purchases, shown)
        if not any(books.wrong.values()) or time.monotonic() > deadline:
            break
    shop.command("check")
    unseen = sum(one.outcome == BOUGHT and one.emptied is None for one in purchases)
    books.wrong["purchases that the shopper's tab never showed"] = unseen
    return books, shown


def _balance(shop: Shop, purchases: list[Purchase], shown: dict[str, Any]) -> Books:
    """Read the database in one transaction: servers may still be at work."""
    with psycopg.connect(shop.server.settings["SHOP_DATABASE_URL"]) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

        def rows(question: LiteralString) -> list[Any]:
            return connection.execute(question).fetchall()

        orders = dict(rows(f"SELECT email, {_COMMITTED} FROM orders"))
        gone = rows(f"SELECT id::text, {_COMMITTED} FROM items WHERE available = 0 ORDER BY 1")
        held = rows("SELECT count(*) FROM cart_items")[0][0]
    sold_out = sorted(item for item, _ in gone)
    missing = {one.email for one in purchases if one.outcome == BOUGHT} - orders.keys()
    wrong = {
        "purchases answered as made, not in the orders": len(missing),
        "lines in carts that tabs don't show, or show too many": abs(held - shown["lines"]),
        "tabs with wrong sizes": sum(sold_out != sizes for sizes in shown["sold_out"]),
    }
    return Books(orders, dict(gone), wrong)


def _delays(bought: dict[str, Any], books: Books, shown: dict[str, Any]) -> Delays:
    made = [one for one in bought["purchases"] if one.outcome == BOUGHT]
    delays = {
        f"commit to the shopper's tab, {place}": [
            one.emptied - books.orders[one.email]
            for one in made
            if one.elsewhere == elsewhere and one.emptied and one.email in books.orders
        ]
        for place, elsewhere in (("same server", False), ("another server", True))
    }
    delays["last piece's commit to every tab"] = [
        at - since
        for item, since in books.sold_out_at.items()
        for at in shown["sold_out_at"].get(item, ())
    ]
    delays["purchase, from when it was due"] = [one.took for one in made]
    return delays | {f"answer: {kind}": took for kind, took in bought["times"].items()}


def _goals(delays: Delays, books: Books, made: float, rate: float) -> Iterator[Goal]:
    for name, limit in _LIMITS.items():
        yield Goal(f"{name}, p95", quantile(delays[name], 0.95), limit, "ms")
    yield Goal("purchases made, a second", made, rate, at_least=True)
    yield Goal("whatever doesn't agree in the books", sum(books.wrong.values()), 0)
    for name, times in delays.items():
        if times and name.startswith(("commit", "last piece")):
            yield Goal(f"{name}, p99", quantile(times, 0.99), _IN_A_DROP, "ms")
