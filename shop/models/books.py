"""Whether the books are right: counts, ledger, orders and carts against one another.

A check is a question that finds broken rows, and what is said of each. Add one to `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from shop.costs import ADDED
from shop.models.cart_record import CartItem
from shop.models.catalog import Item
from shop.models.ledger import BRINGING_IN, COUNTER_SALE, Movement
from shop.models.mail import RECEIPT, Mail
from shop.models.order import Order, OrderLine
from shop.models.order_state import (
    CANCELLED,
    EXPIRED,
    HOLDING,
    RETURNED,
    SELLING,
    STATES,
    OrderChange,
)
from shop.models.payment import ACTIVE, ENDED, PAID, Payment
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


def find_broken(session: Session) -> Iterator[Broken]:
    """Read the books and give each row that is broken."""
    for check in CHECKS:
        yield from check(session)


def _items(session: Session) -> Iterator[Broken]:
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


def _orders(session: Session) -> Iterator[Broken]:
    """An order has lines, its total is theirs, and its state has its row."""
    for row in session.execute(_TOTALS):
        yield from _amounts(row)
    for number, state, after in session.execute(_STATES):
        written = f"the last change is to {after}" if after else "no change is written"
        yield Broken("order", number, f"its state is {state}, and {written}")
    for number, state, sku in session.execute(_OPEN_LINES):
        yield Broken("order", number, f"it is {state}, and its line {sku} is not")
    for number, sku, end in session.execute(_ENDS_WITHOUT_ROW):
        yield Broken("order", number, f"its line {sku} is {end}, and no row says so")


def _amounts(order: Any) -> Iterator[Broken]:
    """An order costs its lines, its shipping, and its tax if that is added; the tax is theirs."""
    if not order.pieces:
        yield Broken("order", order.number, "it has no lines")
        return
    if order.total != order.lines + order.besides:
        other = f", shipping and tax to {order.besides}" if order.besides else ""
        what = f"its total is {order.total}, its lines come to {order.lines}{other}"
        yield Broken("order", order.number, what)
    if order.tax != order.taxes:
        what = f"its tax is {order.tax}, its lines' and its shipping's come to {order.taxes}"
        yield Broken("order", order.number, what)


def _carts(session: Session) -> Iterator[Broken]:
    """Carts hold items that there are. A cart's whole id is its visitor's secret."""
    for cart_id, item_id in session.execute(_UNKNOWN_ITEMS):
        yield Broken("cart", f"{cart_id[:8]}…", f"it holds item {item_id}, which there is not")


def _mails(session: Session) -> Iterator[Broken]:
    """Every purchase since there is an outbox has its receipt there."""
    for (number,) in session.execute(_WITHOUT_RECEIPT):
        yield Broken("order", number, "no mail was queued for it")


def _payments(session: Session) -> Iterator[Broken]:
    """An order is held exactly while its payment can come to something, and paid once it was."""
    for number, state, payment in session.execute(_PAYMENTS):
        yield Broken("order", number, f"it is {state}, and its payment is {payment}")


#: Those that are made.
CHECKS: tuple[Callable[[Session], Iterator[Broken]], ...] = (
    *(_items, _orders, _carts, _mails, _payments),
)

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


def _or_none(column: Any) -> Any:
    return func.coalesce(column, 0)


_ENTERED = ("left", "holding", "selling", "came_in", "till")
_COUNTS = select(
    *(Item.id, Item.sku, Item.available, Item.held, Item.sold),
    *(_or_none(_SUMS.c[name]).label(name) for name in _ENTERED),
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

_LINES_COME_TO = _or_none(func.sum(OrderLine.price))
_BESIDES = Order.shipping + case((Order.tax_kind == ADDED, Order.tax), else_=0)
_TAXES = _or_none(func.sum(OrderLine.tax)) + Order.shipping_tax
_PIECES = func.count(OrderLine.id)
_TOTALS = (
    select(Order.number, Order.total, Order.tax, _LINES_COME_TO.label("lines"))
    .add_columns(_BESIDES.label("besides"), _TAXES.label("taxes"), _PIECES.label("pieces"))
    .outerjoin(OrderLine, OrderLine.order_id == Order.id)
    .group_by(Order.id)
    .having(or_(_PIECES == 0, Order.total != _LINES_COME_TO + _BESIDES, Order.tax != _TAXES))
)
_LAST_STATE = (
    select(OrderChange.after)
    .where(OrderChange.order_id == Order.id, OrderChange.line_id.is_(None))
    .order_by(OrderChange.id.desc())
    .limit(1)
    .scalar_subquery()
)
_STATES = select(Order.number, Order.state, _LAST_STATE).where(
    _LAST_STATE.is_distinct_from(Order.state)
)
_OPEN_LINES = (
    select(Order.number, Order.state, OrderLine.sku)
    .join(OrderLine.order)
    .where(Order.state.in_((CANCELLED, RETURNED)), OrderLine.ended == "")
)
_ROW = aliased(OrderChange)
_ENDS_WITHOUT_ROW = (
    select(Order.number, OrderLine.sku, OrderLine.ended)
    .join(OrderLine.order)
    .outerjoin(
        _ROW,
        and_(
            _ROW.order_id == Order.id, _ROW.line_id == OrderLine.id, _ROW.after == OrderLine.ended
        ),
    )
    .where(OrderLine.ended != "", _ROW.id.is_(None))
)
# Orders of an earlier release have none.
_FIRST_RECEIPT = select(func.min(Mail.order_id)).where(Mail.kind == RECEIPT).scalar_subquery()
_WITHOUT_RECEIPT = (
    select(Order.number)
    .outerjoin(Mail, and_(Mail.order_id == Order.id, Mail.kind == RECEIPT))
    .where(Order.id > _FIRST_RECEIPT, Order.state.in_(SELLING), Mail.id.is_(None))
)
_IS_HELD = or_(*(Order.state == state for state in HOLDING))
_PAYMENTS = (
    select(Order.number, Order.state, func.coalesce(Payment.state, "none"))
    .outerjoin(Payment, Payment.order_id == Order.id)
    .where(
        or_(
            _IS_HELD & or_(Payment.state.is_(None), Payment.state.in_((PAID, ENDED))),
            ~_IS_HELD & Payment.state.in_(ACTIVE),
            (Order.state == EXPIRED) & Payment.state.is_distinct_from(ENDED),
            Order.state.in_(("paid", "fulfilled", "returned")) & (Payment.state == ENDED),
        )
    )
)
_UNKNOWN_ITEMS = (
    select(CartItem.cart_id, CartItem.item_id)
    .outerjoin(Item, Item.id == CartItem.item_id)
    .where(Item.id.is_(None))
)
