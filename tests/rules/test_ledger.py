"""Every change of a count is in the ledger, and every change of an order has its row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shop.db import Database, Transaction, open_database
from shop.models import UnknownOrder, sell, set_stock, stock_up
from shop.models.ledger import CORRECTION, Cause
from shop.models.order_edit import (
    CANCELLING,
    RETURNING,
    GivingBack,
    NotInOrder,
    fulfil,
    give_back,
    mark_paid,
)
from shop.models.order_state import FOLLOWING, WrongState
from tests.support.running import RunningShop
from tests.support.shopper import Shopper

pytestmark = pytest.mark.both_databases

ITEM, OTHER = 1, 2
ALL = GivingBack((), "changed their mind", "anna")


@pytest.fixture(scope="module")
def served(dbms: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop after the drop, which the tests of this module share."""
    from tests.support.databases import shop_in

    with shop_in(dbms, tmp_path_factory.mktemp("books") / "instance", "released") as shop:
        yield shop.start()


@pytest.fixture
def database(served: RunningShop) -> Iterator[Database]:
    database = open_database(served.database_url)
    yield database
    database.close()


@pytest.fixture
def number(served: RunningShop) -> str:
    """An order of two items, just placed."""
    shopper = Shopper(served)
    for item in (ITEM, OTHER):
        shopper.add(item)
    assert shopper.buy().location == "/checkout/complete"
    found: str = served.sql("SELECT number FROM orders ORDER BY id DESC LIMIT 1")[0][0]
    return found


def counts(shop: RunningShop, item: int = ITEM) -> tuple[int, int, int]:
    ((left, held, sold),) = shop.sql("SELECT available, held, sold FROM items WHERE id = ?", item)
    return left, held, sold


def newest(shop: RunningShop, item: int = ITEM) -> tuple[Any, ...]:
    row: tuple[Any, ...] = shop.sql(
        "SELECT kind, delta, held_delta, sold_delta, count_after, reason, who"
        " FROM movements WHERE item_id = ? ORDER BY id DESC LIMIT 1",
        item,
    )[0]
    return row


def state(shop: RunningShop, number: str) -> str:
    found: str = shop.sql("SELECT state FROM orders WHERE number = ?", number)[0][0]
    return found


def test_a_purchase_is_a_movement_of_each_line_in_its_transaction(
    served: RunningShop, number: str
) -> None:
    left, _, _ = counts(served)
    assert newest(served) == ("sale", -1, 0, 1, left, "", "shop")
    assert newest(served, OTHER)[:2] == ("sale", -1)
    (row,) = served.sql(
        "SELECT who, before, after FROM order_changes JOIN orders ON orders.id = order_id"
        " WHERE number = ?",
        number,
    )
    assert row == ("shop", None, "placed")


def test_each_way_in_which_a_count_changes_is_in_the_ledger(
    served: RunningShop, database: Database
) -> None:
    left, _, sold = counts(served)
    database.transact(lambda tx: sell(tx, ITEM, 2))
    assert newest(served)[:5] == ("counter sale", -2, 0, 2, left - 2)
    database.transact(lambda tx: stock_up(tx, ITEM, 5, Cause(CORRECTION, None, "found", "anna")))
    assert newest(served) == ("correction", 5, 0, 0, left + 3, "found", "anna")
    database.transact(lambda tx: set_stock(tx, ITEM, left))
    assert newest(served)[:2] == ("correction", -3)
    before = served.sql("SELECT count(*) FROM movements")
    database.transact(lambda tx: set_stock(tx, ITEM, left))
    assert served.sql("SELECT count(*) FROM movements") == before, "nothing moved"
    assert counts(served) == (left, 0, sold + 2)


@pytest.mark.parametrize("table", ["movements", "order_changes"])
@pytest.mark.parametrize("change", ["UPDATE {} SET who = 'me'", "DELETE FROM {}"])
def test_the_database_refuses_to_change_what_was_written(
    served: RunningShop, database: Database, number: str, table: str, change: str
) -> None:
    with pytest.raises(DBAPIError):
        database.transact(lambda tx: tx.execute(text(change.format(table))))
    assert served.sql(f"SELECT count(*) FROM {table}")[0][0] > 0


def test_the_database_knows_which_state_may_follow_which(
    served: RunningShop, database: Database, number: str
) -> None:
    (order_id,) = served.sql("SELECT id FROM orders WHERE number = ?", number)[0]
    with pytest.raises(DBAPIError):
        database.transact(lambda tx: tx.execute(text("UPDATE orders SET state = 'lost'")))
    for before, following in FOLLOWING.items():
        for after in FOLLOWING:
            allowed = after in following or after == before
            assert _may_change(database, order_id, before, after) == allowed, (before, after)


def _may_change(database: Database, order_id: int, before: str, after: str) -> bool:
    class Done(Exception):
        """Ends a transaction that was to be tried only."""

    def work(transaction: Transaction) -> None:
        copied = text(
            "INSERT INTO orders (number, cart_ref, purchase, email, name, address, placed, total,"
            " currency, state) SELECT 'TRY', 'try', 0, '', '', '', 0, 0, '', :before"
        )
        transaction.execute(copied, {"before": before})
        change = text("UPDATE orders SET state = :after WHERE number = 'TRY'")
        transaction.execute(change, {"after": after})
        raise Done

    try:
        database.transact(work)
    except Done:
        return True
    except DBAPIError:
        return False
    raise AssertionError("the transaction was committed")


def test_pairs_neither_appear_nor_vanish_by_a_sale(served: RunningShop, database: Database) -> None:
    enter = text(
        "INSERT INTO movements (item_id, delta, held_delta, sold_delta, count_after, kind, reason,"
        " who, at) VALUES (1, -1, 0, 0, 5, 'sale', '', 'shop', 0)"
    )
    with pytest.raises(DBAPIError):
        database.transact(lambda tx: tx.execute(enter))


def test_a_cancelled_line_goes_back_on_the_shelf_once(
    served: RunningShop, database: Database, number: str
) -> None:
    left, _, sold = counts(served)
    one = GivingBack((served.sku(ITEM).lower(),), "wrong size", "anna")

    assert database.transact(lambda tx: give_back(tx, number, one, CANCELLING)) == [
        served.sku(ITEM)
    ]
    assert database.transact(lambda tx: give_back(tx, number, one, CANCELLING)) == []

    assert counts(served) == (left + 1, 0, sold - 1)
    assert newest(served) == ("cancellation", 1, 0, -1, left + 1, "wrong size", "anna")
    assert state(served, number) == "placed"
    assert database.transact(lambda tx: give_back(tx, number, ALL, CANCELLING)) == [
        served.sku(OTHER)
    ]
    assert database.transact(lambda tx: give_back(tx, number, ALL, CANCELLING)) == []
    assert state(served, number) == "cancelled"
    assert counts(served) == (left + 1, 0, sold - 1)


def test_what_cannot_be_sold_again_is_written_off(
    served: RunningShop, database: Database, number: str
) -> None:
    left, _, sold = counts(served)
    broken = GivingBack((), "broken", "anna", restock=False)
    database.transact(lambda tx: give_back(tx, number, broken, CANCELLING))
    assert counts(served) == (left, 0, sold - 1)
    assert newest(served) == ("correction", 0, 0, -1, left, "broken", "anna")


def test_an_order_goes_its_way_and_twice_changes_nothing(
    served: RunningShop, database: Database, number: str
) -> None:
    with pytest.raises(WrongState):
        database.transact(lambda tx: fulfil(tx, number, "anna"))
    steps: list[Callable[[Transaction], object]] = [
        lambda tx: mark_paid(tx, number, "anna"),
        lambda tx: fulfil(tx, number, "anna", "Z9"),
        lambda tx: give_back(tx, number, ALL, RETURNING),
    ]
    for step in steps:
        assert database.transact(step)
        rows = served.sql("SELECT count(*) FROM order_changes")
        assert not database.transact(step)
        assert served.sql("SELECT count(*) FROM order_changes") == rows
    assert state(served, number) == "returned"
    assert newest(served)[:2] == ("return", 1)
    with pytest.raises(WrongState):
        database.transact(lambda tx: give_back(tx, number, ALL, CANCELLING))


def test_a_shipped_order_is_not_cancelled_and_an_unknown_one_is_said_to_be(
    served: RunningShop, database: Database, number: str
) -> None:
    database.transact(lambda tx: mark_paid(tx, number, "anna"))
    database.transact(lambda tx: fulfil(tx, number, "anna"))
    before = counts(served)
    with pytest.raises(WrongState):
        database.transact(lambda tx: give_back(tx, number, ALL, CANCELLING))
    with pytest.raises(UnknownOrder):
        database.transact(lambda tx: give_back(tx, "AAAA-AAAA", ALL, CANCELLING))
    with pytest.raises(NotInOrder):
        database.transact(
            lambda tx: give_back(tx, number, GivingBack(("NO-SUCH",), "", "anna"), CANCELLING)
        )
    assert counts(served) == before
