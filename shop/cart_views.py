"""Carts as their visitors see them: what one holds, and what is true of that at the moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import NamedTuple

from shop.catalog_views import Catalog
from shop.changes import product_name, sale_name
from shop.models import CartSnapshot
from shop.models.cart import Cart, cart_ref
from shop.product_views import ItemView, ProductView
from shop.versions import newest


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
        return self.item.sold_out and not self.product.withdrawn

    @property
    def closed(self) -> bool:
        return self.item.sold_out or not self.product.released or self.product.withdrawn

    @property
    def closed_word(self) -> str:
        """What a shopper reads of a line that can't be bought now."""
        if self.product.withdrawn:
            return "No longer sold"
        if self.item.at_till and self.sold_out:
            return "All in carts at the till"
        return "Sold out" if self.sold_out else "Not released"


#: What lines can be closed by, the most of a loss first.
_CLOSED_WORDS = ("Sold out", "All in carts at the till", "No longer sold", "Not released")


class CartContents:
    """What is seen of a cart, whosever it is: the same for all that hold the same.

    Lines are in the order of item ids.
    """

    def __init__(
        self, bought: bool, lines: tuple[Line, ...], marks: tuple[Line, ...], version: int
    ) -> None:
        #: whether anything was ever bought from it
        self.bought = bought
        self.lines = lines
        #: what is to be a line as soon as it is on sale
        self.marks = marks
        #: the newest version of what it shows
        self.version = version

    @classmethod
    def of(cls, snapshot: CartSnapshot, catalog: Catalog) -> CartContents:
        """Return the contents of carts that hold the same, made once for each catalogue."""
        key = (snapshot.item_ids, snapshot.marked, snapshot.purchases > 0)
        contents: CartContents | None = catalog.contents.get(key)
        if contents is None:
            contents = cls._made(snapshot, catalog)
            weight = 1 + len(contents.lines) + len(contents.marks)
            catalog.contents.keep(key, contents, weight)
        return contents

    @classmethod
    def _made(cls, snapshot: CartSnapshot, catalog: Catalog) -> CartContents:
        cart = Cart(snapshot.item_ids, snapshot.marked).open(_on_sale(snapshot.marked, catalog))
        held, marked = _known(cart.item_ids, catalog), _known(cart.marked, catalog)
        lines = tuple(_line(item, cart.item_ids, catalog) for item in held)
        waiting = (Line(item, catalog.product_of(item)) for item in marked)
        marks = tuple(line for line in waiting if not line.product.withdrawn)
        # A product's version is the newest of its own and of all its sizes'.
        versions = (line.product.version for line in (*lines, *marks))
        return cls(snapshot.purchases > 0, lines, marks, newest(catalog.floor, *versions))

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
        words = {line.closed_word for line in self.closed_lines}
        return next(w for w in _CLOSED_WORDS if w in words)

    @property
    def can_be_bought(self) -> bool:
        return bool(self.lines) and not self.closed_lines

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What it follows from: of two with the same key nothing differs."""
        shown = (*self.lines, *self.marks)
        versions = ((i.item.id, i.item.version, i.product.version) for i in shown)
        return (self.bought, len(self.lines), *versions)

    @cached_property
    def shown(self) -> frozenset[str]:
        """The names of what it shows: its items, and the products whose other sizes it offers."""
        items = {sale_name(line.item.id) for line in (*self.lines, *self.marks)}
        return frozenset(items | {product_name(line.product.id) for line in self.closed_lines})


class CartView(NamedTuple):
    """A cart as its visitor sees it."""

    ref: str
    #: grows with whatever changes what the visitor sees
    version: int
    #: how many were made from it: names the next one
    purchases: int
    contents: CartContents
    #: until when what was bought is held for its payment; see `shop.models.cart_snapshot`
    hold: int | None = None

    @classmethod
    def of(cls, snapshot: CartSnapshot, catalog: Catalog) -> CartView:
        """Put together what a cart holds and what is true of that."""
        contents = CartContents.of(snapshot, catalog)
        version = newest(snapshot.version, contents.version)
        return cls(cart_ref(snapshot.cart_id), version, snapshot.purchases, contents, snapshot.hold)


def _known(item_ids: frozenset[int], catalog: Catalog) -> list[ItemView]:
    return [catalog.items[i] for i in sorted(item_ids) if i in catalog.items]


def _on_sale(item_ids: frozenset[int], catalog: Catalog) -> set[int]:
    products = ((item.id, catalog.product_of(item)) for item in _known(item_ids, catalog))
    return {i for i, product in products if product.released and not product.withdrawn}


def _line(item: ItemView, held: frozenset[int], catalog: Catalog) -> Line:
    product = catalog.product_of(item)
    if not item.sold_out or not product.released or product.withdrawn:
        return Line(item, product)
    nearest = _nearest_first(item, product.items)
    left = (i for i in nearest if not i.sold_out and i.id not in held)
    return Line(item, product, nearest, tuple(left))


def _nearest_first(item: ItemView, items: tuple[ItemView, ...]) -> tuple[ItemView, ...]:
    """Return the other sizes by how far from this one they stand, of two as far the larger one."""
    at = items.index(item)
    pairs = zip_longest(items[at + 1 :], reversed(items[:at]))
    return tuple(other for pair in pairs for other in pair if other is not None)
