"""Holds: pairs off the shelf for an order that is being paid for, until a moment that all can see.

A hold lives exactly as long as its payment can still succeed. So what a shopper or an operator
asks for here only says that it is to end: the provider is asked next, and `settling` ends it.
"""

from __future__ import annotations

from sqlalchemy import bindparam, or_, select, update

from shop.changes import order_name
from shop.db import Transaction
from shop.db.clock import now_in_ms
from shop.models import CartEdit
from shop.models.cart_snapshot import NOT_STARTED
from shop.models.ledger import SHOP
from shop.models.order import Order
from shop.models.order_state import HELD, HOLDING, lock_order_id, record_state
from shop.models.payment import IS_ACTIVE, OPEN, Payment

#: By how much a hold is longer when a shopper asks for it, once: in milliseconds.
EXTENSION = 300_000


def extend(transaction: Transaction, order_id: int) -> bool:
    """Give a shopper five more minutes to pay, once.

    Returns:
        Whether the hold is longer now; not if it was made longer before, is over, or has not begun.
    """
    # First, as by all that change it: so nobody waits in a circle.
    lock_order_id(transaction, order_id)
    rows = transaction.execute(_EXTEND, {"of_order": order_id, "longer": EXTENSION})
    if not rows:
        return False
    record_state(transaction, order_id, HELD, HELD, who=SHOP, why="held for longer")
    cart = cart_with_hold(transaction, rows[0].cart_id)
    cart.save(cart.held)
    transaction.note(order_name(order_id))
    return True


def end_hold(transaction: Transaction, order_id: int, ending: str, *, who: str, why: str) -> bool:
    """Say that a hold is to end; the provider is asked first, and may answer that it was paid.

    Args:
        ending: `RELEASED` or `CANCELLED` of `shop.models.payment`.
        who: an operator's login name, or `shop`.

    Returns:
        False: it isn't held any more, or is ending already.
    """
    lock_order_id(transaction, order_id)
    values = {"of_order": order_id, "by_ending": ending, "by": who, "because": why}
    ended = bool(transaction.execute(_END, values))
    if ended:
        transaction.note(order_name(order_id))
    return ended


def cart_with_hold(
    transaction: Transaction, cart_id: str, otherwise: int | None = None
) -> CartEdit:
    """Open a cart with its hold as it is now, of several the last one; it is to be saved.

    Args:
        otherwise: what its hold is if nothing is held for it; see `shop.models.cart_snapshot`.
    """
    cart = CartEdit(transaction, cart_id)
    rows = transaction.execute(_HOLDS, {"of_carts": [cart_id, cart.id]})
    ends = [row.hold_ends or NOT_STARTED for row in rows]
    cart.hold = max(ends) if ends else otherwise
    return cart


# Made once: making a statement takes longer than running it.
_OF_ORDER = Payment.order_id == bindparam("of_order")
_IS_HELD = select(Order.id).where(Order.id == bindparam("of_order"), Order.state == HELD).exists()
_EXTEND = (
    update(Payment)
    .where(_OF_ORDER, Payment.state == OPEN, Payment.ending == "", ~Payment.extended, _IS_HELD)
    .where(Payment.hold_ends > now_in_ms())
    .values(
        hold_ends=Payment.hold_ends + bindparam("longer"),
        extended=True,
    )
    .returning(Payment.cart_id)
)
_END = (
    update(Payment)
    .where(_OF_ORDER, IS_ACTIVE, Payment.ending == "")
    .values(
        ending=bindparam("by_ending"),
        ended_by=bindparam("by"),
        ended_why=bindparam("because"),
        due=now_in_ms(),
        leased_until=0,
    )
    .returning(Payment.order_id)
)
_HOLDS = (
    select(Payment.hold_ends)
    .join(Order, Order.id == Payment.order_id)
    .where(Payment.cart_id.in_(bindparam("of_carts")))
    .where(IS_ACTIVE)
    .where(or_(*(Order.state == state for state in HOLDING)))
)
