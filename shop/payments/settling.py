"""The one place where an order becomes paid, or its hold ends: by what the provider says.

Whatever tells of a payment (a webhook, the shopper who comes back, the turn of the queue) comes
here, as often as it likes and at once. No message is believed: a session is what the provider
answered when it was asked, and is compared with the order.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, case, select, update

from shop.db import Transaction
from shop.db.clock import now_in_ms
from shop.models.cart import Cart
from shop.models.cart_snapshot import LAPSED
from shop.models.ledger import RELEASE, SALE, SHOP, Cause, Shift
from shop.models.mail import queue_receipt
from shop.models.order import Order, OrderLine
from shop.models.order_edit import end_lines
from shop.models.order_state import (
    CANCELLED,
    EXPIRED,
    HELD,
    IN_DOUBT,
    PAID,
    change_state,
    lock_order_id,
    record_state,
)
from shop.models.payment import ACTIVE, DEADLINE, ENDED, NO_PAGE, OPEN, PENDING, WAITING, Payment
from shop.models.payment import CANCELLED as CANCELLING
from shop.models.payment import PAID as HAS_PAID
from shop.models.stock import move
from shop.payments.holds import cart_with_hold
from shop.payments.provider import PaymentSession

log = logging.getLogger(__name__)


class Times(NamedTuple):
    """How long pairs are held, and how often an open payment is looked at, in milliseconds."""

    hold: int
    every: int


class Mismatch(Exception):
    """A session is not what its order asked for."""


class _Known(NamedTuple):
    """A payment as the shop's books have it, with its order's facts."""

    order_id: int
    number: str
    total: int
    currency: str
    state: str
    cart_id: str
    live: bool
    payment: str
    session_id: str | None
    ending: str
    who: str
    why: str


def settle(transaction: Transaction, order_id: int, session: PaymentSession, times: Times) -> None:
    """Bring an order to what the provider says of its payment; twice is the same as once.

    Raises:
        Mismatch: the session is another order's, of another amount or currency, or in another mode.
    """
    known = _lock(transaction, order_id)
    if known.payment not in ACTIVE:
        if session.state == "paid" and known.payment == ENDED:
            log.error("order %s is over, and was paid: see check --provider", known.number)
        return
    _compare(known, session)
    if session.state == "open":
        _page_is_open(transaction, known, session, times)
    elif session.state == "pending":
        _money_is_coming(transaction, known, session, times)
    elif session.state == "paid":
        _paid(transaction, known, session)
    else:
        _end(transaction, known)


def end(transaction: Transaction, order_id: int) -> None:
    """End a hold of which there is no page that anybody could pay on."""
    known = _lock(transaction, order_id)
    if known.payment in ACTIVE:
        _end(transaction, known)


def _end(transaction: Transaction, known: _Known) -> None:
    order_id = known.order_id
    transaction.execute(_END, {"of_order": order_id, "by_ending": known.ending or DEADLINE})
    cancelled = known.ending == CANCELLING
    who, why = known.who or SHOP, known.why or "not paid in time"
    wanted = CANCELLED if cancelled else EXPIRED
    change_state(transaction, order_id, known.state, wanted, who=who, why=why)
    lines = _lines(transaction, order_id)
    item_ids = [line.item_id for line in lines]
    if cancelled:
        end_lines(transaction, order_id, lines, CANCELLED, who=who, why=why)
    # The cart before the items, as in a purchase: nobody waits in a circle.
    lapsed = known.ending in ("", DEADLINE, NO_PAGE)
    cart = cart_with_hold(transaction, known.cart_id, LAPSED if lapsed else None)
    back = frozenset(item_ids) if lapsed else frozenset()
    cart.save(cart.held.merge(Cart(back)))
    move(transaction, item_ids, Shift(left=1, held=-1), Cause(RELEASE, order_id, why, who))


def doubt(transaction: Transaction, order_id: int, why: str) -> None:
    """Note that nobody knows whether an order can still be paid: its pairs stay held."""
    known = _lock(transaction, order_id)
    if known.payment in ACTIVE and known.state == HELD:
        change_state(transaction, known.order_id, HELD, IN_DOUBT, who=SHOP, why=why)


def _lock(transaction: Transaction, order_id: int) -> _Known:
    """Return what is known, the order locked before the payment."""
    lock_order_id(transaction, order_id)
    (row,) = transaction.execute(_KNOWN, {"of_order": order_id})
    return _Known(*row)


def _compare(known: _Known, session: PaymentSession) -> None:
    asked = (known.number, known.total, known.currency, known.live)
    given = (session.number, session.amount, session.currency, session.live)
    if known.session_id not in (None, session.id):
        raise Mismatch(f"order {known.number} has another session than {session.id}")
    if asked != given:
        raise Mismatch(f"order {known.number}: {asked} was asked for, the provider says {given}")


def _page_is_open(
    transaction: Transaction, known: _Known, session: PaymentSession, times: Times
) -> None:
    """Give the page's address; the hold's clock starts when it is there, and never again."""
    values = {"of_order": known.order_id, "session": session.id, "address": session.url}
    if known.payment != WAITING or known.ending:
        transaction.execute(_STILL_OPEN, {**values, "every": times.every})
        return
    first_check = min(times.every, times.hold)
    transaction.execute(_OPENED, {**values, "hold": times.hold, "first_check": first_check})
    record_state(transaction, known.order_id, HELD, HELD, who=SHOP, why="the payment page is open")
    _show(transaction, known)


def _money_is_coming(
    transaction: Transaction, known: _Known, session: PaymentSession, times: Times
) -> None:
    values = {"of_order": known.order_id, "session": session.id, "every": times.every}
    transaction.execute(_PENDING, values)
    if known.state == HELD:
        why = "the money is on its way"
        change_state(transaction, known.order_id, HELD, IN_DOUBT, who=SHOP, why=why)


def _paid(transaction: Transaction, known: _Known, session: PaymentSession) -> None:
    values = {"of_order": known.order_id, "session": session.id, "named": session.payment}
    transaction.execute(_PAID, values)
    why = "the provider has the money"
    change_state(transaction, known.order_id, known.state, PAID, who=SHOP, why=why)
    _show(transaction, known)
    item_ids = [line.item_id for line in _lines(transaction, known.order_id)]
    move(transaction, item_ids, Shift(held=-1, sold=1), Cause(SALE, known.order_id))
    queue_receipt(transaction, known.order_id)


def _show(transaction: Transaction, known: _Known) -> None:
    """Have all tabs of the cart show what is held."""
    cart = cart_with_hold(transaction, known.cart_id)
    cart.save(cart.held)


def _lines(transaction: Transaction, order_id: int) -> Sequence[Any]:
    """Return what of an order has not ended."""
    return transaction.execute(_LINES, {"of_order": order_id})


# Made once: making a statement takes longer than running it.
_OF_ORDER = Payment.order_id == bindparam("of_order")
_KNOWN = (
    select(
        *(Order.id, Order.number, Order.total, Order.currency, Order.state),
        *(Payment.cart_id, Payment.live, Payment.state.label("payment"), Payment.session_id),
        *(Payment.ending, Payment.ended_by, Payment.ended_why),
    )
    .join(Order, Order.id == Payment.order_id)
    .where(_OF_ORDER)
    .with_for_update(of=Payment)
)
_LINES = (
    select(OrderLine.id, OrderLine.item_id)
    .where(OrderLine.order_id == bindparam("of_order"), OrderLine.ended == "")
    .order_by(OrderLine.item_id)
)
_NEXT_CHECK = now_in_ms() + bindparam("every")
_CALLED = {"session_id": bindparam("session"), "failures": 0, "error": "", "leased_until": 0}
_OPENED = (
    update(Payment)
    .where(_OF_ORDER)
    .values(
        **_CALLED,
        state=OPEN,
        url=bindparam("address"),
        hold_ends=now_in_ms() + bindparam("hold"),
        due=now_in_ms() + bindparam("first_check"),
    )
)
# One that is to end is looked at again at once, and else not later than its hold ends.
_STILL_OPEN = (
    update(Payment)
    .where(_OF_ORDER)
    .values(
        **_CALLED,
        state=case((Payment.state == WAITING, OPEN), else_=Payment.state),
        url=bindparam("address"),
        due=case(
            (Payment.ending != "", now_in_ms()),
            (Payment.hold_ends < _NEXT_CHECK, Payment.hold_ends),
            else_=_NEXT_CHECK,
        ),
    )
)
_PENDING = update(Payment).where(_OF_ORDER).values(**_CALLED, state=PENDING, due=_NEXT_CHECK)
_PAID = (
    update(Payment)
    .where(_OF_ORDER)
    .values(**_CALLED, state=HAS_PAID, url=None, reference=bindparam("named"))
)
_END = (
    update(Payment)
    .where(_OF_ORDER)
    .values(state=ENDED, url=None, ending=bindparam("by_ending"), leased_until=0)
)
