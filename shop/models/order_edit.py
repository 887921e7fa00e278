"""What operators do to orders: paid, shipped, cancelled and returned, each by a line or as a whole.

Everything done twice changes nothing. What goes back on the shelf is in the ledger with its cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, update

from shop.changes import order_name
from shop.db import Transaction
from shop.models.ledger import CANCELLATION, CORRECTION, RELEASE, RETURN, Cause, Shift
from shop.models.order import Order, OrderLine
from shop.models.order_state import (
    CANCELLED,
    FULFILLED,
    HELD,
    PAID,
    PLACED,
    RETURNED,
    WrongState,
    change_state,
    lock_order,
    record_state,
)
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
class _Way:
    """A way in which lines end."""

    end: str
    kind: str
    possible: tuple[str, ...]


_CANCELLING = _Way(CANCELLED, CANCELLATION, (HELD, PLACED, PAID))
_RETURNING = _Way(RETURNED, RETURN, (FULFILLED,))


def mark_paid(transaction: Transaction, number: str, who: str) -> bool:
    """Note that an order was paid by hand; see `change_state`."""
    return change_state(transaction, number, PAID, who=who)


def fulfil(transaction: Transaction, number: str, who: str, tracking: str = "") -> bool:
    """Note that an order was shipped.

    Args:
        tracking: what the carrier calls the parcel; "" leaves what was said before.

    Returns:
        Whether anything changed.

    Raises:
        UnknownOrder, WrongState: see `change_state`.
    """
    changed = change_state(transaction, number, FULFILLED, who=who, why=tracking)
    if tracking:
        order_id, _ = lock_order(transaction, number)
        values = {"shipped": order_id, "parcel": tracking}
        if transaction.execute(_TRACK, values) and not changed:
            record_state(transaction, order_id, FULFILLED, FULFILLED, who=who, why=tracking)
            changed = True
        transaction.note(order_name(order_id))
    return changed


def cancel(transaction: Transaction, number: str, wanted: GivingBack) -> list[str]:
    """Cancel an order that was not shipped, or some lines of it.

    Returns:
        The skus of the lines that ended; none if all that was asked for had ended before.

    Raises:
        UnknownOrder: there is none with this number.
        NotInOrder: it has no line with one of the skus.
        WrongState: it was shipped, or ended otherwise.
    """
    return _give_back(transaction, number, wanted, _CANCELLING)


def take_back(transaction: Transaction, number: str, wanted: GivingBack) -> list[str]:
    """Take an order that was shipped back, or some lines of it; see `cancel`."""
    return _give_back(transaction, number, wanted, _RETURNING)


def _give_back(transaction: Transaction, number: str, wanted: GivingBack, way: _Way) -> list[str]:
    order_id, state = lock_order(transaction, number)
    lines = transaction.execute(_LINES, {"of_order": order_id})
    chosen = _chosen(lines, wanted.skus)
    ending = [line for line in chosen if not line.ended]
    if not ending and (state == way.end or wanted.skus):
        return []
    if state not in way.possible:
        raise WrongState(number, state, way.end)
    for line in ending:
        transaction.execute(_END_LINE, {"ended_line": line.id, "end": way.end})
        record_state(
            *(transaction, order_id, None, way.end),
            who=wanted.who, why=wanted.why, line_id=line.id,
        )  # fmt: skip
    _put_back(transaction, order_id, state, [line.item_id for line in ending], wanted, way)
    if all(line.ended or line in ending for line in lines):
        change_state(transaction, number, way.end, who=wanted.who, why=wanted.why)
    transaction.note(order_name(order_id))
    return [line.sku for line in ending]


def _chosen(lines: Sequence[Any], skus: Sequence[str]) -> list[Any]:
    if not skus:
        return list(lines)
    by_sku = {line.sku.casefold(): line for line in lines}
    missing = [sku for sku in skus if sku.casefold() not in by_sku]
    if missing:
        raise NotInOrder(missing[0])
    return list({sku.casefold(): by_sku[sku.casefold()] for sku in skus}.values())


def _put_back(
    transaction: Transaction,
    order_id: int,
    state: str,
    item_ids: list[int],
    wanted: GivingBack,
    way: _Way,
) -> None:
    """Put pairs back on the shelf; those that can't be sold again are written off at once."""
    held = state == HELD
    kind = RELEASE if held else way.kind
    cause = Cause(kind, order_id, wanted.why, wanted.who)
    back = Shift(left=1, held=-1 if held else 0, sold=0 if held else -1)
    if wanted.restock:
        move(transaction, item_ids, back, cause)
        return
    lost = Shift(held=back.held, sold=back.sold)
    move(transaction, item_ids, lost, Cause(CORRECTION, order_id, wanted.why, wanted.who))


# Made once: making a statement takes longer than running it.
_LINES = (
    select(OrderLine.id, OrderLine.item_id, OrderLine.sku, OrderLine.ended)
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
    .execution_options(synchronize_session=False)
)
