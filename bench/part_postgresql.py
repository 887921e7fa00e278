"""What PostgreSQL takes to sell: all the same item, and each another one; and for a look."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from bench.processes import cpu_clock
from bench.shops import Cluster

#: Buyers at the same time; and looks at the shelf, one after another.
_BUYERS, _LOOKS = 8, 2000

#: What is locked last in a purchase, until its commit; see `shop.models.take`.
_TAKE = "UPDATE items SET available = available - 1 WHERE id = %s AND available > 0"

#: The catalogue, as `shop.inventory` reads it: each product with its items.
_SHELF = (
    "SELECT products.*, items.* FROM products LEFT JOIN items ON items.product_id = products.id "
    "ORDER BY products.position, items.id"
)

#: A cart, as `shop.carts` reads it: one that is not there costs the same walk down the index.
_CART = (
    "SELECT carts.*, cart_items.item_id FROM carts LEFT JOIN cart_items "
    "ON cart_items.cart_id = carts.id WHERE carts.id = 'none'"
)

Work = Callable[["psycopg.Connection[tuple[object, ...]]", int], None]


def measure_postgresql(cluster: Cluster, seconds: float) -> dict[str, float]:
    """Return for how long a purchase holds a row, and the CPU time of a look at the shelf.

    Times in seconds; how many are sold a second as well.
    """
    url = cluster.url.replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE items SET available = 1000000")
        items = [int(str(row[0])) for row in connection.execute("SELECT id FROM items ORDER BY id")]

    def take_same(connection: psycopg.Connection[tuple[object, ...]], _: int) -> None:
        with connection.transaction():
            connection.execute(_TAKE, [items[0]])

    def take_own(connection: psycopg.Connection[tuple[object, ...]], buyer: int) -> None:
        with connection.transaction():
            connection.execute(_TAKE, [items[1 + buyer]])

    hot = _repeat(url, seconds, take_same)
    return {
        "hot_row": 1 / hot,
        "hot_per_second": hot,
        "apart_per_second": _repeat(url, seconds, take_own),
        "shelf_read": _look(url, _SHELF),
        "cart_read": _look(url, _CART),
    }


def _look(url: str, question: str) -> float:
    """Return the CPU time of a question, of the process that PostgreSQL has for it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(question).fetchall()
        pid = connection.info.backend_pid
        before = cpu_clock(pid)
        for _ in range(_LOOKS):
            connection.execute(question).fetchall()
        return (cpu_clock(pid) - before) / _LOOKS


def _repeat(url: str, seconds: float, work: Work) -> float:
    """Return how often a second something is done by all buyers together."""

    def buy(buyer: int) -> int:
        with psycopg.connect(url, autocommit=True) as connection:
            until, done = time.monotonic() + seconds, 0
            while time.monotonic() < until:
                work(connection, buyer)
                done += 1
            return done

    with ThreadPoolExecutor(_BUYERS) as buyers:
        return sum(buyers.map(buy, range(_BUYERS))) / seconds
