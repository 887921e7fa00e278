"""`bin/bench checkout`: how many orders a second, by what is paid how, on which database."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import click

from bench.load import LoadClient
from bench.pages import COST_COLUMNS, RATE
from bench.report import Figures, Goal, Report, benchmark, in_turn
from bench.shops import Shop, open_shop
from tests.support.databases import SECRET_KEY
from tests.support.machines.network import HERE
from tests.support.machines.postgresql import PostgreSQL

#: How orders are paid, and on which databases.
_PAYMENTS, _DATABASES = ("manual", "demo"), ("SQLite", "PostgreSQL")

#: How many items an order has: of the large ones there are fewer.
_SIZES = {1: "1 item", 26: "26 items"}
_FEWER = 4

#: The least that orders by `demo` may be of those by `manual`.
_LEAST = 0.7

#: Shoppers at a time.
_SHOPPERS = 32

#: The most CPU an order may take where there are many already, of what it takes in a new shop.
_MOST_AFTER = 1.3


@benchmark
@click.option("--orders", default=320, type=click.IntRange(32, 5000), show_default=True)
@click.option("--rounds", default=4, type=click.IntRange(1, 50), show_default=True)
@click.option("--before", default=0, type=click.IntRange(0, 2_000_000), show_default=True,
              help="Orders that are there already, in a further shop.")  # fmt: skip
def checkout(orders: int, rounds: int, before: int) -> Report:
    """Measure orders a second: for one item and for 26, paid outside and by the demo's page.

    Carts are filled before; each shopper waits for an answer before the next order. One server
    process, on SQLite and on PostgreSQL.

    \b
    Example:
      bin/bench checkout --orders 100 --rounds 2
    """
    found: defaultdict[str, list[Figures]] = defaultdict(list)
    with ExitStack() as stack:
        shops = dict(_shops(stack))
        if before:
            shops[_after(before)] = stack.enter_context(open_shop())
            _put_in(shops[_after(before)], before)
        load = stack.enter_context(LoadClient())
        for name in in_turn(shops, rounds):
            for size, words in _SIZES.items():
                count = orders if size == 1 else orders // _FEWER
                found[f"{name}, {words}"].append(_buy(load, shops[name], size, count))
    return Report(
        name="checkout",
        title="orders",
        columns=(RATE, *COST_COLUMNS),
        rows=found,
        goals=[*_goals(found, before)],
        bars=RATE,
        note=f"{_SHOPPERS} shoppers, each waiting for its answer before the next order; medians "
        f"and extremes of {rounds} rounds, in turn.",
    )


def _shops(stack: ExitStack) -> Iterator[tuple[str, Shop]]:
    postgresql = stack.enter_context(PostgreSQL(HERE, fsync=True))
    for database in _DATABASES:
        for payments in _PAYMENTS:
            settings = {"SHOP_PAYMENTS": payments}
            if database == "PostgreSQL":
                settings["SHOP_DATABASE_URL"] = postgresql.create_database(payments)
                settings["SHOP_SECRET_KEY"] = SECRET_KEY
            yield f"{database}, {payments}", stack.enter_context(open_shop(settings))


def _after(before: int) -> str:
    return f"SQLite, manual, after {before:,} orders"


def _put_in(shop: Shop, count: int) -> None:
    """Put orders in as if they had been made, by the database alone."""
    click.echo(f"{count:,} orders are put in …", err=True)
    with sqlite3.connect(shop.server.database) as database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO orders (number, token, cart_ref, purchase, email, name, address, placed,"
            " total, currency, state) SELECT 'B' || i, 'b' || i, 'b' || i, 0, 'kim@example.com',"
            " 'Kim', '1 Quay Street', 1, 12000, 'USD', 'fulfilled' FROM n",
            (count,),
        )
        database.execute(
            "INSERT INTO order_lines (order_id, item_id, sku, brand, product, color, size, price,"
            " main_image, ended) SELECT orders.id, items.id, items.sku, '', '', '', size, 12000,"
            " '', '' FROM orders JOIN items ON items.id = 1 + orders.id % 26 WHERE number GLOB 'B*'"
        )


def _buy(load: LoadClient, shop: Shop, size: int, orders: int) -> Figures:
    items = [item["id"] for item in shop.items()][:size]
    how = {"port": shop.server.port, "pid": shop.server.pid, "shoppers": _SHOPPERS}
    figures: Figures = load.do("visits.buy", items=items, orders=max(orders, _SHOPPERS), **how)
    return figures


def _goals(found: dict[str, list[Figures]], before: int) -> Iterator[Goal]:
    def ratio(one: str, other: str, key: str) -> float:
        pairs = zip(found[one], found[other], strict=True)
        return median(a[key] / b[key] for a, b in pairs)

    for words in _SIZES.values():
        for database in _DATABASES:
            demo, manual = (f"{database}, {by}, {words}" for by in ("demo", "manual"))
            title = f"{database}, {words}: paid by the demo's page, of paid outside"
            yield Goal(title, ratio(demo, manual, "rate"), _LEAST, "×", at_least=True)
        if before:
            after = ratio(f"{_after(before)}, {words}", f"SQLite, manual, {words}", "cpu")
            yield Goal(f"{words}: CPU after {before:,} orders", after, _MOST_AFTER, "×")
