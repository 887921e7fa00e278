"""The provider that moves no money: a payment page of the shop's own, for trying everything.

What a page is for stands in its name, signed. So opening one writes nothing; what came of it is
written once, by whoever is first: the shopper who pays, or the shop that ends it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import bindparam, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from shop.db import Database, Transaction
from shop.db.clock import now_in_ms
from shop.models.demo_payment import DemoPayment, DemoRefund
from shop.payments.provider import (
    Forged,
    Message,
    PaymentRequest,
    PaymentSession,
    ProviderRefused,
    Refund,
)

PAID, EXPIRED = "paid", "expired"


class DemoPage(NamedTuple):
    """What a payment page is for."""

    number: str
    attempt: int
    #: in minor units of the currency
    amount: int
    currency: str
    success_url: str
    cancel_url: str


class DemoProvider:
    """Takes no money."""

    name = "demo"
    live = False
    rate = 0

    def __init__(self, database: Database, secret_keys: tuple[str, ...]) -> None:
        """Take the shop's secrets, the oldest first."""
        self._database = database
        self._signer = URLSafeSerializer(list(secret_keys), salt="demo payment")

    def open(self, request: PaymentRequest) -> PaymentSession:
        """Open a payment page."""
        page = DemoPage(
            *(request.number, request.attempt, request.amount, request.currency),
            *(request.success_url, request.cancel_url),
        )
        return _session(str(self._signer.dumps(page)), page, None)

    def fetch(self, session_id: str) -> PaymentSession:
        """Return what came of a page."""
        page = self.page(session_id)
        rows = self._database.rows(_OUTCOME, {"session": session_id})
        return _session(session_id, page, rows[0].outcome if rows else None)

    def expire(self, session_id: str) -> PaymentSession:
        """End a page, unless it was paid before."""
        return self._come_to(session_id, EXPIRED)

    def pay(self, session_id: str) -> PaymentSession:
        """Pay on a page, unless it has ended before."""
        return self._come_to(session_id, PAID)

    def refund(self, payment: str, amount: int, currency: str, key: str) -> Refund:
        """Give nothing back, once for each key."""
        page = self.page(payment)

        def work(transaction: Transaction) -> None:
            values = {"of_key": key, "session": payment, "back": amount}
            if transaction.execute(_REFUNDED, values):
                return
            rows = transaction.execute(_REFUNDS_OF, {"session": payment})
            if sum(row.amount for row in rows) + amount > page.amount:
                raise ProviderRefused("that is more than was paid")
            transaction.execute(_REFUND, values)

        self._database.transact(work)
        return Refund(key, payment, amount, "done")

    def verify(self, body: bytes, signature: str) -> Message:
        """Refuse all messages: this provider sends none."""
        raise Forged

    def sessions(self, since: int) -> Iterator[PaymentSession]:
        """List the pages of which something came."""
        for row in self._database.rows(_OUTCOMES, {"since": since * 1000}):
            try:
                page = self.page(row.session_id)
            except ProviderRefused:  # signed by a secret that is gone
                continue
            yield _session(row.session_id, page, row.outcome)

    def open_sessions(self, since: int) -> Iterator[PaymentSession]:
        """List none: one of which nothing came is nowhere but in its own address."""
        return iter(())

    def refunds(self, since: int) -> Iterator[Refund]:
        """List what was given back."""
        for row in self._database.rows(_REFUNDS, {"since": since * 1000}):
            yield Refund(row.key, row.session_id, row.amount, "done")

    def page(self, session_id: str) -> DemoPage:
        """Return what a page is for.

        Raises:
            ProviderRefused: there is no such page.
        """
        try:
            return DemoPage(*self._signer.loads(session_id))
        except (BadData, TypeError):
            raise ProviderRefused("there is no such payment page") from None

    def _come_to(self, session_id: str, outcome: str) -> PaymentSession:
        page = self.page(session_id)

        def work(transaction: Transaction) -> str:
            transaction.execute(_COME_TO, {"session": session_id, "how": outcome})
            ((came_to,),) = transaction.execute(_OUTCOME, {"session": session_id})
            return str(came_to)

        return _session(session_id, page, self._database.transact(work))


def _session(session_id: str, page: DemoPage, outcome: str | None) -> PaymentSession:
    states: dict[str | None, Literal["open", "paid", "expired"]]
    states = {None: "open", PAID: "paid", EXPIRED: "expired"}
    return PaymentSession(
        id=session_id,
        url=f"/demo-payments/{session_id}" if outcome is None else None,
        state=states[outcome],
        number=page.number,
        amount=page.amount,
        currency=page.currency,
        live=False,
        payment=session_id if outcome == PAID else None,
    )


def _same(column: Any) -> Any:
    return column == bindparam("session")


# Made once: making a statement takes longer than running it.
_OUTCOME = select(DemoPayment.outcome).where(_same(DemoPayment.session_id))
_OUTCOMES = (
    select(DemoPayment.session_id, DemoPayment.outcome)
    .where(DemoPayment.at >= bindparam("since"))
    .order_by(DemoPayment.at.desc())
)
_COME_TO = (
    insert_or_not(DemoPayment)
    .values(session_id=bindparam("session"), outcome=bindparam("how"), at=now_in_ms())
    .on_conflict_do_nothing(index_elements=["session_id"])
)
_REFUNDED = select(DemoRefund.key).where(DemoRefund.key == bindparam("of_key"))
_REFUNDS_OF = select(DemoRefund.amount).where(_same(DemoRefund.session_id))
_REFUND = insert(DemoRefund).values(
    key=bindparam("of_key"),
    session_id=bindparam("session"),
    amount=bindparam("back"),
    at=now_in_ms(),
)
_REFUNDS = (
    select(DemoRefund.key, DemoRefund.session_id, DemoRefund.amount)
    .where(DemoRefund.at >= bindparam("since"))
    .order_by(DemoRefund.at.desc())
)
