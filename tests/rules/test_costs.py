"""What an order costs besides its lines, exact, and never other than its parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shop.buyer import Buyer
from shop.carts import Carts
from shop.checkout import buy
from shop.costs import ADDED, INCLUDED, CostTable, Group, NotDelivered, Tax
from shop.db import Database, Transaction, open_database
from shop.models.books import find_broken
from shop.models.cart import new_cart_id
from shop.models.order_state import record_state
from shop.postal import Address
from shop.purchase import CostsChanged, Offer, Terms
from tests.support.running import RunningShop

HOME = Group("home", frozenset({"AT", "DE"}), 490, free_from=15_000)
REST = Group("rest", frozenset(), 1900)
VAT, SALES_TAX = Tax(INCLUDED, 19_000), Tax(ADDED, 8_875)
KIM = Buyer("kim@example.com", "Kim", "1 Street\nVienna", Address("1 Street", town="Vienna"))


@pytest.fixture
def database(closed_drop: RunningShop) -> Iterator[Database]:
    with closing(open_database(closed_drop.database_url)) as database:
        yield database


def to(country: str) -> Buyer:
    return Buyer(KIM.email, KIM.name, KIM.address, Address("1 Street", "", "", "Vienna", country))


def test_shipping_is_by_country_and_free_from_an_amount() -> None:
    table = CostTable((HOME, REST))
    assert table.costs([12_000], "AT").total == 12_490
    assert table.costs([12_000, 3_000], "DE").shipping == 0
    assert table.costs([12_000, 16_000], "NO").total == 29_900
    with pytest.raises(NotDelivered):
        CostTable((HOME,)).costs([12_000], "NO")
    assert CostTable().costs([12_000], "").total == 12_000


def test_a_tax_is_in_the_total_once_included_or_added() -> None:
    included = CostTable((HOME,), VAT).costs([12_000], "AT")
    assert (included.total, included.tax, included.shipping_tax) == (12_490, 1916 + 78, 78)
    added = CostTable((HOME,), SALES_TAX).costs([12_000], "AT")
    assert (added.tax, added.total) == (1065 + 43, 12_490 + 1108)


@given(
    st.lists(st.integers(0, 10**11), min_size=1, max_size=5),
    st.integers(0, 100_000),
    st.sampled_from([INCLUDED, ADDED]),
)
def test_taxes_are_rounded_to_the_nearest_unit_half_of_one_upwards(
    prices: list[int], rate: int, kind: str
) -> None:
    costs = CostTable((HOME,), Tax(kind, rate)).costs(prices, "AT")
    whole = 100_000 + (rate if kind == INCLUDED else 0)
    exact = [Decimal(price * rate) / whole for price in (*prices, costs.shipping)]
    rounded = [int(each.quantize(Decimal(1), ROUND_HALF_UP)) for each in exact]
    assert [*costs.line_taxes, costs.shipping_tax] == rounded
    assert costs.tax == sum(rounded)
    assert costs.total == sum(prices) + costs.shipping + (costs.tax if kind == ADDED else 0)


def test_the_rate_is_read_as_people_write_it() -> None:
    assert [Tax(ADDED, rate).percent for rate in (19_000, 8_875, 500)] == ["19", "8.875", "0.5"]


@pytest.mark.both_databases
@pytest.mark.parametrize("tax", [None, VAT, SALES_TAX])
def test_an_order_keeps_what_it_costs_and_the_books_agree(
    database: Database, tax: Tax | None
) -> None:
    table, cart_id = CostTable((HOME, REST), tax), new_cart_id()
    for item_id in (1, 14):
        Carts(database).add(cart_id, item_id)
    rows = database.rows(text("SELECT id, price FROM products ORDER BY id"))
    prices = {1: rows[0].price, 14: rows[1].price}
    terms = Terms("USD", costs=table)
    for seen in ("", CostTable((HOME,), tax).key):
        with pytest.raises(CostsChanged):
            _buy(database, cart_id, Offer(0, prices, seen), terms)
    _buy(database, cart_id, Offer(0, prices, table.key), terms)

    costs = table.costs(list(prices.values()), "NO")
    order = database.rows(text("SELECT * FROM orders WHERE country = 'NO' ORDER BY id"))[-1]
    assert (order.total, order.shipping, order.tax) == (costs.total, 1900, costs.tax)
    assert (order.street, order.town) == ("1 Street", "Vienna")
    with database.reading() as session:
        assert list(find_broken(session)) == []
    _set(database, "tax = tax + 1, tax_kind = 'added'", order.id)
    with database.reading() as session:
        assert {broken.name for broken in find_broken(session)} == {order.number}
    _set(database, f"tax = {costs.tax}, tax_kind = '{costs.tax_kind}'", order.id)


def _buy(database: Database, cart_id: str, offer: Offer, terms: Terms) -> None:
    database.transact(lambda tx: buy(tx, cart_id, to("NO"), offer, terms))


def _set(database: Database, values: str, order_id: int) -> None:
    statement = text(f"UPDATE orders SET {values} WHERE id = {order_id}")
    database.transact(lambda tx: tx.execute(statement))


@pytest.mark.both_databases
@pytest.mark.parametrize(
    "wrong", ["total = total + 1", "shipping = 1", "tax_kind = 'added', tax = 1"]
)
def test_the_database_takes_no_order_whose_total_is_not_that_of_its_parts(
    database: Database, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def record_later(transaction: Transaction, order_id: int, *state: Any, **why: Any) -> None:
        transaction.execute(text(f"UPDATE orders SET {wrong} WHERE id = {order_id}"))
        record(transaction, order_id, *state, **why)

    record = record_state
    monkeypatch.setattr("shop.order_placing.record_state", record_later)
    cart_id = new_cart_id()
    Carts(database).add(cart_id, 2)
    ((price,),) = database.rows(text("SELECT price FROM products WHERE id = 1"))
    with pytest.raises(DBAPIError, match="not what its lines come to"):
        database.transact(lambda tx: buy(tx, cart_id, KIM, Offer(0, {2: price}), Terms("USD")))
