"""Requests to know when a size is back: one mail to as many people as pairs come back.

In the order in which they asked. Nobody is told whether somebody else asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import BigInteger, ForeignKey, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert as insert_or_not
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop.db import Base, Database, Transaction
from shop.models.catalog import Item
from shop.models.customer import same_mailbox
from shop.models.mail import queue_alert
from shop.models.order import new_token

#: How many sizes one mailbox may wait for: nobody wants more.
MOST_OF_MAILBOX = 50

#: For how long an address is known after its mail, in seconds: 30 days.
REMEMBERED_FOR = 30 * 86_400

_ONLY_WAITING = text("mailed_at IS NULL")


class StockAlert(Base):
    """Somebody's request to be told when an item is back."""

    __tablename__ = "stock_alerts"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    email: Mapped[str]
    #: the same, as its provider understands it
    mailbox: Mapped[str]
    #: names the page on which the request is taken back
    token: Mapped[str] = mapped_column(unique=True)
    #: seconds since 1970: when it was wished, and when the mail was queued
    asked_at: Mapped[int] = mapped_column(BigInteger)
    mailed_at: Mapped[int | None] = mapped_column(BigInteger)

    item: Mapped[Item] = relationship(lazy="joined")


def ask_for_alert(transaction: Transaction, item_id: int, email: str) -> None:
    """Note that somebody wants to know when an item is back; asked twice is asked once."""
    mailbox = same_mailbox(email)
    ((asked,),) = transaction.execute(_ASKED, {"of_mailbox": mailbox})
    if asked >= MOST_OF_MAILBOX:
        return
    values = {"of_item": item_id, "to": email, "of_mailbox": mailbox}
    values |= {"named": new_token(), "now": int(time.time())}
    transaction.execute(_ASK, values)


def take_back_alerts(transaction: Transaction, token: str) -> None:
    """Forget all that somebody still waits for, by the name of any of their requests."""
    transaction.execute(_TAKE_BACK, {"named": token})


def still_waits(database: Database, token: str) -> bool:
    """Tell whether somebody waits for anything, by the name of any of their requests."""
    return bool(database.rows(_WAITS, {"named": token}))


def queue_alerts(transaction: Transaction, item_ids: Iterable[int], count: int) -> None:
    """Queue a mail for as many of those who wait for each item as pairs of it came back."""
    now = int(time.time())
    for item_id in item_ids:
        for (alert_id,) in transaction.execute(_NEXT, {"of_item": item_id, "most": count}):
            transaction.execute(_QUEUED, {"of_alert": alert_id, "now": now})
            queue_alert(transaction, alert_id)


def forget_old_addresses(transaction: Transaction) -> None:
    """Forget the addresses of those who were told long ago."""
    transaction.execute(_FORGET, {"long_ago": int(time.time()) - REMEMBERED_FOR})


# Made once: making a statement takes longer than running it.
_ASKED = select(func.count()).where(
    StockAlert.mailbox == bindparam("of_mailbox"), StockAlert.mailed_at.is_(None)
)
_ASK = (
    insert_or_not(StockAlert)
    .values(
        item_id=bindparam("of_item"),
        email=bindparam("to"),
        mailbox=bindparam("of_mailbox"),
        token=bindparam("named"),
        asked_at=bindparam("now"),
    )
    .on_conflict_do_nothing(index_elements=["item_id", "mailbox"], index_where=_ONLY_WAITING)
)
_WHOSE = select(StockAlert.mailbox).where(StockAlert.token == bindparam("named")).scalar_subquery()
_WAITS = (
    select(StockAlert.id)
    .where(StockAlert.mailbox == _WHOSE, StockAlert.mailbox != "", StockAlert.mailed_at.is_(None))
    .limit(1)
)
_TAKE_BACK = delete(StockAlert).where(
    StockAlert.mailbox == _WHOSE, StockAlert.mailbox != "", StockAlert.mailed_at.is_(None)
)
_FORGET = (
    update(StockAlert)
    .where(StockAlert.mailed_at < bindparam("long_ago"), StockAlert.email != "")
    .values(email="", mailbox="")
)
_NEXT = (
    select(StockAlert.id)
    .where(StockAlert.item_id == bindparam("of_item"), StockAlert.mailed_at.is_(None))
    .order_by(StockAlert.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_QUEUED = (
    update(StockAlert)
    .where(StockAlert.id == bindparam("of_alert"))
    .values(mailed_at=bindparam("now"))
)
