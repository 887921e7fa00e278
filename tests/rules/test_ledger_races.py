"""Many who come at the same moment, in any order: the books stay right; see `test_guards`."""

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
from shop.db import Database, open_database
from shop.models import set_stock
from shop.models.books import find_broken
from shop.models.cart import new_cart_id
from shop.models.order_edit import CANCELLING, GivingBack, give_back
from shop.purchase import NotForSale, Offer, Terms
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
            except NotForSale:
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
