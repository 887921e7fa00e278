"""Whether the books are right: counts, ledger, orders and carts against one another.

A check is a question that finds broken rows, and what is said of each. Add one to `CHECKS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from shop.costs import ADDED
from shop.models.cart_record import CartItem
from shop.models.catalog import Item
from shop.models.item_books import Broken, find_broken_items
from shop.models.mail import RECEIPT, Mail
from shop.models.order import Order, OrderLine
from shop.models.order_state import (
    CANCELLED,
    EXPIRED,
    HOLDING,
    RETURNED,
    SELLING,
    OrderChange,
)
from shop.models.payment import ACTIVE, ENDED, PAID, Payment

__all__ = ["Broken", "find_broken"]


def find_broken(session: Session) -> Iterator[Broken]:
    """Read the books and give each row that is broken."""
    for check in CHECKS:
        yield from check(session)


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
    *(find_broken_items, _orders, _carts, _mails, _payments),
)

_LINES_COME_TO = func.coalesce(func.sum(OrderLine.price), 0)
_BESIDES = Order.shipping + case((Order.tax_kind == ADDED, Order.tax), else_=0)
_TAXES = func.coalesce(func.sum(OrderLine.tax), 0) + Order.shipping_tax
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
