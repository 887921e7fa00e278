"""Selling no more than there is, whoever comes at the same moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import URL, update

from shop.buyer import Buyer
from shop.carts import Carts
from shop.checkout import buy
from shop.db import Transaction, open_database
from shop.models import Item, OutOfStock, sell
from shop.models.cart import new_cart_id
from shop.models.order import new_order_number
from shop.purchase import Offer, Terms
from tests.support.running import ROOT, RunningShop
from tests.support.shopper import Answer, Shopper, notices_in

pytestmark = pytest.mark.both_databases

ITEM = 1
PAIRS = 10
SHOPPERS = 100


def race(shop: RunningShop) -> list[tuple[Shopper, Answer]]:
    """Let a hundred shoppers press the button for the last ten pairs at once, half with HTMX."""
    shop.sql("UPDATE items SET available = ? WHERE id = ?", PAIRS, ITEM)
    at_once = threading.Barrier(SHOPPERS, timeout=60)

    def shopping(number: int) -> tuple[Shopper, Answer]:
        shopper = Shopper(shop)
        assert shopper.add(ITEM).status == 303
        form = shopper.checkout_form()
        at_once.wait()
        return shopper, shopper.buy(form, hx=number % 2 == 0)

    with ThreadPoolExecutor(SHOPPERS) as crowd:
        return list(crowd.map(shopping, range(SHOPPERS)))


def test_a_hundred_shoppers_for_the_last_ten_pairs(drop: RunningShop) -> None:
    outcome = race(drop)

    bought = [shopper for shopper, answer in outcome if answer.location == "/checkout/complete"]
    refused = [(s, a) for s, a in outcome if a.location != "/checkout/complete"]
    assert (len(bought), len(refused)) == (PAIRS, SHOPPERS - PAIRS)

    reason = "Sold out: Tideline, size 6. Nothing was bought."
    for shopper, answer in refused:
        if answer.status == 409:
            assert reason in notices_in(answer.text)
        else:
            assert (answer.status, answer.location) == (303, "/checkout")
            assert reason in notices_in(shopper.get("/checkout").text)
    assert {answer.status for _, answer in refused} == {303, 409}
    assert all(shopper.cart() == [ITEM] for shopper, _ in refused), "the refused keep their carts"

    receipts = [shopper.get("/checkout/complete").text for shopper in bought]
    orders = drop.orders()
    assert drop.sql("SELECT available FROM items WHERE id = ?", ITEM) == [(0,)]
    assert len(orders) == PAIRS
    assert all([line["sku"] for line in o["lines"]] == [drop.sku(ITEM)] for o in orders)
    assert all(sum(o["number"] in receipt for receipt in receipts) == 1 for o in orders)
    assert drop.sql("SELECT count(*) FROM order_lines") == [(PAIRS,)], "nothing half-done"
    assert all(shopper.cart() == [] for shopper in bought)


@pytest.mark.sqlite_only("the naive shop is made from the one on SQLite")
def test_the_race_is_real_a_shop_that_reads_and_writes_back_sells_too_many(
    open_shop: Callable[..., RunningShop],
) -> None:
    naive = open_shop("naive", ROOT / "tests" / "support" / "naive_shop.py", "released")

    outcome = race(naive)

    bought = sum(answer.location == "/checkout/complete" for _, answer in outcome)
    assert bought > PAIRS
    assert naive.sql("SELECT count(*) FROM orders") == [(bought,)]


Sell = Callable[[Transaction, Item], None]


def sell_by_the_database(transaction: Transaction, item: Item) -> None:
    sell(transaction, item.id)


def sell_by_what_was_read(transaction: Transaction, item: Item) -> None:
    if item.available < 1:
        raise OutOfStock(item.id)
    less = update(Item).where(Item.id == item.id).values(available=item.available - 1)
    transaction.execute(less)


def sell_by_stale_objects(url: URL, sellers: int, how: Sell) -> Counter[str]:
    """Let all sellers read an item first, and sell it only when all of them have."""
    all_have_read = threading.Barrier(sellers, timeout=30)

    def sell_one(_: int) -> str:
        database = open_database(url)
        try:
            with database.reading() as session:
                item = session.get_one(Item, ITEM)
            all_have_read.wait()
            database.transact(lambda tx: how(tx, item))
            return "sold"
        except OutOfStock:
            return "refused"
        finally:
            database.close()

    with ThreadPoolExecutor(sellers) as crowd:
        return Counter(crowd.map(sell_one, range(sellers)))


@pytest.fixture
def last_ten(closed_drop: RunningShop) -> RunningShop:
    """A shop that doesn't run, with ten pieces left of an item."""
    closed_drop.sql("UPDATE items SET available = ? WHERE id = ?", PAIRS, ITEM)
    return closed_drop


def test_a_sale_trusts_the_database_and_no_object_in_memory(last_ten: RunningShop) -> None:
    outcome = sell_by_stale_objects(last_ten.database_url, 25, sell_by_the_database)
    assert outcome == {"sold": PAIRS, "refused": 15}
    assert last_ten.sql("SELECT available FROM items WHERE id = ?", ITEM) == [(0,)]


def test_a_sale_that_trusts_its_object_sells_too_many(last_ten: RunningShop) -> None:
    outcome = sell_by_stale_objects(last_ten.database_url, 25, sell_by_what_was_read)
    assert outcome == {"sold": 25}
    assert last_ten.sql("SELECT available FROM items WHERE id = ?", ITEM) == [(PAIRS - 1,)]


# --- One visitor, several tabs ----------------------------------------------------------------


def test_the_first_sizes_that_two_tabs_pick_at_once_are_both_in_the_cart(
    last_ten: RunningShop,
) -> None:
    database, picked = open_database(last_ten.database_url), (ITEM, ITEM + 1, ITEM + 2)
    carts = Carts(database)

    def pick(cart_id: str, item_id: int, at_once: threading.Barrier) -> None:
        at_once.wait()
        carts.add(cart_id, item_id)

    try:
        with ThreadPoolExecutor(len(picked)) as tabs:
            for _ in range(20):
                cart_id, at_once = new_cart_id(), threading.Barrier(len(picked), timeout=30)
                for done in [tabs.submit(pick, cart_id, item, at_once) for item in picked]:
                    done.result()
                assert carts.snapshot(cart_id).item_ids == {*picked}
    finally:
        database.close()


def test_an_order_number_that_is_drawn_twice_is_drawn_again(
    closed_drop: RunningShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two buyers at once, and a third one later, are all dealt the same number first."""
    dealt = threading.local()

    def draw() -> str:
        number, dealt.number = dealt.number, new_order_number()
        return str(number)

    def purchase(_: object) -> str:
        dealt.number = "SAME-SAME"
        with closing(open_database(closed_drop.database_url)) as database:
            cart_id = new_cart_id()
            Carts(database).add(cart_id, ITEM)
            ((price,),) = closed_drop.sql(
                "SELECT price FROM products JOIN items ON items.product_id = products.id"
                " WHERE items.id = ?",
                ITEM,
            )
            buyer = Buyer("kim@example.com", "Kim", "1 Main Street, Town")
            offer = Offer(0, {ITEM: price})
            done = database.transact(lambda tx: buy(tx, cart_id, buyer, offer, Terms("USD")))
            return done.number

    monkeypatch.setattr("shop.order_placing.new_order_number", draw)
    closed_drop.sql("UPDATE products SET released = ?", True)
    with ThreadPoolExecutor(2) as buyers:
        numbers = [*buyers.map(purchase, range(2)), purchase(None)]
    assert numbers.count("SAME-SAME") == 1
    assert len(set(numbers)) == 3
    assert {order["number"] for order in closed_drop.orders()} == set(numbers)
