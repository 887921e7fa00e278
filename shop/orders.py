"""Orders as their buyers see them, and those of which tabs have the page open."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from shop.db import Database, Transaction
from shop.models import Order, OrderChange, UnknownOrder
from shop.models.mail import LINK, last_queued, queue_mail
from shop.models.order import order_number
from shop.models.order_state import HELD, HOLDING
from shop.models.payment import Payment

#: How many orders are asked for in one query.
_BATCH = 500

#: For so long nobody has the way to one order mailed again, in seconds.
LINK_AGAIN = 600


@dataclass(frozen=True, slots=True)
class OrderView:
    """An order as its page shows it; the version grows with each change of it."""

    order: Order
    version: int
    #: None: it is paid outside
    payment: Payment | None = None

    @property
    def is_held(self) -> bool:
        return self.order.state in HOLDING

    @property
    def waits(self) -> bool:
        """Whether the shopper can do nothing but wait for what the provider says."""
        payment = self.payment
        if payment is None or not self.is_held:
            return False
        return payment.url is None or bool(payment.ending) or self.order.state != HELD


class Orders:
    """The orders of a shop, for their buyers, and which of them tabs of this process show."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open: dict[int, OrderView] = {}
        #: the last change that was looked at
        self._seen = 0

    def find(self, token: str) -> OrderView:
        """Return the order whose page has this name.

        Raises:
            UnknownOrder: there is none.
        """
        with self._database.reading() as session:
            order = session.scalar(select(Order).where(Order.token == token)) if token else None
            if order is None:
                raise UnknownOrder(token)
            return _view(session, order)

    def mail_link(self, number: str, email: str) -> None:
        """Have the way to an order mailed to its buyer, if number and address are an order's.

        Nobody learns whether they are: it comes to nothing else, and takes as long.
        """
        values = {"named": order_number(number), "to": email.strip().lower()}

        def work(transaction: Transaction) -> None:
            for (order_id,) in transaction.execute(_OF_BUYER, values):
                if time.time() - last_queued(transaction, LINK, order_id) >= LINK_AGAIN:
                    queue_mail(transaction, LINK, order_id)

        self._database.transact(work, durable=False)

    def read(self, order_ids: Iterable[int]) -> None:
        """Read orders that tabs have open."""
        for order_id in order_ids:
            with self._database.reading() as session:
                order = session.get(Order, order_id)
                view = _view(session, order) if order is not None else None
            before = self._open.get(order_id)
            if view is not None and (before is None or before.version < view.version):
                self._open[order_id] = view

    def view(self, order_id: int) -> OrderView | None:
        """Return an open order as it was last read."""
        return self._open.get(order_id)

    def forget(self, order_id: int) -> None:
        """Forget an order of which nobody has the page open any more."""
        self._open.pop(order_id, None)

    def changed(self) -> set[int]:
        """Find the open orders that other processes changed since this was asked last."""
        if not self._open:
            self._seen = 0
            return set()
        if not self._seen:
            ((self._seen,),) = self._database.rows(_LAST)
            return set(self._open)
        rows = self._database.rows(_SINCE, {"since": self._seen})
        self._seen = max([self._seen, *(row.last for row in rows)])
        return {row.order_id for row in rows if row.order_id in self._open}

    def differing(self) -> set[int]:
        """Find the open orders that are not as they were read, however that came."""
        found, ids = set(), sorted(self._open)
        for start in range(0, len(ids), _BATCH):
            for row in self._database.rows(_OF_THESE, {"orders": ids[start : start + _BATCH]}):
                view = self._open.get(row.order_id)
                if view is not None and view.version < row.last:
                    found.add(row.order_id)
        return found


def _view(session: Session, order: Order) -> OrderView:
    version = session.scalar(_VERSION, {"of_order": order.id}) or 0
    payment = session.get(Payment, order.id)
    session.expunge_all()
    return OrderView(order, version, payment)


# Made once: making a statement takes longer than running it.
_CHANGE = func.max(OrderChange.id).label("last")
_VERSION = select(_CHANGE).where(OrderChange.order_id == bindparam("of_order"))
_LAST = select(func.coalesce(_CHANGE, 1))
_SINCE = (
    select(OrderChange.order_id, _CHANGE)
    .where(OrderChange.id > bindparam("since"))
    .group_by(OrderChange.order_id)
)
_OF_THESE = (
    select(OrderChange.order_id, _CHANGE)
    .where(OrderChange.order_id.in_(bindparam("orders")))
    .group_by(OrderChange.order_id)
)
_OF_BUYER = select(Order.id).where(
    Order.token.is_not(None),
    Order.number == bindparam("named"),
    func.lower(Order.email) == bindparam("to"),
)
