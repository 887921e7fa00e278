"""What is paid through a provider: one payment for each order, and when it is looked at next.

A payment goes through these states, and the database keeps the last two as they are:

    waiting     its payment page is not there yet
    open        it can be paid
    pending     the shopper has paid, the money is on its way
    paid        the money is there
    ended       it can't be paid any more, and never was

Moments are milliseconds since 1970, by the database's clock.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    ForeignKey,
    bindparam,
    case,
    false,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base, Database, Transaction
from shop.db.clock import now_in_ms
from shop.models.order import Order

WAITING, OPEN, PENDING, PAID, ENDED = "waiting", "open", "pending", "paid", "ended"

#: The states in which it is looked at, again and again.
ACTIVE = (WAITING, OPEN, PENDING)

#: Whether it is looked at, as the index says it.
IS_ACTIVE: ColumnElement[bool] = literal_column(
    f"payments.state IN ({', '.join(map(repr, ACTIVE))})", Boolean
)

#: Why a payment is to end before it was paid.
DEADLINE, RELEASED, CANCELLED, NO_PAGE = "deadline", "released", "cancelled", "no page"


class Payment(Base):
    """The payment of an order through a provider."""

    __tablename__ = "payments"

    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True)
    #: the cart that the order was bought from: what it held is put there again if it isn't paid
    cart_id: Mapped[str]
    provider: Mapped[str]
    #: whether real money moves
    live: Mapped[bool]
    state: Mapped[str] = mapped_column(server_default=WAITING)
    #: which try to open a page this is; 0: the provider was never asked to
    attempt: Mapped[int] = mapped_column(server_default="0")
    #: until when one can pay on that page, in seconds since 1970
    lasts_until: Mapped[int] = mapped_column(BigInteger, server_default="0")
    #: how many calls came to nothing, one after another, and what the last of them failed by
    failures: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str] = mapped_column(server_default="")
    session_id: Mapped[str | None] = mapped_column(unique=True)
    url: Mapped[str | None]
    #: by what the provider names the money
    reference: Mapped[str | None]
    #: None: the clock starts when the page is there
    hold_ends: Mapped[int | None] = mapped_column(BigInteger)
    extended: Mapped[bool] = mapped_column(server_default=false())
    #: empty, or why it is to end; and who wants that, and what for
    ending: Mapped[str] = mapped_column(server_default="")
    ended_by: Mapped[str] = mapped_column(server_default="")
    ended_why: Mapped[str] = mapped_column(server_default="")
    #: when it is looked at next
    due: Mapped[int] = mapped_column(BigInteger)
    #: until when one process has it in hand
    leased_until: Mapped[int] = mapped_column(BigInteger, server_default="0")


class PaymentMessage(Base):
    """A message of a provider that was taken."""

    __tablename__ = "payment_messages"

    id: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[int] = mapped_column(BigInteger)


class PaymentPace(Base):
    """When the provider may be called next, by what for."""

    __tablename__ = "payment_pace"

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
    state: str
    attempt: int
    lasts_until: int
    failures: int
    session_id: str | None
    hold_ends: int | None
    ending: str
    #: when it was taken
    now: int


def start_payment(
    transaction: Transaction, order_id: int, cart_id: str, provider: str, *, live: bool
) -> None:
    """Write down that an order is to be paid through a provider; it is looked at at once."""
    values = {"of_order": order_id, "of_cart": cart_id, "by": provider, "is_live": live}
    transaction.execute(_START, values)


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


def look_later(transaction: Transaction, order_id: int, delay: int, error: str) -> None:
    """Put a payment down after a call that came to nothing, to be looked at again.

    Args:
        delay: in milliseconds.
        error: what the call failed by.
    """
    transaction.execute(_LATER, {"of_order": order_id, "delay": delay, "error": error})


def look_now(transaction: Transaction, session_id: str) -> int | None:
    """Have the payment of a session looked at at once; return its order, if there is one."""
    rows = transaction.execute(_LOOK_NOW, {"session": session_id})
    return rows[0].order_id if rows else None


def is_new_message(transaction: Transaction, message_id: str) -> bool:
    """Note a message of a provider; False: it was taken before."""
    return bool(transaction.execute(_TAKE_MESSAGE, {"message": message_id}))


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
_OF_THESE = Payment.order_id.in_(bindparam("ids", expanding=True))
_START = insert(Payment).values(
    order_id=bindparam("of_order"),
    cart_id=bindparam("of_cart"),
    provider=bindparam("by"),
    live=bindparam("is_live"),
    due=_NOW,
)
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
        *(Payment.state, Payment.attempt, Payment.lasts_until, Payment.failures),
        *(Payment.session_id, Payment.hold_ends, Payment.ending, _NOW),
    )
    .join(Order, Order.id == Payment.order_id)
    .where(_OF_THESE)
)
_FREE_AT = case(
    (Payment.hold_ends <= _NOW, Payment.due),
    (Payment.leased_until > Payment.due, Payment.leased_until),
    else_=Payment.due,
)
_OUTLOOK = select(_NOW, func.min(_FREE_AT), func.count()).where(IS_ACTIVE, _BY)
_UNTIL = _NOW / 1000 + bindparam("lasts")
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
_LOOK_NOW = (
    update(Payment)
    .where(Payment.session_id == bindparam("session"), IS_ACTIVE)
    .values(due=_NOW)
    .returning(Payment.order_id)
    .execution_options(synchronize_session=False)
)
_TAKE_MESSAGE = (
    insert_or_not(PaymentMessage)
    .values(id=bindparam("message"), at=_NOW)
    .on_conflict_do_nothing(index_elements=["id"])
    .returning(PaymentMessage.id)
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
    .execution_options(synchronize_session=False)
)
