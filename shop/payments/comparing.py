"""Our books against the provider's, both ways: money taken, and money that went back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select

from shop.db import Database
from shop.models.books import Broken
from shop.models.order import Order
from shop.models.payment import ACTIVE, ENDED, PAID, Payment
from shop.models.refund import WANTED, RefundRecord
from shop.payments.provider import PaymentSession, Provider

#: How far before the first order it is looked, in seconds: clocks differ.
_BEFORE = 86_400


def compare(database: Database, provider: Provider) -> Iterator[Broken]:
    """Give each order that the provider's books contradict, and money that is no order's.

    What is just being paid is neither right nor wrong: the shop asks for it every few seconds.

    Raises:
        ProviderAway, ProviderRefused: the provider doesn't list what it has.
    """
    since = database.rows(_FIRST)[0].placed
    if since is None:
        return
    # First theirs: what is paid meanwhile is in ours, and not the other way round.
    sessions = list(provider.sessions(since - _BEFORE))
    returned = _returned(provider, since - _BEFORE)
    ours = {row.number: row for row in database.rows(_OURS) if row.provider == provider.name}
    known = {row.session_id: row for row in ours.values() if row.session_id}
    for session in sessions:
        yield from _session(session, known.get(session.id))
    listed = {session.id: session for session in sessions}
    for row in ours.values():
        yield from _payment(row, listed.get(row.session_id or ""))
        yield from _refunds(row, returned.pop(row.reference, 0) if row.reference else 0)
    sold = {session.payment for session in sessions}  # the account may be another shop's, too
    for payment, amount in returned.items():
        if payment in sold:
            yield Broken("payment", payment, f"{amount} was paid back, and no order says so")
    for row in database.rows(_WAITING_REFUNDS):
        yield Broken("order", row.number, f"{row.amount} is to be paid back, and nobody did yet")


def _returned(provider: Provider, since: int) -> Counter[str]:
    """Return what went back, by payment, in minor units."""
    found: Counter[str] = Counter()
    for refund in provider.refunds(since):
        if refund.state != "failed":
            found[refund.payment] += refund.amount
    return found


def _session(session: PaymentSession, row: Any) -> Iterator[Broken]:
    name = f"{session.number} ({session.id})"
    if session.state == "paid" and row is None:
        yield Broken("payment", name, f"{session.amount} was paid, and no order of ours is")
    elif session.state == "paid" and row.state == ENDED:
        yield Broken("order", row.number, f"it is {row.order_state}, and {session.amount} was paid")
    elif session.state in ("open", "pending") and (row is None or row.state not in ACTIVE):
        yield Broken("payment", name, "it can still be paid, and no order waits for it")


def _payment(row: Any, session: PaymentSession | None) -> Iterator[Broken]:
    if row.state != PAID:
        return
    if session is None or session.state != "paid":
        said = session.state if session else "nothing of it"
        yield Broken("order", row.number, f"it is {row.order_state}, the provider says {said}")
    elif (session.amount, session.currency) != (row.total, row.currency):
        paid = f"{session.amount} {session.currency}"
        yield Broken("order", row.number, f"it costs {row.total} {row.currency}, {paid} was paid")


def _refunds(row: Any, returned: int) -> Iterator[Broken]:
    if row.returned != returned:
        what = f"{row.returned} was paid back, the provider says {returned}"
        yield Broken("order", row.number, what)


# Made once: making a statement takes longer than running it.
_FIRST = select(func.min(Order.placed).label("placed")).join(Payment, Payment.order_id == Order.id)
_RETURNED = (
    select(RefundRecord.order_id, func.sum(RefundRecord.amount).label("amount"))
    .where(RefundRecord.state != WANTED)
    .group_by(RefundRecord.order_id)
    .subquery()
)
_OURS = (
    select(Order.number, Order.total, Order.currency, Order.state.label("order_state"))
    .add_columns(Payment.provider, Payment.state, Payment.session_id, Payment.reference)
    .add_columns(func.coalesce(_RETURNED.c.amount, 0).label("returned"))
    .join(Payment, Payment.order_id == Order.id)
    .outerjoin(_RETURNED, _RETURNED.c.order_id == Order.id)
)
_WAITING_REFUNDS = (
    select(Order.number, RefundRecord.amount)
    .join(Order, Order.id == RefundRecord.order_id)
    .where(RefundRecord.state == WANTED)
)
