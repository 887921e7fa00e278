"""Whether the counts of items are right: against the ledger, and against the orders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, aliased

from shop.models.catalog import Item
from shop.models.ledger import BRINGING_IN, COUNTER_SALE, Movement
from shop.models.order import Order, OrderLine
from shop.models.order_state import HOLDING, SELLING, STATES
from shop.moments import moment_in_utc


class Broken(NamedTuple):
    """A row that contradicts another."""

    #: `item`, `order` or `cart`
    kind: str
    name: str
    #: what is wrong, in words
    said: str
    #: the id of the first movement where the count went wrong, if it is known
    movement: int | None = None


def find_broken_items(session: Session) -> Iterator[Broken]:
    """Counts are what the ledger comes to; what is left, held and sold is what came in."""
    ordered = {row.item_id: row.lines for row in session.execute(_ORDERED)}
    not_sold = {row.item_id: row for row in session.execute(_NOT_SOLD)}
    wrong: dict[int, Any] = {}
    for row in session.execute(_WRONG):
        wrong.setdefault(row.item_id, row)
    for row in session.execute(_COUNTS):
        counted, entered = (row.available, row.held, row.sold), (row.left, row.holding, row.selling)
        first = wrong.pop(row.id, None)
        if counted != entered:
            yield Broken("item", row.sku, _unlike(counted, entered), first and first.id)
        elif first:
            yield Broken("item", row.sku, _went_wrong(first), first.id)
        if sum(counted) != row.came_in and counted == entered:
            yield Broken("item", row.sku, f"{row.came_in} came in, {sum(counted)} are there")
        if min(counted) < 0:
            yield Broken("item", row.sku, "a count is below 0")
        other = not_sold.get(row.id)
        sold = ordered.get(row.id, 0) - (other.lines if other else 0)
        yield from _sales(row, sold, other.held if other else 0)


def _unlike(counted: tuple[int, ...], entered: tuple[int, ...]) -> str:
    shown = [f"{a} left, {b} held, {c} sold" for a, b, c in (counted, entered)]
    return f"it has {shown[0]}; the ledger comes to {shown[1]}"


def _went_wrong(first: Any) -> str:
    return (
        f"movement {first.id} ({moment_in_utc(first.at)}, {first.kind} by {first.who}) says"
        f" {first.count_after} after it, where {first.count_after - first.off} were to be"
    )


def _sales(item: Any, ordered: int, held: int) -> Iterator[Broken]:
    """What is sold was ordered, or sold over the counter; what is held is of an order."""
    bought = ordered + item.till
    if item.sold != bought:
        yield Broken("item", item.sku, f"{item.sold} are sold, {bought} ordered or sold elsewhere")
    if item.held != held:
        yield Broken("item", item.sku, f"{item.held} are held, {held} by orders")


# The row before is looked up by an index, in less than half the time of a window's function.
_EARLIER = aliased(Movement)
_COUNT_BEFORE = (
    select(_EARLIER.count_after)
    .where(_EARLIER.item_id == Movement.item_id, _EARLIER.id < Movement.id)
    .order_by(_EARLIER.id.desc())
    .limit(1)
    .scalar_subquery()
)
_OFF = Movement.count_after - Movement.delta - func.coalesce(_COUNT_BEFORE, 0)
_WRONG = (
    select(*(Movement.id, Movement.item_id, Movement.kind, Movement.who, Movement.at))
    .add_columns(Movement.count_after, _OFF.label("off"))
    .where(_OFF != 0)
    .order_by(Movement.id)
)

_MOVED = Movement.delta + Movement.held_delta + Movement.sold_delta
_SUMS = (
    select(
        Movement.item_id,
        func.sum(Movement.delta).label("left"),
        func.sum(Movement.held_delta).label("holding"),
        func.sum(Movement.sold_delta).label("selling"),
        func.sum(case((Movement.kind.in_(BRINGING_IN), _MOVED), else_=0)).label("came_in"),
        func.sum(case((Movement.kind == COUNTER_SALE, Movement.sold_delta), else_=0)).label("till"),
    )
    .group_by(Movement.item_id)
    .subquery()
)


_ENTERED = ("left", "holding", "selling", "came_in", "till")
_COUNTS = select(
    *(Item.id, Item.sku, Item.available, Item.held, Item.sold),
    *(func.coalesce(_SUMS.c[name], 0).label(name) for name in _ENTERED),
).outerjoin(_SUMS, _SUMS.c.item_id == Item.id)

# All lines, and those of orders in certain states, which an index finds: to look up the order of
# each line would take three times as long.
_ORDERED = (
    select(OrderLine.item_id, func.count().label("lines"))
    .where(OrderLine.ended == "")
    .group_by(OrderLine.item_id)
)
_NOT_SOLD = (
    select(
        OrderLine.item_id,
        func.count().label("lines"),
        func.sum(case((Order.state.in_(HOLDING), 1), else_=0)).label("held"),
    )
    .join(Order, Order.id == OrderLine.order_id)
    .where(OrderLine.ended == "", Order.state.in_([s for s in STATES if s not in SELLING]))
    .group_by(OrderLine.item_id)
)
