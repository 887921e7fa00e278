"""What the shop holds of somebody, by their e-mail address, and having it forgotten."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Update, bindparam, delete, func, select, update

from shop.changes import order_name
from shop.db import Database, Transaction
from shop.models.catalog import Item
from shop.models.customer import CustomerKey, same_mailbox, spellings
from shop.models.ledger import SHOP
from shop.models.mail import GIVEN_UP, WAITING, Mail
from shop.models.mail_lease import is_being_sent
from shop.models.order import Order, OrderLine
from shop.models.order_state import HOLDING, OrderChange, record_state
from shop.models.stock_alert import StockAlert


class StillPaying(Exception):
    """An order is being paid for: its provider knows the buyer, too."""

    def __init__(self, number: str) -> None:
        super().__init__(number)
        self.number = number


class MailIsBeingSent(Exception):
    """A mail to somebody who is to be forgotten is on its way at this moment."""


def orders_of(database: Database, email: str) -> list[Any]:
    """Return the orders of whoever has this address, however they wrote it, the oldest first."""
    mailbox = same_mailbox(email)
    found = []
    for domain in spellings(mailbox.rpartition("@")[2]):
        there = func.lower(Order.email).endswith(f"@{domain}", autoescape=True)
        for rows in database.pages(_ORDERS.where(there), Order.id):
            found += [row for row in rows if same_mailbox(row.email) == mailbox]
    return sorted(found, key=lambda row: row.id)


def held_of(database: Database, order: Any) -> dict[str, Any]:
    """Return all that is kept about an order and its buyer, for the buyer to read."""
    of_order = {"of_order": order.id}
    return {
        **order._asdict(),
        "lines": [row._asdict() for row in database.rows(_LINES, of_order)],
        "changes": [row._asdict() for row in database.rows(_CHANGES, of_order)],
        "mails": [row._asdict() for row in database.rows(_MAILS, of_order)],
        "fingerprints": [row.key for row in database.rows(_KEYS, of_order)],
    }


def alerts_of(database: Database, email: str) -> list[Any]:
    """Return for which items somebody asked to be told that they are back."""
    return list(database.rows(_ALERTS, {"of_mailbox": same_mailbox(email)}))


class ForgottenAlerts(NamedTuple):
    """What somebody asked to be told of."""

    #: of how many items
    items: int
    #: the ids of the mails about them
    mail_ids: list[int]


def forget_alerts(
    transaction: Transaction, email: str, *, even_now: bool = False
) -> ForgottenAlerts:
    """Forget that somebody asked to be told of anything; mails that wait are not sent any more.

    Args:
        even_now: also while a mail about it is being sent.

    Raises:
        MailIsBeingSent: one is.
    """
    of_mailbox = {"of_mailbox": same_mailbox(email)}
    mails = transaction.execute(_ALERT_MAILS, of_mailbox)
    _refuse_while_sending(mails, even_now)
    mail_ids = [row.id for row in mails]
    transaction.execute(_END_ALERT_MAILS, {**of_mailbox, "now": int(time.time())})
    return ForgottenAlerts(len(transaction.execute(_FORGET_ALERTS, of_mailbox)), mail_ids)


def forget_buyer(transaction: Transaction, order_id: int, *, even_now: bool = False) -> None:
    """Take out of an order who bought it and where it went; amounts, lines and states stay.

    Mails that wait are not sent any more.

    Args:
        even_now: also while a mail about it is being sent.

    Raises:
        StillPaying: it is being paid for.
        MailIsBeingSent: one is.
    """
    of_order = {"of_order": order_id}
    ((number, state),) = transaction.execute(_LOCK, of_order)
    if state in HOLDING:
        raise StillPaying(number)
    _refuse_while_sending(transaction.execute(_MAILS_TO_END, of_order), even_now)
    transaction.execute(_FORGET_KEYS, of_order)
    transaction.execute(_FORGET, of_order)
    transaction.execute(_END_MAILS, {**of_order, "now": int(time.time())})
    transaction.execute(_FORGET_ERRORS, of_order)
    record_state(transaction, order_id, state, state, who=SHOP, why="personal data erased")
    transaction.note(order_name(order_id))


def _refuse_while_sending(mails: Sequence[Any], even_now: bool) -> None:
    """Raise `MailIsBeingSent` if one of these is; they are locked, so that none will be."""
    if not even_now and any(
        row.state == WAITING and is_being_sent(row.held_until) for row in mails
    ):
        raise MailIsBeingSent


def _same(column: Any) -> ColumnElement[bool]:
    same: ColumnElement[bool] = column == bindparam("of_order")
    return same


def _give_up(which: ColumnElement[bool]) -> Update:
    waiting = update(Mail).where(which, Mail.state == WAITING)
    return waiting.values(state=GIVEN_UP, ended=bindparam("now"), error="")


#: What of an order is somebody's own.
_OWN = ("email", "name", "address", "street", "street2", "postcode", "town", "country", "phone")

# Made once: making a statement takes longer than running it.
_ORDERS = select(
    *(Order.id, Order.number, Order.state, Order.placed, Order.total, Order.currency),
    *(getattr(Order, name) for name in _OWN),
    Order.tracking,
)
_LOCK = select(Order.number, Order.state).where(_same(Order.id)).with_for_update()
_LINES = (
    select(OrderLine.sku, OrderLine.product, OrderLine.size, OrderLine.price, OrderLine.ended)
    .where(_same(OrderLine.order_id))
    .order_by(OrderLine.id)
)
_CHANGES = (
    select(OrderChange.at, OrderChange.after, OrderChange.why)
    .where(_same(OrderChange.order_id))
    .order_by(OrderChange.id)
)
_MAILS = (
    select(Mail.kind, Mail.state, Mail.queued, Mail.ended)
    .where(_same(Mail.order_id))
    .order_by(Mail.id)
)
_KEYS = select(CustomerKey.key).where(_same(CustomerKey.order_id))
_FORGET_KEYS = delete(CustomerKey).where(_same(CustomerKey.order_id))
_FORGET = update(Order).where(_same(Order.id)).values(**dict.fromkeys(_OWN, ""), tracking="")
_MAILS_TO_END = (
    select(Mail.id, Mail.state, Mail.held_until)
    .where(_same(Mail.order_id), Mail.state == WAITING)
    .with_for_update()
)
_END_MAILS = _give_up(_same(Mail.order_id))
_OF_MAILBOX = StockAlert.mailbox == bindparam("of_mailbox")
_ALERTS = (
    select(Item.sku, StockAlert.email, StockAlert.asked_at, StockAlert.mailed_at)
    .join(Item, Item.id == StockAlert.item_id)
    .where(_OF_MAILBOX)
    .order_by(StockAlert.id)
)
# Told by now: nobody waits under no address.
_FORGET_ALERTS = (
    update(StockAlert)
    .where(_OF_MAILBOX)
    .values(
        email="", mailbox="", mailed_at=func.coalesce(StockAlert.mailed_at, StockAlert.asked_at)
    )
    .returning(StockAlert.id)
)
_IS_THEIR_ALERT = Mail.alert_id.in_(select(StockAlert.id).where(_OF_MAILBOX))
_ALERT_MAILS = select(Mail.id, Mail.state, Mail.held_until).where(_IS_THEIR_ALERT).with_for_update()
_END_ALERT_MAILS = _give_up(_IS_THEIR_ALERT)
_FORGET_ERRORS = update(Mail).where(_same(Mail.order_id)).values(error="")
