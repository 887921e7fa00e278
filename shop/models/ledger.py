"""The stock ledger: every change of a count, in the transaction that makes it.

Movements are written by `stock`, and never changed or deleted: the database refuses it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    bindparam,
    insert,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from shop.db import Base, Transaction
from shop.models.catalog import Item
from shop.models.order import Order

#: Why a count changes.
OPENING, IMPORT, CORRECTION, DEMO = "opening", "import", "correction", "demo"
SALE, COUNTER_SALE = "sale", "counter sale"
HOLD, RELEASE = "hold", "release"
CANCELLATION, RETURN = "cancellation", "return"

#: The kinds that bring pairs in, or lose some. All others only move them.
BRINGING_IN = (OPENING, IMPORT, CORRECTION, DEMO)

#: Who acts where no operator does.
SHOP = "shop"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a count changes: what the ledger says of it."""

    kind: str
    order_id: int | None = None
    #: as an operator gave it
    reason: str = ""
    #: an operator's login name, or `shop`
    who: str = SHOP

    def of_order(self, order_id: int) -> Cause:
        """Return the same for an order."""
        return replace(self, order_id=order_id)


@dataclass(frozen=True, slots=True)
class Shift:
    """By how many pairs the counts of an item change."""

    #: of those on the shelf
    left: int = 0
    held: int = 0
    sold: int = 0


class Movement(Base):
    """One change of an item's counts."""

    __tablename__ = "movements"
    __table_args__ = (
        CheckConstraint("count_after >= 0", name="count_after_not_negative"),
        Index("ix_movements_item", "item_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id"))
    #: by how many pairs those on the shelf, those held and those sold changed
    delta: Mapped[int] = mapped_column(BigInteger)
    held_delta: Mapped[int] = mapped_column(BigInteger)
    sold_delta: Mapped[int] = mapped_column(BigInteger)
    #: on the shelf, once it was done
    count_after: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str]
    order_id: Mapped[int | None] = mapped_column(ForeignKey("orders.id"))
    reason: Mapped[str]
    who: Mapped[str]
    #: milliseconds since 1970, UTC
    at: Mapped[int] = mapped_column(BigInteger)


def record(transaction: Transaction, item_ids: Iterable[int], shift: Shift, cause: Cause) -> None:
    """Write a movement of each of these items, whose counts were changed in this transaction."""
    transaction.execute(_RECORD, {"item_ids": list(item_ids), **values_of(shift, cause)})


def record_new(transaction: Transaction, skus: Sequence[str], cause: Cause) -> None:
    """Write the first movement of items that were added in this transaction."""
    for start in range(0, len(skus), _BATCH):
        values = {"skus": list(skus[start : start + _BATCH]), **values_of(Shift(), cause)}
        transaction.execute(_RECORD_NEW, values)


def values_of(shift: Shift, cause: Cause) -> dict[str, Any]:
    """Return what a statement needs that writes movements."""
    return {
        "by_left": shift.left,
        "by_held": shift.held,
        "by_sold": shift.sold,
        "by_kind": cause.kind,
        "by_order": cause.order_id,
        "by_reason": cause.reason,
        "by_whom": cause.who,
        "by_now": int(time.time() * 1000),
    }


def history(session: Session, item_id: int) -> Iterable[Any]:
    """Read the movements of an item with their orders' numbers, the newest last."""
    return session.execute(_HISTORY, {"of_item": item_id}, execution_options={"yield_per": 1000})


#: How many are written by one statement.
_BATCH = 500

#: The columns of a movement, as statements write them.
COLUMNS = (
    *("item_id", "delta", "held_delta", "sold_delta", "count_after"),
    *("kind", "order_id", "reason", "who", "at"),
)


def written(item_id: Any, delta: Any, count_after: Any) -> Any:
    """Return the question whose rows are written as movements; see `values_of`."""
    return select(
        *(item_id, delta, _big("by_held"), _big("by_sold"), count_after),
        *(_text("by_kind"), bindparam("by_order", type_=Integer)),
        *(_text("by_reason"), _text("by_whom"), _big("by_now")),
    )


def _big(name: str) -> Any:
    return bindparam(name, type_=BigInteger)


def _text(name: str) -> Any:
    return bindparam(name, type_=String)


# Made once: making a statement takes longer than running it.
_RECORD = insert(Movement).from_select(
    COLUMNS,
    written(Item.id, _big("by_left"), Item.available)
    .where(Item.id.in_(bindparam("item_ids")))
    .order_by(Item.id),
)
_RECORD_NEW = insert(Movement).from_select(
    COLUMNS,
    written(Item.id, Item.available + _big("by_left"), Item.available)
    .where(Item.sku.in_(bindparam("skus")))
    .order_by(Item.id),
)
_HISTORY = (
    select(
        *(Movement.at, Movement.kind, Movement.delta, Movement.held_delta, Movement.sold_delta),
        *(Movement.count_after, Order.number, Movement.reason, Movement.who),
    )
    .outerjoin(Order, Order.id == Movement.order_id)
    .where(Movement.item_id == bindparam("of_item"))
    .order_by(Movement.id)
)
