"""The outbox: which mails are to be sent, and what became of each.

A mail is queued in the transaction of what it tells of, and is written out when it is sent. Whoever
sends one holds it by a lease; a process that ends while it does loses it when that runs out.
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
    or_,
    select,
    text,
    update,
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

#: For how long whoever sends a mail has it to itself, in seconds: longer than sending one can take.
LEASE = 900

#: The longest delay between two tries, in seconds.
LONGEST_DELAY = 4 * 3600

#: The first delays; each is twice the one before. An address that is refused may be so for good.
FIRST_DELAY, FIRST_DELAY_IF_REFUSED = 30, 3600

#: After how many seconds a mail is not tried again: two days.
TRIED_FOR = 2 * 24 * 3600

_ONLY_WAITING = text("state = 'waiting'")
_ONLY_RECEIPTS = text("kind = 'receipt'")
_NO_RECEIPTS = text("kind <> 'receipt'")


class Mail(Base):
    """A mail about an order or an alert: to the address that this has when it is sent."""

    __tablename__ = "mails"
    __table_args__ = (
        Index(
            *("mails_waiting", "priority", "id"),
            sqlite_where=_ONLY_WAITING,
            postgresql_where=_ONLY_WAITING,
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


class HeldMail(NamedTuple):
    """A mail that this process may send, and nobody else until its lease runs out."""

    id: int
    kind: str
    #: of these two it has one
    order_id: int | None
    alert_id: int | None
    queued: int
    #: this one counted
    attempts: int
    #: names the hold, as each of a mail ends later than the one before
    held_until: int


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


def hold_next(transaction: Transaction, *, due_only: bool = True) -> HeldMail | None:
    """Take the mail that is to be sent next, and hold it for `LEASE` seconds; None: there is none.

    A clock that was ahead for a while holds up none for longer than that.

    Args:
        due_only: False to take also one whose next try is later.
    """
    now = int(time.time())
    values = {"now": now, "until": now + LEASE, "by": now if due_only else now + TRIED_FOR}
    # With a lease to spare: another machine's clock may be some seconds ahead for good.
    beyond = {"held_beyond": now + 2 * LEASE, "due_beyond": now + LONGEST_DELAY + LEASE}
    for row in transaction.execute(_HOLD_NEXT, {**values, **beyond}):
        return HeldMail(*row)
    return None


def mark_sent(transaction: Transaction, mail_id: int) -> None:
    """Note that a mail was sent, whoever holds it now."""
    transaction.execute(_END, {"mail": mail_id, "end": SENT, "now": int(time.time()), "why": ""})


def postpone(transaction: Transaction, mail: HeldMail, why: str, *, refused: bool = False) -> None:
    """Have a mail that could not be sent tried again later, or no more after two days.

    Args:
        why: for an operator to read.
        refused: whether its address was refused in a way that hardly ends by itself.
    """
    now = int(time.time())
    if now - mail.queued >= TRIED_FOR:
        transaction.execute(_END, {"mail": mail.id, "end": GIVEN_UP, "now": now, "why": why})
        return
    first = FIRST_DELAY_IF_REFUSED if refused else FIRST_DELAY
    delay = min(first * 2 ** min(mail.attempts - 1, 20), LONGEST_DELAY)
    _put_back(transaction, mail, now + delay, 0, why)


def let_go(transaction: Transaction, mail: HeldMail, why: str) -> None:
    """Put a mail back that was not tried, as nothing can be sent at present."""
    _put_back(transaction, mail, mail.queued, 1, why)


def _put_back(
    transaction: Transaction, mail: HeldMail, due_at: int, tries_back: int, why: str
) -> None:
    values = {"mail": mail.id, "hold": mail.held_until, "back": tries_back}
    transaction.execute(_PUT_BACK, {**values, "due_at": due_at, "why": why})


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
BACKLOG = select(func.count(), func.min(Mail.queued)).where(_ONLY_WAITING)

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
    Mail.kind.in_(bindparam("same", expanding=True)),
    Mail.state == WAITING,
)
_LAST_QUEUED = select(func.max(Mail.queued)).where(
    Mail.order_id == bindparam("of_order"), Mail.kind == bindparam("what")
)
_NEXT = (
    select(Mail.id)
    .where(_ONLY_WAITING)
    .where(or_(Mail.held_until <= bindparam("now"), Mail.held_until > bindparam("held_beyond")))
    .where(or_(Mail.due <= bindparam("by"), Mail.due > bindparam("due_beyond")))
    .order_by(Mail.priority, Mail.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_HOLD_NEXT = (
    update(Mail)
    .where(Mail.id == _NEXT.scalar_subquery())
    .values(held_until=bindparam("until"), attempts=Mail.attempts + 1)
    .returning(Mail.id, Mail.kind, Mail.order_id, Mail.alert_id)
    .returning(Mail.queued, Mail.attempts, Mail.held_until)
)
_END = (
    update(Mail)
    .where(Mail.id == bindparam("mail"), Mail.state == WAITING)
    .values(state=bindparam("end"), ended=bindparam("now"), error=bindparam("why"))
)
_PUT_BACK = (
    update(Mail)
    .where(Mail.id == bindparam("mail"), Mail.state == WAITING)
    .where(Mail.held_until == bindparam("hold"))
    .values(
        held_until=0,
        due=bindparam("due_at"),
        attempts=Mail.attempts - bindparam("back"),
        error=bindparam("why"),
    )
)
