"""How products and their sizes come, change, and go. Counts change in `stock`.

A removed product stays as a row, for the orders and the carts that name it; it is sold no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Update, bindparam, insert, text, update

from shop.changes import shelf_name
from shop.db import Transaction
from shop.models.catalog import Item, Product
from shop.models.ledger import Cause, record_new
from shop.versions import advance, draw, next_version


def change_product(transaction: Transaction, product_id: int, values: Mapping[str, Any]) -> None:
    """Set some columns of a product, and no others: others may change those meanwhile."""
    advance(transaction)
    transaction.execute(_change(Product, tuple(values)), {"row": product_id, **_bound(values)})
    transaction.note(shelf_name(product_id))


def change_item(
    transaction: Transaction, item_id: int, product_id: int, values: Mapping[str, Any]
) -> None:
    """Set some columns of an item; see `change_product`. Its count is none of them."""
    advance(transaction)
    transaction.execute(_change(Item, tuple(values)), {"row": item_id, **_bound(values)})
    transaction.note(shelf_name(product_id))


def edit_alone(transaction: Transaction) -> None:
    """Wait until no other transaction makes a catalogue, before it is seen what is there."""
    if transaction.dialect == "postgresql":  # on SQLite one writes at a time
        transaction.execute(_ALONE)


def add_products(transaction: Transaction, products: Sequence[Mapping[str, Any]]) -> None:
    """Add products, coming soon; tabs hear of them by their items."""
    version = draw(transaction)
    given = {"released": False, "removed": False, "version": version}
    transaction.execute_each(_ADD_PRODUCT, [{**product, **given} for product in products])


def add_items(transaction: Transaction, items: Sequence[Mapping[str, Any]], cause: Cause) -> None:
    """Add items to products, with what lies on the shelf of each."""
    version = draw(transaction)
    transaction.execute_each(_ADD_ITEM, [{**item, "version": version} for item in items])
    record_new(transaction, [item["sku"] for item in items], cause)
    for product_id in {item["product_id"] for item in items}:
        transaction.note(shelf_name(product_id))


def _bound(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in values.items()}


@cache
def _change(kind: type[Product] | type[Item], names: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    statement = update(kind).where(kind.id == bindparam("row"))
    return statement.values(**values, version=next_version(kind.version))


_ALONE = text("SELECT pg_advisory_xact_lock(1409875971)")  # any number, but always this one
_ADD_PRODUCT = insert(Product)
_ADD_ITEM = insert(Item)
