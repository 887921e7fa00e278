"""`bin/bench checkout`: how many orders a second, by what is paid how, on which database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median

import click

from bench.load import LoadClient
from bench.pages import ANSWER_COLUMNS, figures_of
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


@benchmark
@click.option("--orders", default=320, type=click.IntRange(32, 5000), show_default=True)
@click.option("--rounds", default=4, type=click.IntRange(1, 50), show_default=True)
def checkout(orders: int, rounds: int) -> Report:
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
        load = stack.enter_context(LoadClient())
        for name in in_turn(shops, rounds):
            for size, words in _SIZES.items():
                count = orders if size == 1 else orders // _FEWER
                found[f"{name}, {words}"].append(_buy(load, shops[name], size, count))
    return _report(found, rounds)


def _shops(stack: ExitStack) -> Iterator[tuple[str, Shop]]:
    postgresql = stack.enter_context(PostgreSQL(HERE, fsync=True))
    for database in _DATABASES:
        for payments in _PAYMENTS:
            settings = {"SHOP_PAYMENTS": payments}
            if database == "PostgreSQL":
                settings["SHOP_DATABASE_URL"] = postgresql.create_database(payments)
                settings["SHOP_SECRET_KEY"] = SECRET_KEY
            yield f"{database}, {payments}", stack.enter_context(open_shop(**settings))


def _buy(load: LoadClient, shop: Shop, size: int, orders: int) -> Figures:
    items = [item["id"] for item in shop.items()][:size]
    how = {"port": shop.server.port, "pid": shop.server.pid, "shoppers": _SHOPPERS}
    told = load.do("visits.buy", items=items, orders=max(orders, _SHOPPERS), **how)
    return figures_of(told, told["times"], len(told["times"]))


def _goals(found: dict[str, list[Figures]]) -> Iterator[Goal]:
    for words in _SIZES.values():
        for database in _DATABASES:
            demo, manual = (found[f"{database}, {by}, {words}"] for by in ("demo", "manual"))
            pairs = zip(demo, manual, strict=True)
            ratio = median(one["rate"] / outside["rate"] for one, outside in pairs)
            title = f"{database}, {words}: paid by the demo's page, of paid outside"
            yield Goal(title, ratio, _LEAST, "×", at_least=True)


def _report(found: dict[str, list[Figures]], rounds: int) -> Report:
    return Report(
        name="checkout",
        title="orders",
        columns=ANSWER_COLUMNS,
        rows=found,
        goals=[*_goals(found)],
        bars="rate",
        note=f"{_SHOPPERS} shoppers, each waiting for its answer before the next order; medians "
        f"and extremes of {rounds} rounds, in turn.",
    )
