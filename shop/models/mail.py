"""The outbox: which mails are to be sent.

A mail is queued in the transaction of what it tells of, and is written out when it is sent: see
`shop.models.mail_lease`.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base, Database, Transaction

#: Kinds of mail: of a purchase, once; the same again, as an operator asked for it; the way to an
#: order, as its buyer asked for it.
RECEIPT, COPY, LINK = "receipt", "copy", "link"

#: And of an item that is back, to somebody who asked for that.
ALERT = "alert"

#: Receipts go before everything else.
_PRIORITIES = {RECEIPT: 0, COPY: 1, LINK: 1, ALERT: 2}

#: What becomes of a mail: it waits until one of the others.
WAITING, SENT, GIVEN_UP = "waiting", "sent", "given up"

ONLY_WAITING = text("state = 'waiting'")
_ONLY_RECEIPTS = text("kind = 'receipt'")
_NO_RECEIPTS = text("kind <> 'receipt'")


class Mail(Base):
    """A mail about an order or an alert: to the address that this has when it is sent."""

    __tablename__ = "mails"
    __table_args__ = (
        Index(
            *("mails_waiting", "priority", "id"),
            sqlite_where=ONLY_WAITING,
            postgresql_where=ONLY_WAITING,
        ),
        Index(
            *("one_receipt_an_order", "order_id"),
            unique=True,
            sqlite_where=_ONLY_RECEIPTS,
            postgresql_where=_ONLY_RECEIPTS,
        ),
        Index(
            *("mails_of_order", "order_id"),
            sqlite_where=_NO_RECEIPTS,
            postgresql_where=_NO_RECEIPTS,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    #: the smallest is sent first
    priority: Mapped[int]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    #: seconds since 1970: when it was queued, from when it may be tried, until when it is held
    queued: Mapped[int] = mapped_column(BigInteger)
    due: Mapped[int] = mapped_column(BigInteger)
    held_until: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int]
    state: Mapped[str] = mapped_column(Text)
    #: seconds since 1970, when it was sent or given up
    ended: Mapped[int | None] = mapped_column(BigInteger)
    #: what the last try failed by
    error: Mapped[str] = mapped_column(Text)
    #: what it is about if not an order
    alert_id: Mapped[int | None] = mapped_column(ForeignKey("stock_alerts.id"))


class Backlog(NamedTuple):
    """The mails that wait to be sent."""

    waiting: int
    #: how long the oldest waits, in seconds; 0 if none does
    oldest: int


NO_BACKLOG = Backlog(0, 0)


def queue_receipt(transaction: Transaction, order_id: int) -> None:
    """Have the mail of a purchase sent, once: a second call changes nothing."""
    transaction.execute(_QUEUE_RECEIPT, {"of_order": order_id, "now": int(time.time())})


def queue_mail(transaction: Transaction, kind: str, order_id: int) -> bool:
    """Have a further mail about an order sent, unless such a one waits already.

    Returns:
        Whether one was queued.
    """
    same = [RECEIPT, COPY] if kind == COPY else [kind]
    values = {"what": kind, "of_order": order_id}
    if transaction.execute(_SUCH_A_ONE_WAITS, {"same": same, "of_order": order_id}):
        return False
    now = {"now": int(time.time()), "rank": _PRIORITIES[kind]}
    transaction.execute(_QUEUE, {**values, **now})
    return True


def queue_alert(transaction: Transaction, alert_id: int) -> None:
    """Have somebody told that what they wait for is back."""
    values = {"of_alert": alert_id, "now": int(time.time())}
    transaction.execute(_QUEUE_ALERT, values)


def last_queued(transaction: Transaction, kind: str, order_id: int) -> int:
    """Return when such a mail about an order was queued last, in seconds since 1970; 0: never."""
    ((last,),) = transaction.execute(_LAST_QUEUED, {"what": kind, "of_order": order_id})
    return last or 0


def read_backlog(database: Database) -> Backlog:
    """Count the mails that wait."""
    (row,) = database.rows(BACKLOG)
    return backlog_of(row)


def backlog_of(row: Any) -> Backlog:
    """Return what waits, as `BACKLOG` found it."""
    count, oldest = row
    return Backlog(count, max(0, int(time.time()) - oldest) if count else 0)


def _queue(table: Any, about: str = "order") -> Any:
    return table.values(
        **{f"{about}_id": bindparam(f"of_{about}")},
        queued=bindparam("now"),
        due=bindparam("now"),
        held_until=0,
        attempts=0,
        state=WAITING,
        error="",
    )


#: Counts the mails that wait, and finds since when the oldest does.
BACKLOG = select(func.count(), func.min(Mail.queued)).where(ONLY_WAITING)

# Made once: making a statement takes longer than running it.
_QUEUE_RECEIPT = (
    _queue(insert_or_not(Mail))
    .values(kind=RECEIPT, priority=_PRIORITIES[RECEIPT])
    .on_conflict_do_nothing(index_elements=["order_id"], index_where=_ONLY_RECEIPTS)
)
_QUEUE = _queue(insert(Mail)).values(kind=bindparam("what"), priority=bindparam("rank"))
_QUEUE_ALERT = _queue(insert(Mail), "alert").values(kind=ALERT, priority=_PRIORITIES[ALERT])
_SUCH_A_ONE_WAITS = select(Mail.id).where(
    Mail.order_id == bindparam("of_order"),
    Mail.kind.in_(bindparam("same")),
    Mail.state == WAITING,
)
_LAST_QUEUED = select(func.max(Mail.queued)).where(
    Mail.order_id == bindparam("of_order"), Mail.kind == bindparam("what")
)
