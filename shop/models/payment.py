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

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    ForeignKey,
    bindparam,
    false,
    insert,
    literal_column,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.orm import Mapped, mapped_column

from shop.changes import order_name
from shop.db import Base, Transaction
from shop.db.clock import now_in_ms

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


def start_payment(
    transaction: Transaction, order_id: int, cart_id: str, provider: str, *, live: bool
) -> None:
    """Write down that an order is to be paid through a provider; it is looked at at once."""
    values = {"of_order": order_id, "of_cart": cart_id, "by": provider, "is_live": live}
    transaction.execute(_START, values)


def check_now(transaction: Transaction, session_id: str) -> None:
    """Have the payment of a session looked at at once, if there is one that isn't over."""
    for (order_id,) in transaction.execute(_CHECK_NOW, {"session": session_id}):
        transaction.note(order_name(order_id))


def is_new_message(transaction: Transaction, message_id: str) -> bool:
    """Note a message of a provider; False: it was taken before."""
    return bool(transaction.execute(_TAKE_MESSAGE, {"message": message_id}))


# Made once: making a statement takes longer than running it.
_START = insert(Payment).values(
    order_id=bindparam("of_order"),
    cart_id=bindparam("of_cart"),
    provider=bindparam("by"),
    live=bindparam("is_live"),
    due=now_in_ms(),
)
_CHECK_NOW = (
    update(Payment)
    .where(Payment.session_id == bindparam("session"), IS_ACTIVE)
    .values(due=now_in_ms())
    .returning(Payment.order_id)
)
_TAKE_MESSAGE = (
    insert_or_not(PaymentMessage)
    .values(id=bindparam("message"), at=now_in_ms())
    .on_conflict_do_nothing(index_elements=["id"])
    .returning(PaymentMessage.id)
)
