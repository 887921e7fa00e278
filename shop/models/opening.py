"""How the sale of a product opens, at once or at a moment, and how it is closed again.

Moments are by the database's clock, in milliseconds since 1970: of several machines each may have a
clock of its own, and none of them opens anything early.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select, update

from shop.changes import shelf_name
from shop.db import Database, Transaction
from shop.db.clock import now_in_ms
from shop.models.catalog import Product
from shop.versions import advance, next_version


def release(transaction: Transaction, product_id: int) -> bool:
    """Open the sale of a product. Returns False, and changes nothing, when it is open already."""
    return _change(transaction, _RELEASE, product_id)


def close(transaction: Transaction, product_id: int) -> bool:
    """Take a release back: it is coming soon again. Returns False when it isn't open."""
    return _change(transaction, _CLOSE, product_id)


def schedule(transaction: Transaction, product_id: int, opens_at: int) -> bool:
    """Announce the moment at which a product opens by itself, in the place of another.

    Args:
        opens_at: milliseconds since 1970.

    Returns:
        False when it is open already: then nothing is changed.
    """
    return _change(transaction, _SCHEDULE, product_id, opens_at=opens_at)


def cancel(transaction: Transaction, product_id: int) -> bool:
    """Take an announced moment back. Returns False when none is announced."""
    return _change(transaction, _CANCEL, product_id)


def open_due(transaction: Transaction) -> list[int]:
    """Open all products whose moment has come, each once, whoever else tries at the same time.

    Returns:
        The ids of those that this opened.
    """
    if not transaction.execute(_DUE):
        return []
    advance(transaction)
    opened = [row.id for row in transaction.execute(_OPEN_DUE)]
    for product_id in opened:
        transaction.note(shelf_name(product_id))
    return opened


def database_time(database: Database) -> int:
    """Return the database's time, in milliseconds since 1970."""
    now: int = database.rows(_NOW)[0].now
    return now


def _change(transaction: Transaction, statement: object, product_id: int, **values: int) -> bool:
    advance(transaction)
    transaction.note(shelf_name(product_id))
    return bool(transaction.execute(statement, {"product": product_id, **values}))  # type: ignore[arg-type]


_NOW = select(now_in_ms().label("now"))
_ONE = update(Product).where(Product.id == bindparam("product")).returning(Product.id)
_NEXT = {"version": next_version(Product.version)}
_OPEN = {**_NEXT, "released": True, "opened_at": now_in_ms(), "sold_out_at": None}
_RELEASE = _ONE.where(~Product.released).values(_OPEN)
_CLOSE = _ONE.where(Product.released).values(
    **_NEXT, released=False, opens_at=None, opened_at=None, sold_out_at=None
)
_SCHEDULE = _ONE.where(~Product.released).values(**_NEXT, opens_at=bindparam("opens_at"))
_IS_SCHEDULED = Product.opens_at.is_not(None) & ~Product.released
_CANCEL = _ONE.where(_IS_SCHEDULED).values(**_NEXT, opens_at=None)
_IS_DUE = (Product.opens_at <= now_in_ms()) & ~Product.released & ~Product.removed
_DUE = select(Product.id).where(_IS_DUE).limit(1)
_OPEN_DUE = update(Product).where(_IS_DUE).values(_OPEN).returning(Product.id)
