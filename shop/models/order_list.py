"""Orders as operators list them: by what they ask for, however many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, exists, func, select

from shop.db import Database
from shop.db.base import PAGE
from shop.models.catalog import Item
from shop.models.order import Order, OrderLine


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders are asked for; None: whatever."""

    state: str | None = None
    #: those with a line of it
    product_id: int | None = None
    #: in whatever case
    email: str | None = None
    #: seconds since 1970, the later one excluded
    since: int | None = None
    until: int | None = None


def orders_wanted(database: Database, wanted: Wanted) -> Iterator[list[tuple[Any, list[Any]]]]:
    """Give the orders asked for with their lines, the oldest first, a page of them at a time.

    Each page is read by itself: nothing is held while it is shown, or written to somebody who
    reads slowly.
    """
    for orders in database.pages(_narrowed(wanted), Order.id):
        lines: dict[int, list[Any]] = {order.id: [] for order in orders}
        for line in database.rows(*_lines_of(list(lines))):
            if line.order_id in lines:
                lines[line.order_id].append(line)
        yield [(order, lines[order.id]) for order in orders]


def _lines_of(order_ids: list[int]) -> tuple[Any, dict[str, Any]]:
    """Return the question for the lines of these orders: by a span, if few others lie in it."""
    first, last = order_ids[0], order_ids[-1]
    if last - first < 2 * PAGE:
        return _LINES_BETWEEN, {"first": first, "last": last}
    return _LINES_OF, {"ids": order_ids}


def _narrowed(wanted: Wanted) -> Any:
    # Values stand in the statement: it is made for one command, and pages come by their own.
    question: Any = _LISTED
    if wanted.state is not None:
        question = question.where(Order.state == wanted.state)
    if wanted.email is not None:
        question = question.where(func.lower(Order.email) == wanted.email.strip().lower())
    if wanted.since is not None:
        question = question.where(Order.placed >= wanted.since)
    if wanted.until is not None:
        question = question.where(Order.placed < wanted.until)
    if wanted.product_id is not None:
        has_line = exists().where(OrderLine.order_id == Order.id, OrderLine.item_id == Item.id)
        question = question.where(has_line.where(Item.product_id == wanted.product_id))
    return question


_LISTED = select(
    *(Order.id, Order.number, Order.placed, Order.email, Order.name, Order.address),
    *(Order.street, Order.street2, Order.postcode, Order.town, Order.country, Order.phone),
    *(Order.shipping, Order.tax, Order.tax_rate, Order.tax_kind),
    *(Order.total, Order.currency, Order.state, Order.tracking),
)
_LINES = select(
    *(OrderLine.order_id, OrderLine.sku, OrderLine.price, OrderLine.ended),
    *(OrderLine.brand, OrderLine.product, OrderLine.color, OrderLine.size),
).order_by(OrderLine.order_id, OrderLine.id)
_LINES_BETWEEN = _LINES.where(OrderLine.order_id.between(bindparam("first"), bindparam("last")))
_LINES_OF = _LINES.where(OrderLine.order_id.in_(bindparam("ids")))
