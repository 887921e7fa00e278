"""Whoever comes at the same moment: the books stay right, and a pair goes back once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import text

from shop.buyer import Buyer
from shop.carts import Carts
from shop.checkout import buy
from shop.db import Database, Transaction, open_database
from shop.models import order_edit, set_stock
from shop.models.books import find_broken
from shop.models.cart import new_cart_id
from shop.models.order_edit import CANCELLING, GivingBack, give_back
from shop.purchase import CartClosed, Offer, Terms
from tests.support.running import RunningShop

pytestmark = pytest.mark.both_databases

ITEM = 1
KIM = Buyer("kim@example.com", "Kim", "1 Street")
BACK = GivingBack((), "twice", "anna")


@pytest.fixture
def database(closed_drop: RunningShop) -> Iterator[Database]:
    with closing(open_database(closed_drop.database_url)) as database:
        yield database


def count_of(database: Database) -> int:
    ((count,),) = database.rows(text("SELECT available FROM items WHERE id = 1"))
    return int(count)


def assert_books_right(database: Database) -> None:
    with database.reading() as session:
        assert list(find_broken(session)) == []


def filled(database: Database) -> str:
    """Return the id of a cart that holds the item."""
    cart_id = new_cart_id()
    Carts(database).add(cart_id, ITEM)
    return cart_id


def bought(database: Database, cart_id: str) -> str:
    """Buy a cart; return the order's number."""
    ((price,),) = database.rows(text("SELECT price FROM products WHERE id = 1"))
    offer = Offer(0, {ITEM: price})
    return database.transact(lambda tx: buy(tx, cart_id, KIM, offer, Terms("USD"))).number


def at_once(actions: list[Callable[[], object]]) -> list[object]:
    barrier = threading.Barrier(len(actions), timeout=30)

    def act(action: Callable[[], object]) -> object:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(act, actions))


def test_two_operators_who_cancel_the_same_order_put_its_pair_back_once(
    database: Database,
) -> None:
    number, left = bought(database, filled(database)), count_of(database)
    cancels = [lambda: database.transact(lambda tx: give_back(tx, number, BACK, CANCELLING))] * 6
    ended = at_once(list(cancels))
    assert sum(bool(skus) for skus in ended) == 1
    assert count_of(database) == left + 1
    assert_books_right(database)


def test_that_race_is_real_without_the_lock_the_pair_comes_back_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a line was is read before the others wrote: the control."""
    # With one more sold, or the database's constraint would refuse it.
    number, _ = bought(database, filled(database)), bought(database, filled(database))
    left = count_of(database)
    read = database.rows(text("SELECT id, item_id, sku, ended FROM order_lines WHERE id = 1"))

    def unlocked(transaction: Transaction, number: str) -> tuple[int, str]:
        return 1, "placed"

    class Stale:
        """A transaction that sees lines as they were, and changes no state."""

        def __init__(self, transaction: Transaction) -> None:
            self._transaction = transaction

        def __getattr__(self, name: str) -> object:
            return getattr(self._transaction, name)

        def execute(self, statement: object, values: object = None) -> object:
            if statement is order_edit._LINES:
                return read
            if statement is order_edit._END_LINE:
                return ()
            return self._transaction.execute(statement, values)  # type: ignore[arg-type]

    monkeypatch.setattr(order_edit, "lock_order", unlocked)
    monkeypatch.setattr(order_edit, "change_state", lambda *_, **__: True)
    for _ in range(2):
        database.transact(lambda tx: give_back(Stale(tx), number, BACK, CANCELLING))  # type: ignore[arg-type]
    assert count_of(database) == left + 2
    with database.reading() as session:
        assert list(find_broken(session))


def test_the_same_cart_bought_from_two_tabs_is_one_sale(database: Database) -> None:
    cart_id, left = filled(database), count_of(database)
    numbers = at_once([lambda: bought(database, cart_id)] * 4)
    assert len(set(numbers)) == 1
    assert count_of(database) == left - 1
    assert_books_right(database)


def test_purchases_cancellations_and_counts_set_at_once_leave_the_books_right(
    database: Database,
) -> None:
    database.transact(lambda tx: set_stock(tx, ITEM, 3))
    carts = [filled(database) for _ in range(8)]
    numbers = [bought(database, filled(database)) for _ in range(2)]

    def buying(cart_id: str) -> Callable[[], object]:
        def act() -> object:
            try:
                return bought(database, cart_id)
            except CartClosed:
                return None

        return act

    def cancelling(number: str) -> Callable[[], object]:
        return lambda: database.transact(lambda tx: give_back(tx, number, BACK, CANCELLING))

    actions = [buying(cart_id) for cart_id in carts]
    actions += [cancelling(number) for number in numbers * 2]
    actions += [lambda: database.transact(lambda tx: set_stock(tx, ITEM, 2))] * 2
    random.Random(7).shuffle(actions)
    at_once(actions)
    assert count_of(database) >= 0
    assert_books_right(database)
