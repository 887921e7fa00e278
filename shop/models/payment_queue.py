"""The payments that are due: taken by one process for a while, and put down again.

Moments are milliseconds since 1970, by the database's clock.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import BigInteger, bindparam, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base, Database, Transaction
from shop.db.clock import now_in_ms
from shop.models.order import Order
from shop.models.payment import IS_ACTIVE, Payment


class PaymentPace(Base):
    """When the provider may be called next, by what for."""

    __tablename__ = "payment_pace"
    __table_args__ = {"info": {"of_the_moment": True}}  # noqa: RUF012

    call: Mapped[str] = mapped_column(primary_key=True)
    free_at: Mapped[int] = mapped_column(BigInteger)


class DuePayment(NamedTuple):
    """A payment that this process has in hand, as it was when it took it."""

    order_id: int
    number: str
    token: str
    email: str
    total: int
    currency: str
    attempt: int
    lasts_until: int
    failures: int
    session_id: str | None
    hold_ends: int | None
    ending: str
    #: when it was taken
    now: int


def take_due(
    transaction: Transaction, provider: str, most: int, lease: int, lasts: int
) -> list[DuePayment]:
    """Take the payments that are to be looked at, the longest due first.

    Nobody else takes one until its lease is over, or its hold: a process may have died with it.

    Args:
        most: how many at the most.
        lease: in milliseconds.
        lasts: for how long one is to be able to pay on a page that is opened now, in seconds.
    """
    due = transaction.execute(_DUE, {"by": provider, "most": most})
    if not due:
        return []
    ids = [row.order_id for row in due]
    transaction.execute(_LEASE, {"ids": ids, "lease": lease})
    transaction.execute(_FIRST_ATTEMPT, {"ids": ids, "lasts": lasts})
    return [DuePayment(*row) for row in transaction.execute(_TAKEN, {"ids": ids})]


def take_one(transaction: Transaction, order_id: int, lasts: int) -> list[DuePayment]:
    """Take the payment of an order, whoever has it in hand; see `take_due`."""
    transaction.execute(_FIRST_ATTEMPT, {"ids": [order_id], "lasts": lasts})
    rows = transaction.execute(_TAKEN, {"ids": [order_id]})
    return [DuePayment(*row) for row in rows]


class Outlook(NamedTuple):
    """What there is to look at."""

    #: the database's time
    now: int
    #: when the next payment is due that nobody has in hand; None: there is none
    due: int | None
    #: how many are looked at, again and again
    active: int


def read_outlook(database: Database, provider: str) -> Outlook:
    """Return what there is to look at of the payments through a provider."""
    (row,) = database.rows(_OUTLOOK, {"by": provider})
    return Outlook(*row)


def try_again(transaction: Transaction, order_id: int, lasts: int, error: str) -> None:
    """Have a page asked for under another name, as the provider says no to this one for good.

    Args:
        lasts: for how long one is to be able to pay on it, in seconds.
        error: what the provider said.
    """
    transaction.execute(_NEXT_ATTEMPT, {"of_order": order_id, "lasts": lasts, "error": error})


def check_later(transaction: Transaction, order_id: int, delay: int, error: str) -> None:
    """Put a payment down after a call that came to nothing, to be looked at again.

    Args:
        delay: in milliseconds.
        error: what the call failed by.
    """
    transaction.execute(_LATER, {"of_order": order_id, "delay": delay, "error": error})


def reserve_calls(transaction: Transaction, call: str, count: int, apart: int) -> int:
    """Reserve some calls of a kind for this process, of all that all processes may make.

    Args:
        apart: milliseconds between two of them.

    Returns:
        In how many milliseconds the first one may be made.
    """
    transaction.execute(_MAKE_PACE, {"kind": call})
    values = {"kind": call, "span": count * apart}
    ((free_at, now),) = transaction.execute(_RESERVE, values)
    return max(0, int(free_at - count * apart - now))


# Made once: making a statement takes longer than running it.
_NOW = now_in_ms()
_OF_ORDER = Payment.order_id == bindparam("of_order")
_OF_THESE = Payment.order_id.in_(bindparam("ids"))
_BY = Payment.provider == bindparam("by")
_DUE = (
    select(Payment.order_id)
    .where(IS_ACTIVE, _BY, Payment.due <= _NOW)
    .where(or_(Payment.leased_until <= _NOW, Payment.hold_ends <= _NOW))
    .order_by(Payment.due)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
# Not beyond the end of its hold: the pairs are not to wait for a process that died.
_LEASE = (
    update(Payment)
    .where(_OF_THESE)
    .values(
        leased_until=case(
            (
                (Payment.hold_ends > _NOW) & (Payment.hold_ends < _NOW + bindparam("lease")),
                Payment.hold_ends,
            ),
            else_=_NOW + bindparam("lease"),
        )
    )
)
_TAKEN = (
    select(
        *(Order.id, Order.number, Order.token, Order.email, Order.total, Order.currency),
        *(Payment.attempt, Payment.lasts_until, Payment.failures),
        *(Payment.session_id, Payment.hold_ends, Payment.ending, _NOW),
    )
    .join(Order, Order.id == Payment.order_id)
    .where(_OF_THESE, IS_ACTIVE)
)
_FREE_AT = case(
    (Payment.hold_ends <= _NOW, Payment.due),
    (Payment.leased_until > Payment.due, Payment.leased_until),
    else_=Payment.due,
)
_OUTLOOK = select(_NOW, func.min(_FREE_AT), func.count()).where(IS_ACTIVE, _BY)
_UNTIL = _NOW // 1000 + bindparam("lasts")
# Before the first call of all: who ends it later knows whether there can be a page.
_FIRST_ATTEMPT = (
    update(Payment)
    .where(_OF_THESE, Payment.attempt == 0, Payment.ending == "")
    .values(attempt=1, lasts_until=_UNTIL)
)
_NEXT_ATTEMPT = (
    update(Payment)
    .where(_OF_ORDER, IS_ACTIVE)
    .values(
        attempt=Payment.attempt + 1,
        lasts_until=_UNTIL,
        due=_NOW + 1000,
        leased_until=0,
        error=bindparam("error"),
    )
)
_LATER = (
    update(Payment)
    .where(_OF_ORDER, IS_ACTIVE)
    .values(
        due=_NOW + bindparam("delay"),
        leased_until=0,
        failures=Payment.failures + 1,
        error=bindparam("error"),
    )
)
_MAKE_PACE = (
    insert_or_not(PaymentPace)
    .values(call=bindparam("kind"), free_at=0)
    .on_conflict_do_nothing(index_elements=["call"])
)
_RESERVE = (
    update(PaymentPace)
    .where(PaymentPace.call == bindparam("kind"))
    .values(
        free_at=case((PaymentPace.free_at > _NOW, PaymentPace.free_at), else_=_NOW)
        + bindparam("span")
    )
    .returning(PaymentPace.free_at, _NOW)
)
