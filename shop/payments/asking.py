"""What a provider is asked for a payment that is due, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import bindparam, select

from shop.db import Database
from shop.models.order import OrderLine
from shop.models.payment_queue import DuePayment
from shop.payments.provider import PaymentLine, PaymentRequest, PaymentSession, Provider

#: What is paid besides the lines of an order.
BESIDES = "Shipping and tax"

OPENING, FETCHING, EXPIRING = "open", "fetch", "expire"


def is_ending(due: DuePayment) -> bool:
    """Tell whether a hold is to end: somebody wants that, or its time is over."""
    return bool(due.ending) or (due.hold_ends is not None and due.hold_ends <= due.now)


def was_never_asked(due: DuePayment) -> bool:
    """Tell whether there can be no page, as none was ever asked for."""
    return due.attempt == 0


def call_of(due: DuePayment) -> str:
    """Name what a provider is asked first."""
    if due.session_id is None:
        return OPENING
    return EXPIRING if is_ending(due) else FETCHING


class Asking:
    """Asks a provider; whatever it raises is passed on."""

    def __init__(self, database: Database, provider: Provider, address: str) -> None:
        """Take the address by which shoppers reach the shop, without a slash at its end."""
        self._database = database
        self._provider = provider
        self._address = address

    def ask(self, due: DuePayment, lines: Sequence[PaymentLine]) -> PaymentSession:
        """Ask for what is to be done with a payment next; return what the provider says.

        Args:
            lines: the order's, if its page is not known yet.
        """
        session_id = due.session_id
        if session_id is None:
            # Also if it is to end: an answer may have been lost, and somebody may have the page.
            opened = self._provider.open(self._request(due, lines))
            if not is_ending(due):
                return opened
            session_id = opened.id
        if is_ending(due):
            return self._provider.expire(session_id)
        return self._provider.fetch(session_id)

    def lines(self, dues: Sequence[DuePayment]) -> dict[int, list[PaymentLine]]:
        """Return what is paid for, by order, of those whose page is not known yet."""
        orders = {due.order_id: due for due in dues if due.session_id is None}
        found: defaultdict[int, list[PaymentLine]] = defaultdict(list)
        if orders:
            for row in self._database.rows(_LINES, {"orders": list(orders)}):
                name = f"{row.brand} {row.product}, {row.color}, size {row.size}"
                found[row.order_id].append(PaymentLine(name, row.price))
        for order_id, due in orders.items():
            besides = due.total - sum(line.amount for line in found[order_id])
            if besides:
                found[order_id].append(PaymentLine(BESIDES, besides))
        return found

    def _request(self, due: DuePayment, lines: Sequence[PaymentLine]) -> PaymentRequest:
        page = f"{self._address}/orders/{due.token}/pay"
        return PaymentRequest(
            number=due.number,
            attempt=due.attempt,
            amount=due.total,
            currency=due.currency,
            email=due.email,
            lines=tuple(lines),
            success_url=f"{page}?returned=1",
            cancel_url=page,
            ends_at=due.lasts_until,
        )


# Made once: making a statement takes longer than running it.
_LINES = (
    select(OrderLine.order_id, OrderLine.brand, OrderLine.product, OrderLine.color)
    .add_columns(OrderLine.size, OrderLine.price)
    .where(OrderLine.order_id.in_(bindparam("orders", expanding=True)))
    .order_by(OrderLine.id)
)
