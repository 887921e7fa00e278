"""The only ways in which a count changes. Each is entered into the ledger with its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import ColumnElement, bindparam, exists, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from shop.changes import shelf_name
from shop.db import Transaction
from shop.models import ledger
from shop.models.catalog import LARGEST_ID, ON_SALE, WITHDRAWN, Item, Product, UnknownItem
from shop.models.ledger import CORRECTION, COUNTER_SALE, HOLD, SALE, Cause, Shift
from shop.models.stock_alert import queue_alerts
from shop.versions import advance, next_version


class Unavailable(Exception):
    """An item that can't be bought now."""

    def __init__(self, item_id: int) -> None:
        super().__init__(item_id)
        self.item_id = item_id


class OutOfStock(Unavailable):
    """Fewer pieces are left than were asked for."""


class NotReleased(Unavailable):
    """Its product is still coming soon."""

    def __init__(self, item_id: int, opens_at: int | None = None) -> None:
        """Take the announced moment, in milliseconds since 1970; None: none is."""
        super().__init__(item_id)
        self.opens_at = opens_at


class Withdrawn(Unavailable):
    """Its product was hidden or removed: it is not sold any more."""


def take(
    transaction: Transaction,
    item_ids: Iterable[int],
    count: int = 1,
    cause: Cause = Cause(SALE),  # noqa: B008
) -> set[int]:
    """Take `count` pieces of each of these items off the shelf, of those on sale that have as many.

    Sold they are, or held if that is the cause.

    The database decides, in one statement, whatever anybody's memory says of the counts. Rows are
    locked in the order of their ids, so that two buyers never wait for each other in a circle.

    Returns:
        The ids of the items that were taken; of the others nothing was.
    """
    advance(transaction)
    held = count if cause.kind == HOLD else 0
    shift = Shift(left=-count, held=held, sold=count - held)
    values = {"item_ids": list(item_ids), "count": count, **_values(shift)}
    taken = set()
    for item_id, product_id in transaction.execute(_TAKE, values):
        taken.add(item_id)
        transaction.note(shelf_name(product_id))
    if taken:
        ledger.record(transaction, taken, shift, cause)
    return taken


def sell(
    transaction: Transaction,
    item_id: int,
    count: int = 1,
    cause: Cause = Cause(COUNTER_SALE),  # noqa: B008
) -> None:
    """Take `count` pieces of an item off the shelf: all of them or none.

    Raises:
        UnknownItem: there is none with this id.
        Withdrawn: its product was hidden or removed.
        NotReleased: its product is coming soon.
        OutOfStock: fewer than `count` pieces are left.
    """
    check_for_sale(transaction, item_id)
    if not take(transaction, [item_id], count, cause):
        raise OutOfStock(item_id)


def move(transaction: Transaction, item_ids: Iterable[int], shift: Shift, cause: Cause) -> None:
    """Move pairs of these items between the shelf, those held and those sold.

    Rows are locked in the order of their ids, as by `take`.
    """
    advance(transaction)
    ids = list(item_ids)
    for _, product_id in transaction.execute(_MOVE, {"item_ids": ids, **_values(shift)}):
        transaction.note(shelf_name(product_id))
    ledger.record(transaction, ids, shift, cause)
    if shift.left > 0:
        queue_alerts(transaction, ids, shift.left)


def _values(shift: Shift) -> dict[str, int]:
    return {"left_by": shift.left, "held_by": shift.held, "sold_by": shift.sold}


def set_stock(
    transaction: Transaction,
    item_id: int,
    count: int,
    cause: Cause = Cause(CORRECTION),  # noqa: B008
) -> tuple[int, int]:
    """Say that exactly `count` pieces of an item are on the shelf.

    Returns:
        How many there were before, and how many there are.

    Raises:
        UnknownItem: there is none with this id.
    """
    return _put(transaction, item_id, lambda before: count, cause)


def stock_up(
    transaction: Transaction,
    item_id: int,
    count: int,
    cause: Cause = Cause(CORRECTION),  # noqa: B008
) -> tuple[int, int]:
    """Put `count` more pieces of an item on the shelf; see `set_stock`."""
    return _put(transaction, item_id, lambda before: before + count, cause)


def _put(
    transaction: Transaction, item_id: int, count: Callable[[int], int], cause: Cause
) -> tuple[int, int]:
    rows = transaction.execute(_LOCK, {"item_id": item_id})
    if not rows:
        raise UnknownItem(item_id)
    ((before, product_id),) = rows
    after = count(before)
    advance(transaction)
    transaction.execute(_PUT, {"item_id": item_id, "count": after})
    if after != before:
        ledger.record(transaction, [item_id], Shift(left=after - before), cause)
    if after > before:
        queue_alerts(transaction, [item_id], after - before)
    transaction.note(shelf_name(product_id))
    return before, after


def check_for_sale(transaction: Transaction, item_id: int) -> None:
    """Raise what keeps an item from being put into a cart now.

    Raises:
        UnknownItem: there is none with this id.
        Withdrawn: its product was hidden or removed.
        NotReleased: its product is coming soon.
        OutOfStock: no piece is left.
    """
    known = {"item_id": item_id if item_id <= LARGEST_ID else 0}
    rows = transaction.execute(_FOR_SALE, known)
    if not rows:
        raise UnknownItem(item_id)
    ((released, opens_at, withdrawn, available),) = rows
    if withdrawn:
        raise Withdrawn(item_id)
    if not released:
        raise NotReleased(item_id, opens_at)
    if available < 1:
        raise OutOfStock(item_id)


def _shifted(*conditions: ColumnElement[bool]) -> ReturningUpdate[int, int]:
    """Return what shifts the counts of these items, of those of which this is true.

    The inner conditions pick and lock (FOR NO KEY UPDATE: who puts the item into a cart needn't
    wait; SQLite has no need of locks), the outer ones are looked at again by a database that had
    to wait for another buyer.
    """
    locked = (
        select(Item.id)
        .where(Item.id.in_(bindparam("item_ids")), *conditions)
        .order_by(Item.id)
        .with_for_update(key_share=True)
    )
    statement = update(Item).where(Item.id.in_(locked), *conditions)
    return statement.values(
        available=Item.available + bindparam("left_by"),
        held=Item.held + bindparam("held_by"),
        sold=Item.sold + bindparam("sold_by"),
        version=next_version(Item.version),
    ).returning(Item.id, Item.product_id)


# Made once: making a statement takes longer than running it.
_FOR_SALE_NOW = exists().where(Product.id == Item.product_id, ON_SALE)
_TAKE = _shifted(Item.available >= bindparam("count"), _FOR_SALE_NOW)
_MOVE = _shifted()
_FOR_SALE = (
    select(Product.released, Product.opens_at, WITHDRAWN, Item.available)
    .join(Item.product)
    .where(Item.id == bindparam("item_id"))
)
_LOCK = (
    select(Item.available, Item.product_id)
    .where(Item.id == bindparam("item_id"))
    .with_for_update(key_share=True)
)
_PUT = (
    update(Item)
    .where(Item.id == bindparam("item_id"))
    .values(available=bindparam("count"), version=next_version(Item.version))
)
