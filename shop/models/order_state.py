"""The states of orders: the one place that says which may follow which.

    placed -> paid -> fulfilled -> returned          paid by hand
    held -> paid, expired, in_doubt                  paid while the pairs are held
    in_doubt -> paid, expired
    held, in_doubt, placed, paid -> cancelled

Each change is a row, written in the transaction that makes it. The database refuses other changes.
"""

from __future__ import annotations

import time

from sqlalchemy import BigInteger, ForeignKey, Integer, bindparam, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from shop.changes import order_name
from shop.db import Base, Transaction
from shop.models.order import Order, UnknownOrder, order_number

HELD, IN_DOUBT, PLACED, PAID = "held", "in_doubt", "placed", "paid"
FULFILLED, EXPIRED, CANCELLED, RETURNED = "fulfilled", "expired", "cancelled", "returned"

#: Which states may follow each.
FOLLOWING = {
    HELD: (PAID, EXPIRED, IN_DOUBT, CANCELLED),
    IN_DOUBT: (PAID, EXPIRED, CANCELLED),
    PLACED: (PAID, CANCELLED),
    PAID: (FULFILLED, CANCELLED),
    FULFILLED: (RETURNED,),
    EXPIRED: (),
    CANCELLED: (),
    RETURNED: (),
}

STATES = tuple(FOLLOWING)

#: In which the pairs of an order are held, and in which they are sold.
HOLDING = (HELD, IN_DOUBT)
SELLING = (PLACED, PAID, FULFILLED, RETURNED)


class WrongState(Exception):
    """What was asked for can't be done to an order in its state; nothing was changed."""

    def __init__(self, state: str, wanted: str) -> None:
        super().__init__(state, wanted)
        self.state = state
        #: the state that it was to come to
        self.wanted = wanted


class OrderChange(Base):
    """One change of an order's state, or the end of one of its lines."""

    __tablename__ = "order_changes"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    #: the line that was cancelled or returned; None: the order's state changed
    line_id: Mapped[int | None] = mapped_column(ForeignKey("order_lines.id"))
    #: milliseconds since 1970, UTC
    at: Mapped[int] = mapped_column(BigInteger)
    #: an operator's login name, or `shop`
    who: Mapped[str]
    #: None: it was made
    before: Mapped[str | None]
    after: Mapped[str]
    why: Mapped[str]


def record_state(
    transaction: Transaction,
    order_id: int,
    before: str | None,
    after: str,
    *,
    who: str,
    why: str = "",
    line_id: int | None = None,
) -> None:
    """Write a change of an order's state, or of one of its lines, that this transaction made."""
    row = {"order_id": order_id, "line_id": line_id, "before": before, "after": after}
    transaction.execute(_RECORD, {**row, "who": who, "why": why, "at": int(time.time() * 1000)})


def lock_order(transaction: Transaction, number: str) -> tuple[int, str]:
    """Return the id and the state of an order that nobody else changes until this is committed.

    Raises:
        UnknownOrder: there is none with this number, however written.
    """
    for order_id, state in transaction.execute(_LOCK, {"named": order_number(number)}):
        return order_id, state
    raise UnknownOrder(number)


def lock_order_id(transaction: Transaction, order_id: int) -> str:
    """Return the state of an order that nobody else changes until this is committed; see above."""
    ((state,),) = transaction.execute(_LOCK_ID, {"of_order": order_id})
    return str(state)


def change_state(
    transaction: Transaction, order_id: int, before: str, after: str, *, who: str, why: str = ""
) -> bool:
    """Bring an order that this transaction has locked to another state, as its tabs will show.

    Counts are no part of it: see `order_edit`.

    Returns:
        Whether anything changed; not if the order is in that state.

    Raises:
        WrongState: this state can't follow the one that it is in.
    """
    if before == after:
        return False
    if after not in FOLLOWING[before]:
        raise WrongState(before, after)
    transaction.execute(_CHANGE, {"changed": order_id, "wanted": after})
    record_state(transaction, order_id, before, after, who=who, why=why)
    transaction.note(order_name(order_id))
    return True


# Made once: making a statement takes longer than running it.
_RECORD = insert(OrderChange)
_LOCK = select(Order.id, Order.state).where(Order.number == bindparam("named")).with_for_update()
_LOCK_ID = select(Order.state).where(Order.id == bindparam("of_order")).with_for_update()
_CHANGE = update(Order).where(Order.id == bindparam("changed")).values(state=bindparam("wanted"))
