"""Who sends a mail of the outbox, and what became of it.

Whoever sends one holds it by a lease; a process that ends while it does loses it when that runs
out.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from sqlalchemy import bindparam, or_, select, update

from shop.db import Transaction
from shop.models.mail import GIVEN_UP, ONLY_WAITING, SENT, WAITING, Mail

#: For how long whoever sends a mail has it to itself, in seconds: longer than sending one can take.
LEASE = 900

#: The longest delay between two tries, in seconds.
LONGEST_DELAY = 4 * 3600

#: The first delays; each is twice the one before. An address that is refused may be so for good.
FIRST_DELAY, FIRST_DELAY_IF_REFUSED = 30, 3600

#: After how many seconds a mail is not tried again: two days.
TRIED_FOR = 2 * 24 * 3600


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


def is_being_sent(held_until: int) -> bool:
    """Tell whether somebody may be sending a mail that waits and is held until then."""
    now = int(time.time())
    return now < held_until <= now + 2 * LEASE


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


# Made once: making a statement takes longer than running it.
_NEXT = (
    select(Mail.id)
    .where(ONLY_WAITING)
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
