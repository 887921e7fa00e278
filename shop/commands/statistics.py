"""The drop in numbers, at one moment: counts on the shelf, and orders."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from shop.models import Item, Order, OrderLine, Product
from shop.models.mail import BACKLOG, NO_BACKLOG, Backlog, backlog_of
from shop.product_views import Levels

#: What counts as the last orders, in seconds.
LATELY = 60


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """How many pieces of an item are left, held and sold."""

    id: int
    size: str
    available: int
    level: str
    held: int = 0
    sold: int = 0


@dataclass(frozen=True)
class ProductStatistics:
    """A product and its items, in the order of their ids."""

    id: int
    sku: str
    name: str
    released: bool
    items: tuple[ItemStatistics, ...]

    @cached_property
    def left(self) -> int:
        return sum(item.available for item in self.items)

    @cached_property
    def held(self) -> int:
        return sum(item.held for item in self.items)

    @cached_property
    def sold(self) -> int:
        return sum(item.sold for item in self.items)

    def at_level(self, level: str) -> int:
        """Count the items of a level."""
        return sum(item.level == level for item in self.items)


@dataclass(frozen=True, slots=True)
class OrderStatistics:
    """How many orders there are, and their sums in minor units by currency."""

    count: int
    sums: dict[str, int]


@dataclass(frozen=True)
class Statistics:
    """The drop at one moment."""

    #: seconds since 1970, and on a clock that is never set
    at: float
    clock: float
    #: in the order in which the shop shows them
    products: tuple[ProductStatistics, ...]
    orders: OrderStatistics
    #: those of the last minute
    lately: OrderStatistics
    #: pieces in all orders
    pieces_ordered: int = 0
    #: what waits to be sent
    mails: Backlog = NO_BACKLOG

    @property
    def left(self) -> int:
        """How many pieces are on sale."""
        return sum(product.left for product in self.products if product.released)

    @property
    def left_not_released(self) -> int:
        """How many pieces of products lie there that are coming soon."""
        return sum(product.left for product in self.products if not product.released)

    def taken_since(self, before: Statistics) -> dict[int, int]:
        """Return how many pieces left the shelf since an earlier moment, by product id.

        What was put on the shelf in between hides as many of the same size.
        """
        was = {item.id: item.available for product in before.products for item in product.items}
        return {
            product.id: sum(max(0, was.get(i.id, 0) - i.available) for i in product.items)
            for product in self.products
        }

    def sold_per_second(self, before: Statistics | None) -> dict[int, float]:
        """Return how fast each product sold since an earlier moment, in pieces, by id."""
        if before is None or self.clock <= before.clock:
            return {}
        elapsed = self.clock - before.clock
        return {number: taken / elapsed for number, taken in self.taken_since(before).items()}


def read_statistics(session: Session, levels: Levels) -> Statistics:
    """Count what is there now."""
    now = time.time()
    clock = time.monotonic()
    orders, lately = _orders(session, int(now) - LATELY)
    pieces = session.scalar(_PIECES_ORDERED) or 0
    products, mails = tuple(_products(session, levels)), backlog_of(session.execute(BACKLOG).one())
    return Statistics(now, clock, products, orders, lately, pieces, mails)


def _products(session: Session, levels: Levels) -> Iterable[ProductStatistics]:
    items: dict[int, list[ItemStatistics]] = {}
    for item_id, product_id, size, available, held, sold in session.execute(_ITEMS):
        item = ItemStatistics(item_id, size, available, levels.of(available), held, sold)
        items.setdefault(product_id, []).append(item)
    for product_id, sku, name, released in session.execute(_PRODUCTS):
        yield ProductStatistics(product_id, sku, name, released, tuple(items.get(product_id, ())))


def _orders(session: Session, since: int) -> tuple[OrderStatistics, OrderStatistics]:
    late = Order.placed > since
    columns = select(
        Order.currency,
        func.count(),
        func.sum(Order.total),
        func.sum(case((late, 1), else_=0)),
        func.sum(case((late, Order.total), else_=0)),
    )
    rows = session.execute(columns.group_by(Order.currency).order_by(Order.currency)).all()
    return (
        OrderStatistics(sum(row[1] for row in rows), {row[0]: int(row[2]) for row in rows}),
        OrderStatistics(sum(row[3] for row in rows), {row[0]: int(row[4]) for row in rows}),
    )


_PIECES_ORDERED = select(func.count()).select_from(OrderLine)
_ITEMS = select(
    *(Item.id, Item.product_id, Item.size, Item.available, Item.held, Item.sold)
).order_by(Item.id)
_PRODUCTS = (
    select(Product.id, Product.sku, Product.name, Product.released)
    .where(~Product.removed)
    .order_by(Product.position, Product.id)
)
