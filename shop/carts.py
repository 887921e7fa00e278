"""Carts as visitors see and change them: one short transaction each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select

from shop.db import WRITE_WAIT, Database, Transaction
from shop.models import (
    IS_MARKED,
    Cart,
    CartEdit,
    CartItem,
    CartRecord,
    CartSnapshot,
    Item,
    NotReleased,
    check_for_sale,
    delete_untouched,
)
from shop.models.cart_snapshot import next_reading
from shop.time_slice import TimeSlice
from shop.versions import LAST, NUMBERS

#: How many carts are read in one query; SQLite takes 32,766 parameters at most.
_BATCH = 500

#: How many carts are deleted in one step: some milliseconds.
_STEP = 100

#: The skus that a visitor's own copy of their cart names; asked for only when it is needed.
Copy = Callable[[], Iterable[str]]

#: For how long a page waits to tidy up its visitor's carts, in seconds, before it does without.
PAGE_TIMEOUT = 0.5


class Carts:
    """The carts of a shop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def snapshot(self, cart_id: str) -> CartSnapshot:
        """Read a cart."""
        return self.snapshots([cart_id])[cart_id]

    def snapshots(self, cart_ids: Iterable[str]) -> dict[str, CartSnapshot]:
        """Read many carts; one that the database doesn't know is an empty one."""
        wanted = list(cart_ids)
        found: dict[str, CartSnapshot] = {}
        time_slice = TimeSlice()
        for start in range(0, len(wanted), _BATCH):
            time_slice.yield_to_others()  # reading ten thousand carts must not hold up a request
            found |= self._read(wanted[start : start + _BATCH])
        return found

    def changed_since(self, number: int) -> tuple[int, list[tuple[str, int]]]:
        """Find the carts that were changed by numbers above this one.

        Returns:
            The last number that was drawn, and ids and versions of the carts.
        """
        rows = self._database.rows(_SINCE, {"since": number})
        return rows[0].last_value, [(row.id, row.version) for row in rows if row.id is not None]

    def add(self, cart_id: str, item_id: int, copy: Copy = list) -> CartSnapshot:
        """Put an item into a cart.

        Args:
            copy: what the cart holds if the database doesn't know it, as skus; for all actions.

        Raises:
            UnknownItem, AlreadyInCart, OutOfStock, NotReleased. Nothing was changed.
        """

        def rule(transaction: Transaction, cart: Cart) -> Cart:
            if item_id not in cart.item_ids:
                check_for_sale(transaction, item_id)
            return cart.add(item_id)

        return self._change(cart_id, rule, copy)

    def mark(self, cart_id: str, item_id: int, copy: Copy = list) -> CartSnapshot:
        """Mark an item to be put into a cart when it opens; it is put in if it is open already.

        Raises:
            UnknownItem, AlreadyInCart, OutOfStock, Withdrawn.
            NotReleased: nobody has announced when it opens.
        """

        def rule(transaction: Transaction, cart: Cart) -> Cart:
            try:
                check_for_sale(transaction, item_id)
            except NotReleased as coming:
                if coming.opens_at is None:
                    raise
                return cart.mark(item_id)
            return cart.add(item_id)

        return self._change(cart_id, rule, copy)

    def remove(self, cart_id: str, item_id: int, copy: Copy = list) -> CartSnapshot:
        """Take an item out of a cart.

        Raises:
            NotInCart: it holds no such item. Nothing was changed.
        """
        return self._change(cart_id, lambda transaction, cart: cart.remove(item_id), copy)

    def swap(self, cart_id: str, old_id: int, new_id: int, copy: Copy = list) -> CartSnapshot:
        """Put an item in the place of another, or change nothing.

        Raises:
            NotInCart, UnknownItem, AlreadyInCart, OutOfStock, NotReleased.
        """

        def rule(transaction: Transaction, cart: Cart) -> Cart:
            after = cart.swap(old_id, new_id)
            check_for_sale(transaction, new_id)
            return after

        return self._change(cart_id, rule, copy)

    def restore(self, cart_id: str, copy: Copy) -> CartSnapshot:
        """Fill a cart that the database doesn't know from a copy of it.

        If it knows it after all, as another of the visitor's tabs was faster, it stays as it is.
        """
        return self._change(cart_id, lambda transaction, cart: cart, copy, PAGE_TIMEOUT)

    def merge(self, cart_id: str, others: Iterable[str]) -> CartSnapshot:
        """Make one cart of several of one visitor's; the others lead to it from then on."""
        secondary_carts = list(others)

        def work(transaction: Transaction) -> CartSnapshot:
            cart = CartEdit(transaction, cart_id)
            for secondary in secondary_carts:
                cart.merge(secondary)
            return cart.snapshot()

        return self._database.transact(work, durable=False, timeout=PAGE_TIMEOUT)

    def prune(self, age: int, pause: float = 0.0) -> int:
        """Delete the carts that nobody has changed for so long, in short steps.

        Args:
            age: in seconds.
            pause: between two steps, in seconds; all others go on in it.

        Returns:
            How many.
        """
        before, deleted = int(time.time()) - age, 0
        while step := self._database.transact(
            lambda tx: delete_untouched(tx, before, _STEP), durable=False
        ):
            deleted += step
            time.sleep(pause)
        return deleted

    def _change(
        self,
        cart_id: str,
        rule: Callable[[Transaction, Cart], Cart],
        copy: Copy,
        timeout: float = WRITE_WAIT,
    ) -> CartSnapshot:
        def work(transaction: Transaction) -> CartSnapshot:
            cart = CartEdit(transaction, cart_id)
            held = _items_of(transaction, copy()) if cart.is_new else cart.held
            cart.save(rule(transaction, held))
            return cart.snapshot()

        return self._database.transact(work, durable=False, timeout=timeout)

    def _read(self, cart_ids: list[str]) -> dict[str, CartSnapshot]:
        found: dict[str, CartSnapshot] = {}
        items: dict[str, tuple[list[int], list[int]]] = {}  # held, marked
        reading = next_reading()  # of two questions that overtake each other, the later is right
        if len(cart_ids) == 1:
            rows = self._database.rows(_CART, {"cart_id": cart_ids[0]})
        else:
            rows = self._database.rows(_CARTS, {"cart_ids": cart_ids})
        for row in rows:
            last, cart_id, version, purchases, hold, merged_into, item_id, is_marked = row
            if cart_id is None:  # none of them is known
                break
            held = items.setdefault(cart_id, ([], []))
            if item_id is not None:
                held[bool(is_marked)].append(item_id)
            in_cart, marked = map(frozenset, held)
            read = CartSnapshot(
                *(cart_id, version, purchases, in_cart, True, merged_into, marked, hold, reading)
            )
            found[cart_id] = read
        return {i: found.get(i) or CartSnapshot.unknown(i, last) for i in cart_ids}


def _items_of(transaction: Transaction, skus: Iterable[str]) -> Cart:
    """Return the cart of the items with these skus, of those that there are."""
    wanted = list(skus)
    there = transaction.execute(_ITEMS, {"skus": wanted}) if wanted else ()
    return Cart(frozenset(row.id for row in there))


# Made once: every page reads a cart, and making a statement takes longer than running it.
# Each question has the last number with it, also if nothing else is found.
def _carts(which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(LAST, CartRecord.id, CartRecord.version, CartRecord.purchases)
        .add_columns(CartRecord.hold, CartRecord.merged_into)
        .add_columns(CartItem.item_id, IS_MARKED)
        .select_from(NUMBERS)
        .outerjoin(CartRecord, which)
        .outerjoin(CartItem, CartItem.cart_id == CartRecord.id)
    )


_CART = _carts(CartRecord.id == bindparam("cart_id"))
_CARTS = _carts(CartRecord.id.in_(bindparam("cart_ids")))
_SINCE = (
    select(LAST, CartRecord.id, CartRecord.version)
    .select_from(NUMBERS)
    .outerjoin(CartRecord, CartRecord.version > bindparam("since"))
)
_ITEMS = select(Item.id).where(Item.sku.in_(bindparam("skus")))
