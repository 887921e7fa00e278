"""`bin/bench checkout`: how many orders a second, by what is paid how, on which database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import click

from bench.machine import OtherWork, allow_files
from bench.processes import Client
from bench.report import Column, Goal, Report, Row, into_option, quantile
from bench.shops import Shop, open_shop
from tests.support.databases import SECRET_KEY
from tests.support.machines.network import HERE
from tests.support.machines.postgresql import PostgreSQL

#: How many items an order has.
SIZES = (1, 26)

#: The least that orders by `demo` may be of those by `manual`.
_LEAST = 0.7

_COLUMNS = (
    Column("a second", "rate"),
    Column("server's CPU", "cpu", "ms"),
    Column("p50", "p50", "ms"),
    Column("p99", "p99", "ms"),
)

Rates = dict[str, list[dict[str, float]]]


@click.command()
@click.option("--orders", default=320, type=click.IntRange(32, 5000), show_default=True)
@click.option("--rounds", default=4, type=click.IntRange(1, 50), show_default=True)
@click.option("--shoppers", default=32, type=click.IntRange(1, 200), show_default=True)
@click.option("--before", default=0, type=click.IntRange(0, 2_000_000), show_default=True,
              help="Orders that are there already, in a further shop.")  # fmt: skip
@into_option
def checkout(orders: int, rounds: int, shoppers: int, before: int, into: Path) -> None:
    """Measure orders a second: for one item and for 26, paid outside and by the demo's page.

    Carts are filled before; each shopper waits for an answer before the next order. One server
    process, on SQLite and on PostgreSQL.

    \b
    Example:
      bin/bench checkout --orders 100 --rounds 2
    """
    allow_files(orders + 100)
    others = OtherWork()
    found: Rates = {}
    with ExitStack() as stack:
        shops = dict(_shops(stack, before))
        load = stack.enter_context(Client())
        for number in range(rounds):
            click.echo(f"round {number + 1} of {rounds} …", err=True)
            for name, shop in reversed(shops.items()) if number % 2 else shops.items():
                for size in SIZES:
                    told = _buy(load, shop, size, orders if size == 1 else orders // 4, shoppers)
                    found.setdefault(f"{name}, {_pieces(size)}", []).append(told)
    _report(found, shoppers, before).publish(into, others)


def _shops(stack: ExitStack, before: int) -> Iterator[tuple[str, Shop]]:
    for payments in ("manual", "demo"):
        yield f"SQLite, {payments}", stack.enter_context(open_shop(SHOP_PAYMENTS=payments))
    for payments in ("manual", "demo"):
        yield f"PostgreSQL, {payments}", stack.enter_context(_on_postgresql(payments))
    if before:
        shop = stack.enter_context(open_shop())
        click.echo(f"{before:,} orders are put in …", err=True)
        _put_in(shop, before)
        yield f"SQLite, manual, after {before:,} orders", shop


@contextmanager
def _on_postgresql(payments: str) -> Iterator[Shop]:
    with (
        PostgreSQL(HERE, fsync=True) as server,
        open_shop(
            SHOP_DATABASE_URL=server.create_database("shop"),
            SHOP_SECRET_KEY=SECRET_KEY,
            SHOP_PAYMENTS=payments,
        ) as shop,
    ):
        yield shop


def _put_in(shop: Shop, count: int) -> None:
    """Put orders in as if they had been made, by the database alone."""
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


def _buy(load: Client, shop: Shop, size: int, orders: int, shoppers: int) -> dict[str, float]:
    items = [item["id"] for item in shop.items()][:size]
    how = {"port": shop.server.port, "pid": shop.server.pid, "shoppers": shoppers}
    told = load.do("visitors.buy", 600, items=items, orders=max(orders, shoppers), **how)
    count = len(told["times"])
    return {
        "rate": count / told["seconds"],
        "cpu": told["cpu"] / count,
        "p50": quantile(told["times"], 0.5),
        "p99": quantile(told["times"], 0.99),
    }


def _pieces(size: int) -> str:
    return "1 item" if size == 1 else f"{size} items"


def _goals(rows: dict[str, Row], before: int) -> Iterator[Goal]:
    for size in map(_pieces, SIZES):
        for kind in ("SQLite", "PostgreSQL"):
            demo, manual = (rows[f"{kind}, {by}, {size}"]["rate"] for by in ("demo", "manual"))
            ratio = median(by / outside for by, outside in zip(demo, manual, strict=True))
            title = f"{kind}, {size}: paid by the demo's page, of paid outside"
            yield Goal(title, ratio, _LEAST, "×", at_least=True)
        if before:
            full = rows[f"SQLite, manual, after {before:,} orders, {size}"]["cpu"]
            empty = rows[f"SQLite, manual, {size}"]["cpu"]
            ratio = median(after / none for after, none in zip(full, empty, strict=True))
            yield Goal(f"{size}: CPU after {before:,} orders", ratio, 1.3, "×")


def _report(found: Rates, shoppers: int, before: int) -> Report:
    rows: dict[str, Row] = {
        what: {key: [one[key] for one in ones] for key in ones[0]} for what, ones in found.items()
    }
    return Report(
        name="checkout",
        title="orders",
        columns=_COLUMNS,
        rows=rows,
        goals=[*_goals(rows, before)],
        bars="rate",
        note=f"{shoppers} shoppers, each waiting for its answer before the next order; medians and "
        f"extremes of {len(next(iter(found.values())))} rounds, in turn.",
    )
