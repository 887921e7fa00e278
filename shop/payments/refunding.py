"""Cancelling and taking back what was paid through a provider: the money goes first, then the pair.

Each refund has a name of its own, by which the provider makes it once. It is written down before
the provider is asked: so nobody ships meanwhile what is being paid back, and who is interrupted
goes on by doing the same again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, func, select

from shop.db import Database, Transaction
from shop.models.order import LINE_COST, Order, OrderLine
from shop.models.order_edit import CANCELLING, Ending, GivingBack, Way, ending_lines, give_back
from shop.models.payment import PAID, Payment
from shop.models.refund import forget_refund, note_refund, want_refund
from shop.payments.provider import Provider, ProviderRefused


class OtherProvider(Exception):
    """The order was paid through a provider that the shop doesn't have now."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self.provider = provider


@dataclass(frozen=True, slots=True)
class Payback:
    """What is to be paid back of an order."""

    key: str
    #: None: what was paid besides the lines
    line_id: int | None
    #: of the line, or empty
    sku: str
    #: in minor units of the order's currency
    amount: int


class PaybackRefused(Exception):
    """The provider says no; what was paid back before that has ended."""

    def __init__(self, why: str, ended: list[str]) -> None:
        super().__init__(why)
        self.ended = ended


def refund_and_end(
    database: Database, provider: Provider | None, number: str, wanted: GivingBack, way: Way
) -> list[str]:
    """Pay back and end lines of an order; of one that was paid outside, only end them.

    Args:
        provider: the shop's; None: orders are paid outside.

    Returns:
        The skus of the lines that ended.

    Raises:
        UnknownOrder, NotInOrder, WrongState: see `order_edit`.
        OtherProvider: it was paid through another provider.
        ProviderAway: there is no answer. Nothing has ended; done again, it goes on.
        PaybackRefused: the provider says no.
    """
    plan = database.transact(lambda tx: _plan(tx, provider, number, wanted, way))
    if plan is not None:
        _pay_all_back(database, plan, wanted, way)
    return database.transact(lambda tx: give_back(tx, number, wanted, way))


def _pay_all_back(database: Database, plan: _Plan, wanted: GivingBack, way: Way) -> None:
    done: list[Payback] = []
    try:
        for payback in plan.paybacks:
            _pay_back(database, plan, payback)
            done.append(payback)
    except ProviderRefused as error:
        ended = _give_up(database, plan, done, wanted, way)
        raise PaybackRefused(str(error), ended) from None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is going to be paid back, of which payment."""

    provider: Provider
    number: str
    #: by what the provider names the payment
    reference: str
    currency: str
    paybacks: list[Payback]


def _plan(
    transaction: Transaction, provider: Provider | None, number: str, wanted: GivingBack, way: Way
) -> _Plan | None:
    """Write down what is to be paid back, and return it; None: nothing is."""
    ending = ending_lines(transaction, number, wanted, way)
    rows = transaction.execute(_PAYMENT, {"of_order": ending.order_id})
    if not rows or rows[0].state != PAID or not ending.lines:
        return None
    (paid,) = rows
    if provider is None or provider.name != paid.provider:
        raise OtherProvider(paid.provider)
    paybacks = _paybacks(transaction, ending, way, paid)
    for each in paybacks:
        want_refund(transaction, each.key, ending.order_id, each.line_id, each.amount, wanted.who)
    return _Plan(provider, number, paid.reference, paid.currency, paybacks)


def _pay_back(database: Database, plan: _Plan, payback: Payback) -> None:
    """Pay back one thing, outside every transaction, and write down that it was."""
    made = plan.provider.refund(plan.reference, payback.amount, plan.currency, payback.key)
    if made.state == "failed":
        raise ProviderRefused("the refund failed")
    database.transact(lambda tx: note_refund(tx, payback.key, made.id))


def _paybacks(transaction: Transaction, ending: Ending, way: Way, paid: Any) -> list[Payback]:
    name = f"refund-{paid.number}"
    found = [
        Payback(f"{name}-{line.id}", line.id, line.sku, line.cost)
        for line in ending.lines
        if line.cost
    ]
    ((lines,),) = transaction.execute(_LINES_COME_TO, {"of_order": ending.order_id})
    # Shipping that was never done is paid back with the last of an order.
    if way is CANCELLING and ending.is_all and paid.total > lines:
        found.insert(0, Payback(f"{name}-besides", None, "", paid.total - lines))
    return found


def _give_up(
    database: Database, plan: _Plan, done: list[Payback], wanted: GivingBack, way: Way
) -> list[str]:
    """Forget the refunds that weren't made, and end the lines whose refunds were."""
    part = replace(wanted, skus=[payback.sku for payback in done if payback.sku])

    def work(transaction: Transaction) -> list[str]:
        for payback in plan.paybacks:
            forget_refund(transaction, payback.key)  # one that was made stays
        return give_back(transaction, plan.number, part, way) if part.skus else []

    return database.transact(work)


# Made once: making a statement takes longer than running it.
_PAYMENT = (
    select(Payment.state, Payment.provider, Payment.reference)
    .add_columns(Order.number, Order.total, Order.currency)
    .join(Order, Order.id == Payment.order_id)
    .where(Payment.order_id == bindparam("of_order"))
)
_LINES_COME_TO = (
    select(func.coalesce(func.sum(LINE_COST), 0))
    .join(Order, Order.id == OrderLine.order_id)
    .where(OrderLine.order_id == bindparam("of_order"))
)
