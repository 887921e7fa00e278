"""Shoppers and operators do anything in any order: a simple model of the shop says the same."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import text

from shop import create_app
from shop.buyer import Buyer
from shop.changes import cart_name, product_name
from shop.checkout import buy
from shop.models import (
    AlreadyInCart,
    NotInCart,
    Unavailable,
    close,
    order_edit,
    release,
    sell,
    set_stock,
    stock_up,
)
from shop.models.books import find_broken
from shop.models.cart import new_cart_id
from shop.models.order_edit import CANCELLING, RETURNING, GivingBack, fulfil, give_back, mark_paid
from shop.models.order_state import WrongState
from shop.purchase import NotForSale, NothingToBuy, Offer, Terms
from tests.support.state_machines import folder_in_memory, run

#: The items that are tried, all of one product, and its id.
ITEMS, PRODUCT = (1, 2, 3), 1

#: How many steps an example has.
STEPS = 25

KIM = Buyer("kim@example.com", "Kim", "1 Street")

_SIZE = r'--level-(\w+)" form="actions" name="item_id" value="(\d+)"'

items = st.sampled_from(ITEMS)
shoppers = st.integers(0, 2)
numbers = st.integers(0, 50)


class Shop(RuleBasedStateMachine):
    """A real shop, and what should be true of it."""

    #: where a shop after the drop is
    after_the_drop: Path

    @initialize(counts=st.lists(st.integers(0, 3), min_size=3, max_size=3))
    def open_shop(self, counts: list[int]) -> None:
        self.folder = folder_in_memory()
        shutil.copytree(self.after_the_drop, self.folder, dirs_exist_ok=True)
        app = create_app({"SHOP_INSTANCE": str(self.folder)})
        self.services = app.extensions["shop"]
        self.database = self.services.database
        self.carts = [new_cart_id() for _ in range(3)]
        #: what should be: pairs left by item, what each cart holds, and orders
        self.left = dict(zip(ITEMS, counts, strict=True))
        self.held: list[set[int]] = [set(), set(), set()]
        self.released = True
        self.orders: dict[str, dict[str, Any]] = {}
        for item, count in self.left.items():
            self.write(lambda tx, item=item, count=count: set_stock(tx, item, count))

    def teardown(self) -> None:
        if hasattr(self, "orders"):
            self.database.close()
            shutil.rmtree(self.folder)

    # --- Shoppers ---------------------------------------------------------------------------

    @rule(who=shoppers, item=items)
    def add(self, who: int, item: int) -> None:
        possible = self.released and self.left[item] and item not in self.held[who]
        try:
            self.services.carts.add(self.carts[who], item)
        except (AlreadyInCart, Unavailable):
            assert not possible
        else:
            assert possible
            self.held[who].add(item)

    @rule(who=shoppers, item=items)
    def remove(self, who: int, item: int) -> None:
        try:
            self.services.carts.remove(self.carts[who], item)
        except NotInCart:
            assert item not in self.held[who]
        else:
            self.held[who].remove(item)

    @rule(who=shoppers)
    def buys(self, who: int) -> None:
        held = self.held[who]
        possible = held and self.released and all(self.left[item] for item in held)
        state = self.services.carts.snapshot(self.carts[who])
        offer = Offer(state.purchases, dict.fromkeys(held, 12_000))
        try:
            done = self.write(lambda tx: buy(tx, self.carts[who], KIM, offer, Terms("USD")))
        except (NothingToBuy, NotForSale):
            assert not possible
            return
        assert possible
        self.orders[done.number] = {"state": "placed", "lines": dict.fromkeys(held, "")}
        for item in held:
            self.left[item] -= 1
        held.clear()

    # --- Operators ----------------------------------------------------------------------------

    @rule(item=items, count=st.integers(0, 4))
    def sets_stock(self, item: int, count: int) -> None:
        self.write(lambda tx: set_stock(tx, item, count))
        self.left[item] = count

    @rule(item=items, count=st.integers(1, 3))
    def adds_stock(self, item: int, count: int) -> None:
        self.write(lambda tx: stock_up(tx, item, count))
        self.left[item] += count

    @rule(item=items, count=st.integers(1, 3))
    def sells(self, item: int, count: int) -> None:
        possible = self.released and self.left[item] >= count
        try:
            self.write(lambda tx: sell(tx, item, count))
        except Unavailable:
            assert not possible
        else:
            assert possible
            self.left[item] -= count

    @rule()
    def opens_or_closes(self) -> None:
        change = close if self.released else release
        self.write(lambda tx: change(tx, PRODUCT))
        self.released = not self.released

    @precondition(lambda self: self.orders)
    @rule(which=numbers)
    def marks_paid(self, which: int) -> None:
        self.moves(which, "paid", ("placed",), lambda tx, number: mark_paid(tx, number, "anna"))

    @precondition(lambda self: self.orders)
    @rule(which=numbers)
    def ships(self, which: int) -> None:
        self.moves(which, "fulfilled", ("paid",), lambda tx, number: fulfil(tx, number, "anna"))

    @precondition(lambda self: self.orders)
    @rule(which=numbers, item=st.one_of(st.none(), items), restock=st.booleans())
    def cancels(self, which: int, item: int | None, restock: bool) -> None:
        self.gives_back(which, item, restock, CANCELLING, ("placed", "paid"))

    @precondition(lambda self: self.orders)
    @rule(which=numbers, item=st.one_of(st.none(), items), restock=st.booleans())
    def takes_back(self, which: int, item: int | None, restock: bool) -> None:
        self.gives_back(which, item, restock, RETURNING, ("fulfilled",))

    def moves(self, which: int, to: str, possible: tuple[str, ...], work: Any) -> None:
        number, order = self.one_of(which)
        before = order["state"]
        try:
            changed = self.write(lambda tx: work(tx, number))
        except WrongState:
            assert before not in (*possible, to)
        else:
            assert changed == (before in possible)
            order["state"] = to

    def gives_back(
        self, which: int, item: int | None, restock: bool, way: Any, possible: tuple[str, ...]
    ) -> None:
        number, order = self.one_of(which)
        wanted = [i for i in order["lines"] if item in (None, i)]
        if not wanted:
            return
        ending = [i for i in wanted if not order["lines"][i]]
        skus = () if item is None else (self.sku(item),)
        back = GivingBack(skus, "why not", "anna", restock=restock)
        try:
            ended = self.write(lambda tx: give_back(tx, number, back, way))
        except WrongState:
            assert order["state"] not in (*possible, way.end)
            return
        assert sorted(ended) == sorted(map(self.sku, ending))
        for one in ending:
            order["lines"][one] = way.end
            self.left[one] += restock
        if ending and all(order["lines"].values()):
            order["state"] = way.end

    # --- What is always true --------------------------------------------------------------------

    @invariant()
    def the_books_are_right(self) -> None:
        if not hasattr(self, "orders"):
            return
        with self.database.reading() as session:
            assert list(find_broken(session)) == []
        rows = self.database.rows(text("SELECT id, available FROM items WHERE id <= 3"))
        assert {row.id: row.available for row in rows} == self.left
        rows = self.database.rows(text("SELECT number, state FROM orders"))
        states = {number: order["state"] for number, order in self.orders.items()}
        assert {row.number: row.state for row in rows} == states

    @invariant()
    def tabs_show_what_is_true(self) -> None:
        if not hasattr(self, "orders"):
            return
        for who, cart_id in enumerate(self.carts):
            topics = (cart_name(cart_id), product_name(PRODUCT))
            self.services.hub.join(tab := Watcher(topics))
            shown = self.services.contents.present(topics, None)
            self.services.hub.leave(tab)
            lines = {int(i) for i in re.findall(r'data-item-id="(\d+)"', shown)}
            assert lines == self.held[who]
            sizes = re.findall(_SIZE, shown)
            assert bool(sizes) == self.released
            out = {int(item) for level, item in sizes if level == "out"}
            if self.released:
                assert out & set(ITEMS) == {item for item in ITEMS if not self.left[item]}

    # --- Looking ------------------------------------------------------------------------------

    def one_of(self, which: int) -> tuple[str, dict[str, Any]]:
        return list(self.orders.items())[which % len(self.orders)]

    def sku(self, item: int) -> str:
        rows = self.database.rows(text("SELECT sku FROM items WHERE id = :item"), {"item": item})
        return str(rows[0].sku)

    def write(self, work: Any) -> Any:
        return self.database.transact(work)


class Watcher:
    """A tab that only says what it watches."""

    page, source, is_event_stream = "/", "", False

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.topics = topics


@pytest.fixture(autouse=True)
def shop_after_the_drop(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shop, "after_the_drop", released, raising=False)


def test_whatever_is_done_the_books_the_counts_and_the_tabs_agree() -> None:
    run(Shop, 15, STEPS)


def test_a_cancellation_that_forgets_the_shelf_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_edit, "_put_back", lambda *_: None)
    with pytest.raises(AssertionError):
        run(Shop, 100, STEPS)
