"""What was paid through a provider, and goes back: line by line, and the shipping."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base, Transaction
from shop.db.clock import now_in_ms

WANTED, DONE = "wanted", "done"


class RefundRecord(Base):
    """Money that goes back, or went."""

    __tablename__ = "refunds"

    #: the provider makes one refund for it, however often it is asked
    key: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    #: None: what was paid besides the lines
    line_id: Mapped[int | None] = mapped_column(ForeignKey("order_lines.id"))
    #: in minor units of the order's currency
    amount: Mapped[int] = mapped_column(BigInteger)
    #: `wanted`: the provider was asked, or is going to be
    state: Mapped[str]
    #: as the provider names it
    reference: Mapped[str | None]
    #: an operator's login name
    who: Mapped[str]
    #: milliseconds since 1970, by the database's clock
    at: Mapped[int] = mapped_column(BigInteger)


def want_refund(
    transaction: Transaction, key: str, order_id: int, line_id: int | None, amount: int, who: str
) -> None:
    """Write down what is going to be paid back; what was written before stays as it is.

    Args:
        line_id: None: what was paid besides the lines.
        amount: in minor units of the order's currency.
        who: an operator's login name.
    """
    values = {"key": key, "order_id": order_id, "line_id": line_id, "amount": amount, "who": who}
    transaction.execute(_WANT, values)


def note_refund(transaction: Transaction, key: str, reference: str) -> None:
    """Note that the provider has made a refund."""
    transaction.execute(_DONE, {"of_key": key, "named": reference})


def forget_refund(transaction: Transaction, key: str) -> None:
    """Take back what the provider refused for good: nothing was paid back."""
    transaction.execute(_FORGET, {"of_key": key})


def is_being_refunded(transaction: Transaction, order_id: int) -> bool:
    """Tell whether an order is being paid back, and nobody knows yet what came of it."""
    return bool(transaction.execute(_IN_PROGRESS, {"of_order": order_id}))


# Made once: making a statement takes longer than running it.
_WANT = (
    insert_or_not(RefundRecord)
    .values(
        key=bindparam("key"),
        order_id=bindparam("order_id"),
        line_id=bindparam("line_id"),
        amount=bindparam("amount"),
        who=bindparam("who"),
        state=WANTED,
        at=now_in_ms(),
    )
    .on_conflict_do_nothing(index_elements=["key"])
)
_KEY = RefundRecord.key == bindparam("of_key")
_DONE = update(RefundRecord).where(_KEY).values(state=DONE, reference=bindparam("named"))
_FORGET = delete(RefundRecord).where(_KEY, RefundRecord.state == WANTED)
_IN_PROGRESS = select(RefundRecord.key).where(
    RefundRecord.order_id == bindparam("of_order"), RefundRecord.state == WANTED
)
