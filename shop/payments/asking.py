"""What a provider is asked for a payment that is due, and in which order."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from shop.db import Database
from shop.models.order import OrderLine
from shop.models.payment_queue import DuePayment
from shop.payments.open_sessions import OpenSessions
from shop.payments.provider import PaymentLine, PaymentRequest, PaymentSession, Provider

#: What is paid besides the lines of an order.
BESIDES = "Shipping and tax"

#: How long an order is being paid for at the most, in seconds: pages live for a day.
_LONGEST_PAYMENT = 2 * 86_400

OPENING, FETCHING, EXPIRING = "open", "fetch", "expire"


def is_ending(due: DuePayment) -> bool:
    """Tell whether a hold is to end: somebody wants that, or its time is over."""
    return bool(due.ending) or (due.hold_ends is not None and due.hold_ends <= due.now)


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
        self._open = OpenSessions(provider)

    def ask(self, due: DuePayment) -> PaymentSession:
        """Ask for what is to be done with a payment next; return what the provider says."""
        session_id = due.session_id
        if session_id is None:
            # Also if it is to end: an answer may have been lost, and somebody may have the page.
            opened = self._provider.open(self._request(due))
            self.end_pages(due, opened.id)
            if not is_ending(due):
                return opened
            session_id = opened.id
        if is_ending(due):
            return self._provider.expire(session_id)
        return self._provider.fetch(session_id)

    def end_pages(self, due: DuePayment, but: str | None = None) -> None:
        """End the pages of an order of which no answer ever told, though they may be there.

        Args:
            but: the session that goes on.
        """
        if due.attempt == 1:
            return
        since = due.now // 1000 - _LONGEST_PAYMENT
        # A hold that is to end is seen to at once, and else a second after a request that failed.
        for session_id in self._open.of(due.number, since, now=is_ending(due)):
            if session_id != but:
                self._provider.expire(session_id)

    def _lines(self, due: DuePayment) -> list[PaymentLine]:
        """Return what is paid for."""
        lines = [
            PaymentLine(f"{row.brand} {row.product}, {row.color}, size {row.size}", row.price)
            for row in self._database.rows(_LINES, {"of_order": due.order_id})
        ]
        besides = due.total - sum(line.amount for line in lines)
        return [*lines, PaymentLine(BESIDES, besides)] if besides else lines

    def _request(self, due: DuePayment) -> PaymentRequest:
        page = f"{self._address}/orders/{due.token}/pay"
        return PaymentRequest(
            number=due.number,
            attempt=due.attempt,
            amount=due.total,
            currency=due.currency,
            email=due.email,
            lines=tuple(self._lines(due)),
            success_url=f"{page}?returned=1",
            cancel_url=page,
            ends_at=due.lasts_until,
        )


# Made once: making a statement takes longer than running it.
_LINES = (
    select(OrderLine.brand, OrderLine.product, OrderLine.color, OrderLine.size, OrderLine.price)
    .where(OrderLine.order_id == bindparam("of_order"))
    .order_by(OrderLine.id)
)
