"""Writing an order: its number, its lines, its first state, and its mail."""

from __future__ import annotations

import time
from typing import NamedTuple

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from shop.buyer import Buyer
from shop.changes import order_name
from shop.costs import Costs
from shop.db import Transaction
from shop.models import CartEdit, Order, OrderLine, queue_receipt
from shop.models.ledger import HOLD, SALE, SHOP
from shop.models.order import new_order_number, new_token
from shop.models.order_state import HELD, PLACED, record_state
from shop.purchase import LineItem, Terms

#: How many numbers are drawn for an order at most: of 32^8, which a shop never comes near.
_DRAWS = 20


class Sale(NamedTuple):
    """What is sold, and what it costs."""

    lines: list[LineItem]
    costs: Costs

    def as_order(self) -> dict[str, object]:
        """Return what an order keeps of it."""
        costs = self.costs
        return {
            "total": costs.total,
            "shipping": costs.shipping,
            "tax": costs.tax,
            "shipping_tax": costs.shipping_tax,
            "tax_rate": costs.tax_rate,
            "tax_kind": costs.tax_kind,
        }

    def as_lines(self, order_id: int) -> list[dict[str, object]]:
        """Return what the order's lines keep of it."""
        return [
            {"order_id": order_id, "tax": tax, **line.as_line()}
            for line, tax in zip(self.lines, self.costs.line_taxes, strict=True)
        ]


class Placed(NamedTuple):
    """An order that this transaction makes."""

    order_id: int
    number: str
    token: str
    state: str

    @property
    def kind(self) -> str:
        """Of the movements that take its pairs off the shelf."""
        return SALE if self.state == PLACED else HOLD


def place_order(
    transaction: Transaction, cart: CartEdit, sale: Sale, buyer: Buyer, terms: Terms
) -> Placed:
    """Write an order with its lines, under a number of its own, and have its mail sent."""
    state, token = PLACED if terms.provider is None else HELD, new_token()
    order = {
        "state": state,
        "token": token,
        "cart_ref": cart.ref,
        "purchase": cart.purchases,
        **buyer.as_order(),
        **sale.as_order(),
        "placed": int(time.time()),
        "currency": terms.currency,
    }
    order_id, number = _placed(transaction, order)
    transaction.execute_each(_ADD_LINES, sale.as_lines(order_id))
    record_state(transaction, order_id, None, state, who=SHOP)
    if state == PLACED:  # else there is a mail when it is paid
        queue_receipt(transaction, order_id)
    transaction.note(order_name(order_id))
    return Placed(order_id, number, token, state)


def _placed(transaction: Transaction, order: dict[str, object]) -> tuple[int, str]:
    """Place an order under a number that no other one has; return its id, and that number."""
    for _ in range(_DRAWS):
        number = new_order_number()
        for (order_id,) in transaction.execute(_PLACE, {**order, "number": number}):
            return order_id, number
    raise RuntimeError(f"{_DRAWS} order numbers, drawn at random, were all taken")


# Made once: making a statement takes longer than running it.
# Written for PostgreSQL, and the same in SQLite. No row: another order has that number.
_PLACE = insert_or_not(Order).on_conflict_do_nothing(index_elements=["number"]).returning(Order.id)
_ADD_LINES = insert(OrderLine)
