"""What operators do to orders: paid, shipped, cancelled and returned, each by a line or as a whole.

Everything done twice changes nothing. What goes back on the shelf is in the ledger with its cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update

from shop.changes import order_name
from shop.db import Transaction
from shop.models.ledger import CANCELLATION, CORRECTION, RETURN, Cause, Shift
from shop.models.order import LINE_COST, Order, OrderLine
from shop.models.order_state import (
    CANCELLED,
    FULFILLED,
    HOLDING,
    PAID,
    PLACED,
    RETURNED,
    WrongState,
    change_state,
    lock_order,
    record_state,
)
from shop.models.refund import is_being_refunded
from shop.models.stock import move


class NotInOrder(LookupError):
    """The order has no line with this sku."""


@dataclass(frozen=True, slots=True)
class GivingBack:
    """What is to come back of an order, and why."""

    #: of which lines; none: of all
    skus: Sequence[str]
    why: str
    #: an operator's login name
    who: str
    #: whether the pairs can be sold again
    restock: bool = True


@dataclass(frozen=True, slots=True)
class Way:
    """A way in which lines end."""

    end: str
    kind: str
    possible: tuple[str, ...]


CANCELLING = Way(CANCELLED, CANCELLATION, (PLACED, PAID))
RETURNING = Way(RETURNED, RETURN, (FULFILLED,))


class StillHeld(Exception):
    """The order is being paid for: the provider is to be asked first; see `shop.payments`."""

    def __init__(self, order_id: int) -> None:
        super().__init__(order_id)
        self.order_id = order_id


class BeingRefunded(Exception):
    """The order is being paid back: it is not shipped meanwhile."""


class Ending(NamedTuple):
    """What is to end of an order that this transaction has locked."""

    order_id: int
    state: str
    lines: list[Any]
    #: whether nothing is left of it then
    is_all: bool


def mark_paid(transaction: Transaction, number: str, who: str) -> bool:
    """Note that an order was paid by hand; return whether it wasn't before.

    Raises:
        UnknownOrder, WrongState: see `order_state`.
        StillHeld: it is being paid for, and becomes paid by that alone.
    """
    order_id, state = lock_order(transaction, number)
    if state in HOLDING:
        raise StillHeld(order_id)
    return change_state(transaction, order_id, state, PAID, who=who)


def fulfil(transaction: Transaction, number: str, who: str, tracking: str = "") -> bool:
    """Note that an order was shipped.

    Args:
        tracking: what the carrier calls the parcel; "" leaves what was said before.

    Returns:
        Whether anything changed.

    Raises:
        UnknownOrder, WrongState: see `order_state`.
        BeingRefunded: it is being paid back.
    """
    order_id, state = lock_order(transaction, number)
    if is_being_refunded(transaction, order_id):
        raise BeingRefunded(number)
    changed = change_state(transaction, order_id, state, FULFILLED, who=who, why=tracking)
    if tracking:
        values = {"shipped": order_id, "parcel": tracking}
        if transaction.execute(_TRACK, values) and not changed:
            record_state(transaction, order_id, FULFILLED, FULFILLED, who=who, why=tracking)
            changed = True
        transaction.note(order_name(order_id))
    return changed


def give_back(transaction: Transaction, number: str, wanted: GivingBack, way: Way) -> list[str]:
    """Cancel an order that was not shipped, or take one back that was; or some lines of it.

    What was paid through a provider is paid back before that: see `shop.payments.refunding`.

    Args:
        way: `CANCELLING` or `RETURNING`.

    Returns:
        The skus of the lines that ended; none if all that was asked for had ended before.

    Raises:
        UnknownOrder: there is none with this number.
        NotInOrder: it has no line with one of the skus.
        WrongState: it can't end like this.
        StillHeld: it is being paid for.
    """
    order_id, state, lines, is_all = ending_lines(transaction, number, wanted, way)
    end_lines(transaction, order_id, lines, way.end, who=wanted.who, why=wanted.why)
    if lines:
        _put_back(transaction, order_id, [line.item_id for line in lines], wanted, way)
    if is_all and lines:
        change_state(transaction, order_id, state, way.end, who=wanted.who, why=wanted.why)
    transaction.note(order_name(order_id))
    return [line.sku for line in lines]


def end_lines(
    transaction: Transaction, order_id: int, lines: Iterable[Any], end: str, *, who: str, why: str
) -> None:
    """Write down that lines of an order ended, each with its row; counts are no part of it."""
    for line in lines:
        transaction.execute(_END_LINE, {"ended_line": line.id, "end": end})
        record_state(transaction, order_id, None, end, who=who, why=why, line_id=line.id)


def ending_lines(transaction: Transaction, number: str, wanted: GivingBack, way: Way) -> Ending:
    """Lock an order, and return what of it is to end; see `give_back`."""
    order_id, state = lock_order(transaction, number)
    lines = transaction.execute(_LINES, {"of_order": order_id})
    chosen = _chosen(lines, wanted.skus)
    ending = [line for line in chosen if not line.ended]
    if not ending and (state == way.end or wanted.skus):
        return Ending(order_id, state, [], False)
    if state in HOLDING and way is CANCELLING:
        raise StillHeld(order_id)
    if state not in way.possible:
        raise WrongState(state, way.end)
    is_all = all(line.ended or line in ending for line in lines)
    return Ending(order_id, state, ending, is_all)


def _chosen(lines: Sequence[Any], skus: Sequence[str]) -> list[Any]:
    if not skus:
        return list(lines)
    by_sku = {line.sku.casefold(): line for line in lines}
    missing = [sku for sku in skus if sku.casefold() not in by_sku]
    if missing:
        raise NotInOrder(missing[0])
    return list({sku.casefold(): by_sku[sku.casefold()] for sku in skus}.values())


def _put_back(
    transaction: Transaction, order_id: int, item_ids: list[int], wanted: GivingBack, way: Way
) -> None:
    """Put pairs back on the shelf; those that can't be sold again are written off at once."""
    kind, back = way.kind, Shift(left=1, sold=-1)
    if not wanted.restock:
        kind, back = CORRECTION, Shift(sold=-1)
    move(transaction, item_ids, back, Cause(kind, order_id, wanted.why, wanted.who))


# Made once: making a statement takes longer than running it.
_LINES = (
    select(OrderLine.id, OrderLine.item_id, OrderLine.sku, OrderLine.ended)
    .add_columns(LINE_COST.label("cost"))
    .join(Order, Order.id == OrderLine.order_id)
    .where(OrderLine.order_id == bindparam("of_order"))
    .order_by(OrderLine.item_id)
)
_END_LINE = (
    update(OrderLine).where(OrderLine.id == bindparam("ended_line")).values(ended=bindparam("end"))
)
_TRACK = (
    update(Order)
    .where(Order.id == bindparam("shipped"), Order.tracking != bindparam("parcel"))
    .values(tracking=bindparam("parcel"))
    .returning(Order.id)
)
