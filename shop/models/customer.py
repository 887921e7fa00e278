"""How many pairs of a product one customer has: known by e-mail and by delivery address."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

from sqlalchemy import ForeignKey, bindparam, distinct, func, insert, select, text
from sqlalchemy.orm import Mapped, mapped_column

from shop.db import Base, Transaction
from shop.models.catalog import Item
from shop.models.order import Order, OrderLine
from shop.models.order_state import CANCELLED, EXPIRED, RETURNED

#: Providers that take dots in a name for nothing, and what they are called otherwise.
_DOTLESS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}

#: Providers that leave out what follows a plus.
_PLUS = frozenset(
    {*_DOTLESS, "outlook.com", "hotmail.com", "live.com", "icloud.com", "me.com", "mac.com"}
    | {"proton.me", "protonmail.com", "pm.me", "fastmail.com"}
)

#: States of orders whose pairs nobody has or holds any more.
_OVER = [CANCELLED, EXPIRED, RETURNED]


class CustomerKey(Base):
    """By what an order's customer is known: a fingerprint of their e-mail, or of their address."""

    __tablename__ = "customer_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), primary_key=True, index=True)


def customer_keys(email: str, address: str) -> list[str]:
    """Return by what a customer is known, however they write it, in a fixed order."""
    known = (f"email:{same_mailbox(email)}", f"address:{_folded(address)}")
    return sorted(blake2b(each.encode(), digest_size=16).hexdigest() for each in known)


def same_mailbox(email: str) -> str:
    """Return an address as its provider understands it, however it is written."""
    local, _, domain = unicodedata.normalize("NFKC", email).casefold().rpartition("@")
    if domain in _PLUS:
        local = local.partition("+")[0]
    if domain in _DOTLESS:
        local = local.replace(".", "")
    return f"{local}@{_DOTLESS.get(domain, domain)}"


def spellings(domain: str) -> list[str]:
    """Return all domains that are the same as this one."""
    others = [other for other, same in _DOTLESS.items() if same == domain]
    return others or [domain]


def _folded(address: str) -> str:
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", address).casefold()))


def pairs_of_customer(
    transaction: Transaction, keys: list[str], product_ids: Iterable[int]
) -> dict[int, int]:
    """Count the pairs that a customer has or holds, by product; others who count wait."""
    if transaction.dialect == "postgresql":  # SQLite has one writer at a time
        for key in keys:
            transaction.execute(_LOCK, {"number": int(key[:15], 16)})
    values = {"keys": keys, "products": sorted(set(product_ids)), "over": _OVER}
    return {row.product_id: row.pairs for row in transaction.execute(_PAIRS, values)}


def know_customer(transaction: Transaction, keys: list[str], order_id: int) -> None:
    """Write down by what the customer of an order is known."""
    transaction.execute_each(_KNOW, [{"key": key, "order_id": order_id} for key in keys])


# Made once: making a statement takes longer than running it.
_LOCK = text("SELECT pg_advisory_xact_lock(:number)")
_KNOW = insert(CustomerKey)
_PAIRS = (
    select(Item.product_id, func.count(distinct(OrderLine.id)).label("pairs"))
    .select_from(CustomerKey)
    .join(Order, Order.id == CustomerKey.order_id)
    .join(OrderLine, OrderLine.order_id == Order.id)
    .join(Item, Item.id == OrderLine.item_id)
    .where(CustomerKey.key.in_(bindparam("keys")))
    .where(Item.product_id.in_(bindparam("products")))
    .where(Order.state.not_in(bindparam("over")), OrderLine.ended == "")
    .group_by(Item.product_id)
)
