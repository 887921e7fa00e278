"""Carts as visitors see and change them: one short transaction each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, zip_longest
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, select

from shop.changes import product_name, sale_name
from shop.db import WRITE_WAIT, Database, Transaction
from shop.inventory import Catalog, ItemView, ProductView
from shop.models import (
    Cart,
    CartEdit,
    CartItem,
    CartRecord,
    Item,
    check_for_sale,
    delete_untouched,
)
from shop.models.cart import cart_ref
from shop.time_slice import TimeSlice
from shop.versions import LAST, NUMBERS, as_of, newest

#: How many carts are read in one query; SQLite takes 32,766 parameters at most.
_BATCH = 500

#: How many carts are deleted in one step: some milliseconds.
_STEP = 100

#: The skus that a visitor's own copy of their cart names; asked for only when it is needed.
Copy = Callable[[], Iterable[str]]

#: For how long a page waits to tidy up its visitor's carts, in seconds, before it does without.
PAGE_PATIENCE = 0.5


_readings = count(1)


@dataclass(frozen=True, slots=True)
class CartSnapshot:
    """What the database holds of a cart; `purchases` counts those made from it."""

    cart_id: str
    version: int
    purchases: int = 0
    item_ids: frozenset[int] = frozenset()
    #: whether the database knows this cart at all
    known: bool = True
    merged_into: str | None = None
    #: numbers the readings of this process: of two readings the later one is true
    reading: int = field(default_factory=lambda: next(_readings), compare=False)

    @classmethod
    def of(cls, cart: CartEdit) -> CartSnapshot:
        """The state that a transaction gave to a cart, or found it in."""
        return cls(cart.id, cart.version, cart.purchases, cart.before.item_ids)

    @classmethod
    def unknown(cls, cart_id: str, last: int | None = None) -> CartSnapshot:
        """A cart that the database doesn't know: empty.

        Args:
            last: the last number that had been drawn then, so that it is newer than what a tab
                still shows of it from before a reset. None: no tab shows it yet.
        """
        return cls(cart_id, 0 if last is None else as_of(last), known=False)

    def shows_what(self, other: CartSnapshot) -> bool:
        """Tell whether tabs show of this state what they show of another, but for its version."""
        mine = (self.known, self.purchases, self.item_ids)
        return mine == (other.known, other.purchases, other.item_ids)


@dataclass(frozen=True, slots=True)
class Line:
    """One item in a cart, and whether it can be bought now."""

    item: ItemView
    product: ProductView
    #: the other sizes of the same product, the nearest first, when this one is sold out
    nearest: tuple[ItemView, ...] = ()
    #: those of them that can be had instead
    swaps: tuple[ItemView, ...] = ()

    @property
    def sold_out(self) -> bool:
        return self.item.sold_out

    @property
    def closed(self) -> bool:
        return self.item.sold_out or not self.product.released

    @property
    def closed_word(self) -> str:
        """What a shopper reads of a line that can't be bought now."""
        return "Sold out" if self.sold_out else "Not released"


class CartContents:
    """What is seen of a cart, whosever it is: the same for all that hold the same.

    Lines are in the order of item ids.
    """

    def __init__(self, bought: bool, lines: tuple[Line, ...], version: int) -> None:
        #: whether anything was ever bought from it
        self.bought = bought
        self.lines = lines
        #: the newest version of what it shows
        self.version = version

    @classmethod
    def of(cls, item_ids: frozenset[int], bought: bool, catalog: Catalog) -> CartContents:
        """Return how carts that hold this look, made once for each catalogue."""
        contents: CartContents | None = catalog.contents.get((item_ids, bought))
        if contents is None:
            contents = cls._made(item_ids, bought, catalog)
            catalog.contents.keep((item_ids, bought), contents, 1 + len(contents.lines))
        return contents

    @classmethod
    def _made(cls, item_ids: frozenset[int], bought: bool, catalog: Catalog) -> CartContents:
        items = [catalog.items[i] for i in sorted(item_ids) if i in catalog.items]
        lines = tuple(_line(item, item_ids, catalog) for item in items)
        # A product's version is the newest of its own and of all its sizes'.
        versions = (line.product.version for line in lines)
        return cls(bought, lines, newest(catalog.floor, *versions))

    @cached_property
    def total(self) -> int:
        """In minor units; what can't be bought now doesn't count."""
        return sum(line.product.price for line in self.lines if not line.closed)

    @cached_property
    def closed_lines(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.closed)

    @property
    def closed_word(self) -> str:
        """What a shopper reads of the lines that can't be bought now, taken together."""
        sold_out = any(line.sold_out for line in self.closed_lines)
        return "Sold out" if sold_out else "Not released"

    @property
    def can_be_bought(self) -> bool:
        return bool(self.lines) and not self.closed_lines

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What the look follows from: of two with the same key nothing differs."""
        versions = ((i.item.id, i.item.version, i.product.version) for i in self.lines)
        return (self.bought, *versions)

    @cached_property
    def shown(self) -> frozenset[str]:
        """The names of what it shows: its items, and the products whose other sizes it offers."""
        items = {sale_name(line.item.id) for line in self.lines}
        return frozenset(items | {product_name(line.product.id) for line in self.closed_lines})


class CartView(NamedTuple):
    """A cart as its visitor sees it."""

    ref: str
    #: grows with whatever changes what the visitor sees
    version: int
    #: how many were made from it: names the next one
    purchases: int
    contents: CartContents

    @classmethod
    def of(cls, state: CartSnapshot, catalog: Catalog) -> CartView:
        """Put together what a cart holds and what is true of that."""
        contents = CartContents.of(state.item_ids, state.purchases > 0, catalog)
        version = newest(state.version, contents.version)
        return cls(cart_ref(state.cart_id), version, state.purchases, contents)


def _line(item: ItemView, held: frozenset[int], catalog: Catalog) -> Line:
    product = catalog.product_of(item)
    if not item.sold_out or not product.released:
        return Line(item, product)
    nearest = _nearest_first(item, product.items)
    left = (i for i in nearest if not i.sold_out and i.id not in held)
    return Line(item, product, nearest, tuple(left))


def _nearest_first(item: ItemView, items: tuple[ItemView, ...]) -> tuple[ItemView, ...]:
    """Return the other sizes by how far from this one they stand, of two as far the larger one."""
    at = items.index(item)
    pairs = zip_longest(items[at + 1 :], reversed(items[:at]))
    return tuple(other for pair in pairs for other in pair if other is not None)


class Carts:
    """The carts of a shop."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, cart_id: str) -> CartSnapshot:
        """Read a cart."""
        return self.states([cart_id])[cart_id]

    def states(self, cart_ids: Iterable[str]) -> dict[str, CartSnapshot]:
        """Read many carts; one that the database doesn't know is an empty one."""
        wanted = list(cart_ids)
        found: dict[str, CartSnapshot] = {}
        turns = TimeSlice()
        for start in range(0, len(wanted), _BATCH):
            turns.yield_to_others()  # reading ten thousand carts must not hold up a request
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
        return self._change(cart_id, lambda transaction, cart: cart, copy, PAGE_PATIENCE)

    def merge(self, cart_id: str, others: Iterable[str]) -> CartSnapshot:
        """Make one cart of several of one visitor's; the others lead to it from then on."""
        secondary_carts = list(others)

        def work(transaction: Transaction) -> CartSnapshot:
            cart = CartEdit(transaction, cart_id)
            for secondary in secondary_carts:
                cart.merge(secondary)
            return CartSnapshot.of(cart)

        return self._database.transact(work, durable=False, patience=PAGE_PATIENCE)

    def prune(self, before: int) -> int:
        """Delete some carts that nobody has changed since a moment, in one short step.

        Args:
            before: seconds since 1970.

        Returns:
            How many: none when none is left.
        """
        return self._database.transact(
            lambda transaction: delete_untouched(transaction, before, _STEP), durable=False
        )

    def _change(
        self,
        cart_id: str,
        rule: Callable[[Transaction, Cart], Cart],
        copy: Copy,
        patience: float = WRITE_WAIT,
    ) -> CartSnapshot:
        def work(transaction: Transaction) -> CartSnapshot:
            cart = CartEdit(transaction, cart_id)
            held = _items_of(transaction, copy()) if cart.is_new else cart.before
            cart.save(rule(transaction, held))
            return CartSnapshot.of(cart)

        return self._database.transact(work, durable=False, patience=patience)

    def _read(self, cart_ids: list[str]) -> dict[str, CartSnapshot]:
        found: dict[str, CartSnapshot] = {}
        held: dict[str, list[int]] = {}
        reading = next(_readings)  # of two questions that overtake each other, the later is right
        if len(cart_ids) == 1:
            rows = self._database.rows(_CART, {"cart_id": cart_ids[0]})
        else:
            rows = self._database.rows(_CARTS, {"cart_ids": cart_ids})
        for row in rows:
            last, cart_id, version, purchases, merged_into, item_id = row
            if cart_id is None:  # none of them is known
                break
            items = held.setdefault(cart_id, [])
            if item_id is not None:
                items.append(item_id)
            read = CartSnapshot(
                *(cart_id, version, purchases, frozenset(items), True, merged_into, reading)
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
        .add_columns(CartRecord.merged_into, CartItem.item_id)
        .select_from(NUMBERS)
        .outerjoin(CartRecord, which)
        .outerjoin(CartItem, CartItem.cart_id == CartRecord.id)
    )


_CART = _carts(CartRecord.id == bindparam("cart_id"))
_CARTS = _carts(CartRecord.id.in_(bindparam("cart_ids", expanding=True)))
_SINCE = (
    select(LAST, CartRecord.id, CartRecord.version)
    .select_from(NUMBERS)
    .outerjoin(CartRecord, CartRecord.version > bindparam("since"))
)
_ITEMS = select(Item.id).where(Item.sku.in_(bindparam("skus", expanding=True)))
