"""Products and items on a real database: no count below nothing, no version that shrinks."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from shop.carts import Carts
from shop.db import Database, Transaction, open_database
from shop.inventory import Inventory
from shop.models import (
    Item,
    NotReleased,
    OutOfStock,
    Product,
    UnknownItem,
    UnknownProduct,
    release,
    sell,
    set_stock,
    stock_up,
)
from shop.product_views import Levels
from shop.stock_news import StockNews
from shop.versions import Floor
from tests.support.running import ROOT, RunningShop, eventually

pytestmark = pytest.mark.both_databases

ITEM = 1

#: What the databases' own drivers raise.
REFUSALS = (sqlite3.IntegrityError, psycopg.IntegrityError)


@pytest.fixture
def shop(closed_drop: RunningShop) -> RunningShop:
    """The data of a shop after the drop; nothing runs."""
    return closed_drop


@pytest.fixture
def database(shop: RunningShop) -> Iterator[Database]:
    database = open_database(shop.database_url)
    yield database
    database.close()


def count_of(shop: RunningShop, item_id: int = ITEM) -> int:
    count: int = shop.sql("SELECT available FROM items WHERE id = ?", item_id)[0][0]
    return count


def version_of(shop: RunningShop, item_id: int = ITEM) -> int:
    version: int = shop.sql("SELECT version FROM items WHERE id = ?", item_id)[0][0]
    return version


# --- Selling --------------------------------------------------------------------------------


def test_selling_takes_pieces_off_the_shelf(shop: RunningShop, database: Database) -> None:
    before = count_of(shop)
    database.transact(lambda tx: sell(tx, ITEM, 3))
    assert count_of(shop) == before - 3


def test_more_than_there_is_can_not_be_sold_and_nothing_is(
    shop: RunningShop, database: Database
) -> None:
    database.transact(lambda tx: set_stock(tx, ITEM, 2))
    with pytest.raises(OutOfStock):
        database.transact(lambda tx: sell(tx, ITEM, 3))
    assert count_of(shop) == 2
    database.transact(lambda tx: sell(tx, ITEM, 2))
    with pytest.raises(OutOfStock):
        database.transact(lambda tx: sell(tx, ITEM))
    assert count_of(shop) == 0


def test_what_is_not_released_can_not_be_sold(shop: RunningShop, database: Database) -> None:
    shop.sql("UPDATE products SET released = false")
    before = count_of(shop)
    with pytest.raises(NotReleased):
        database.transact(lambda tx: sell(tx, ITEM))
    assert count_of(shop) == before


def test_the_database_itself_refuses_a_count_below_nothing(
    shop: RunningShop, database: Database
) -> None:
    with pytest.raises(IntegrityError, match="available_not_negative"):
        database.transact(lambda tx: tx.execute(update(Item).values(available=-1)))
    with pytest.raises(IntegrityError, match="available_not_negative"):
        database.transact(lambda tx: set_stock(tx, ITEM, -1))
    with pytest.raises(REFUSALS, match="available_not_negative"):
        shop.sql("UPDATE items SET available = available - 100000")
    with pytest.raises(REFUSALS, match="price_not_negative"):
        shop.sql("UPDATE products SET price = -1")


def test_the_database_keeps_what_belongs_together(database: Database) -> None:
    def orphan(transaction: Transaction) -> None:
        transaction.execute(update(Item).values(product_id=99))

    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        database.transact(orphan)


def test_a_sale_that_is_broken_off_sold_nothing(shop: RunningShop, database: Database) -> None:
    before = count_of(shop)

    def sell_and_stumble(transaction: Transaction) -> None:
        sell(transaction, ITEM, 5)
        raise RuntimeError("stumbled")

    with pytest.raises(RuntimeError, match="stumbled"):
        database.transact(sell_and_stumble)
    assert count_of(shop) == before
    database.transact(lambda tx: sell(tx, ITEM, 5))
    assert count_of(shop) == before - 5, "the lock was let go"


def test_threads_sell_exactly_what_there_is(shop: RunningShop) -> None:
    shop.sql("UPDATE items SET available = 25 WHERE id = ?", ITEM)

    def sell_ten(_: int) -> Counter[str]:
        database = open_database(shop.database_url)
        outcome: Counter[str] = Counter()
        for _ in range(10):
            try:
                database.transact(lambda tx: sell(tx, ITEM))
                outcome["sold"] += 1
            except OutOfStock:
                outcome["refused"] += 1
        database.close()
        return outcome

    with ThreadPoolExecutor(8) as sellers:
        outcome = sum(sellers.map(sell_ten, range(8)), Counter[str]())
    assert outcome == {"sold": 25, "refused": 55}
    assert count_of(shop) == 0


SELLER = """
import sys
from sqlalchemy import make_url
from shop.db import open_database
from shop.models import OutOfStock, sell
database = open_database(make_url(sys.argv[1]))
sold = 0
try:
    while True:
        database.transact(lambda tx: sell(tx, 1))
        sold += 1
except OutOfStock:
    print(sold)
"""


def test_processes_sell_exactly_what_there_is(shop: RunningShop) -> None:
    shop.sql("UPDATE items SET available = 200 WHERE id = ?", ITEM)
    sellers = [
        subprocess.Popen(
            [sys.executable, "-c", SELLER, str(shop.database_url)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    sold = [int(seller.communicate(timeout=60)[0]) for seller in sellers]
    assert sum(sold) == 200
    assert count_of(shop) == 0


# --- Versions -------------------------------------------------------------------------------


def test_every_change_of_an_item_grows_its_version(shop: RunningShop, database: Database) -> None:
    versions = [version_of(shop)]
    for change in (sell, stock_up, set_stock) * 4:
        database.transact(lambda tx, change=change: change(tx, ITEM, 2))  # type: ignore[misc]
        versions.append(version_of(shop))
    assert versions == sorted(set(versions))
    assert version_of(shop, 2) < versions[1], "and of no other"


def test_a_version_grows_also_from_one_that_the_counter_knows_nothing_of(
    shop: RunningShop, database: Database
) -> None:
    ahead = 8 * 10**15
    shop.sql("UPDATE items SET version = ?", ahead)
    database.transact(lambda tx: sell(tx, ITEM))
    database.transact(lambda tx: stock_up(tx, ITEM, 1))
    assert version_of(shop) == ahead + 2


def test_the_version_of_a_cart_grows_with_every_change(database: Database) -> None:
    carts = Carts(database)
    before = carts.snapshot("c" * 64).version
    changes = [carts.add, carts.remove] * 5
    versions = [change("c" * 64, ITEM).version for change in changes]
    assert before <= versions[0]
    assert versions == sorted(set(versions))


# --- Release --------------------------------------------------------------------------------


def test_releasing_twice_changes_nothing(shop: RunningShop, database: Database) -> None:
    shop.sql("UPDATE products SET released = false")
    assert database.transact(lambda tx: release(tx, 1)) is True
    after_once = shop.sql("SELECT * FROM products")
    assert database.transact(lambda tx: release(tx, 1)) is False
    assert shop.sql("SELECT * FROM products") == after_once
    assert [row[0] for row in shop.sql("SELECT released FROM products ORDER BY id")] == [1, 0]


def test_a_product_is_found_by_sku_or_id(database: Database) -> None:
    with database.reading() as session:
        assert Product.find(session, "1").sku == "OST-TIDELINE"
        assert Product.find(session, "OST-KILN").id == 2
        for unknown in ("", "3", "ost", "9" * 400, "-1", "٢", "OST"):
            with pytest.raises(UnknownProduct):
                Product.find(session, unknown)
        for number in (0, -1, 27, 2**63 - 1, 2**63, 10**400):
            with pytest.raises(UnknownItem):
                Item.find(session, f"{number}")


# --- Levels, and the view in memory ---------------------------------------------------------


@given(st.integers(0, 2000), st.integers(1, 1000), st.integers(0, 1000))
def test_a_level_is_told_by_its_bounds(count: int, low: int, more: int) -> None:
    medium = low + more
    level = Levels(low, medium).of(count)
    assert level == (
        "out" if count == 0 else "low" if count < low else "medium" if count < medium else "high"
    )


@pytest.mark.parametrize(
    ("count", "level"),
    [(0, "out"), (1, "low"), (149, "low"), (150, "medium"), (499, "medium"), (500, "high")],
)
def test_levels_as_they_are_set_from_the_outset(count: int, level: str) -> None:
    assert Levels(150, 500).of(count) == level


def test_the_view_in_memory_follows_every_commit_of_anybody(
    shop: RunningShop, database: Database, tmp_path: Path
) -> None:
    inventory = Inventory(database, Levels(150, 500), Floor(database, tmp_path / "numbers"))
    database.on_commit = inventory.hear
    assert inventory.current().items[ITEM].level == "high"
    shop.sql("UPDATE items SET available = 0 WHERE id = ?", ITEM)
    eventually(lambda: inventory.current().items[ITEM].sold_out)
    database.transact(lambda tx: set_stock(tx, ITEM, 200))
    assert inventory.current().items[ITEM].level == "medium"


def test_nothing_that_a_shopper_would_not_see_is_news(
    shop: RunningShop, database: Database, tmp_path: Path
) -> None:
    inventory = Inventory(database, Levels(150, 500), Floor(database, tmp_path / "numbers"))
    inventory.current()
    news: list[StockNews] = []
    inventory.listeners.append(news.append)
    shop.sql("UPDATE items SET available = 499 + id % 2 * 2")
    inventory.current()
    told = len(news)
    shop.sql("UPDATE items SET available = 498 + id % 2 * 3")
    before = inventory.last_known
    assert inventory.current().items == before.items
    assert len(news) == told
    shop.sql("UPDATE items SET available = 0 WHERE id = ?", ITEM)
    inventory.current()
    assert news[-1] == StockNews(frozenset({1}), frozenset({ITEM}))


@pytest.mark.sqlite_only("PostgreSQL has no cheap sign of a commit to be noticed")
def test_a_watch_notices_the_commits_of_others(shop: RunningShop, database: Database) -> None:
    watch = database.watch()
    assert watch.happened(), "the first time"
    assert not watch.happened()
    shop.sql("UPDATE items SET available = 7 WHERE id = ?", ITEM)
    assert watch.happened()
    assert not watch.happened()
    shop.sql("SELECT * FROM items")
    assert not watch.happened(), "reading is no commit"
    watch.close()
