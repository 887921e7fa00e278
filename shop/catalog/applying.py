"""Making the shop what was said of it: one transaction, all or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from shop.catalog.entries import ProductEntry
from shop.catalog.planning import Change, KnownItem, KnownProduct, plan
from shop.db import Transaction
from shop.models import Item, Product, set_stock
from shop.models.catalog_edit import (
    add_items,
    add_products,
    change_item,
    change_product,
    edit_alone,
)
from shop.models.ledger import Cause
from shop.models.picture import PictureUse, ProductPicture, set_pictures


def apply(
    transaction: Transaction,
    entries: Sequence[ProductEntry],
    pictures: Mapping[str, str],
    cause: Cause,
) -> list[Change]:
    """Create or update products, by sku, as they are said to be.

    Counts become what was said whatever was sold since the file was read: the difference is to
    what is there now.

    Args:
        pictures: the hashes of those that are stored, by what a file calls them.
        cause: what the ledger says of counts.

    Returns:
        What was changed, product by product.

    Raises:
        CatalogError: it can't be; the transaction must be rolled back.
    """
    edit_alone(transaction)
    rows = (transaction.execute(question) for question in (_PRODUCTS, _ITEMS, _PICTURES))
    known = read_known(*rows)
    changes = plan(entries, known, pictures)
    _add(transaction, [change for change in changes if change.known is None], known, cause)
    for change in changes:
        if change.known is not None:
            _update(transaction, change, change.known, cause)
    return changes


def read_known(
    products: Iterable[Any], items: Iterable[Any], pictures: Iterable[Any]
) -> list[KnownProduct]:
    """Put together products, their items and their pictures as they were read."""
    known = {row.id: KnownProduct(row.id, dict(row._asdict())) for row in products}
    for row in items:
        item = KnownItem(row.id, row.sku, row.size, row.available, row.position)
        known[row.product_id].items.append(item)
    for row in pictures:
        known[row.product_id].pictures.append(PictureUse(row.reference, row.alt, row.hash))
    return list(known.values())


def _add(
    transaction: Transaction, new: list[Change], known: list[KnownProduct], cause: Cause
) -> None:
    if not new:
        return
    last = max((product.values["position"] for product in known), default=0)
    rows = [
        {**{name: after for name, (_, after) in change.values.items()}, "position": last + number}
        for number, change in enumerate(new, 1)
    ]
    add_products(transaction, rows)
    ids = {row.sku: row.id for row in transaction.execute(_PRODUCTS)}
    items = [{**size, "product_id": ids[c.entry.sku]} for c in new for size in c.new_sizes]
    add_items(transaction, items, cause)
    for change in new:
        if change.pictures:
            set_pictures(transaction, ids[change.entry.sku], change.pictures[1])


def _update(transaction: Transaction, change: Change, known: KnownProduct, cause: Cause) -> None:
    if change.values or change.pictures:
        values = {name: after for name, (_, after) in change.values.items()}
        change_product(transaction, known.id, values)
    if change.pictures:
        set_pictures(transaction, known.id, change.pictures[1])
    for item_id, values in change.items.items():
        change_item(transaction, item_id, known.id, values)
    for item_id, (_, _, count) in sorted(change.counts.items()):
        set_stock(transaction, item_id, count, cause)
    if change.new_sizes:
        sizes = [{**size, "product_id": known.id} for size in change.new_sizes]
        add_items(transaction, sizes, cause)


_PRODUCTS = select(
    *(Product.id, Product.sku, Product.brand, Product.name, Product.color, Product.price),
    *(Product.main_image, Product.description, Product.hidden, Product.removed, Product.position),
)
_ITEMS = select(
    *(Item.id, Item.product_id, Item.sku, Item.size, Item.available, Item.position)
).order_by(Item.position, Item.id)
_PICTURES = select(
    *(ProductPicture.product_id, ProductPicture.reference),
    *(ProductPicture.alt, ProductPicture.hash),
).order_by(ProductPicture.product_id, ProductPicture.position)
