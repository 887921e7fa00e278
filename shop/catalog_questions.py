"""How the database is asked for the catalogue: once for everything, or for some products."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, literal_column, select, true

from shop.models import CATALOG_STAMPS, LISTED_PICTURES, PICTURES_OF, WITHDRAWN, Item, Product
from shop.versions import LAST, NUMBERS

#: What a view takes over from a product's row.
SHOWN = (
    *("id", "sku", "brand", "name", "color", "price", "main_image", "position"),
    *("released", "opens_at", "opened_at", "sold_out_at"),
)
PRODUCT = (Product.version, *(getattr(Product, name) for name in SHOWN), WITHDRAWN)


def _question(pictures: Any, *more: Any) -> Select[Any]:
    """Return the question for products with their items, and the last number of that moment.

    Args:
        pictures: those of a product.
    """
    return (
        select(
            *PRODUCT,
            pictures,
            *(Item.id.label("item_id"), Item.sku.label("item_sku"), Item.size),
            *(Item.available, Item.held),
            *(Item.version.label("item_version"), LAST, *more),
        )
        .select_from(NUMBERS)
        .order_by(Item.position, Item.id)
    )


#: Everything in one question, with the stamp of that moment.
CATALOG = {
    dialect: _question(
        LISTED_PICTURES[dialect].c.pictures, literal_column(f"({stamp})").label("stamp")
    )
    .outerjoin(Product, true())
    .outerjoin(LISTED_PICTURES[dialect], LISTED_PICTURES[dialect].c.product_id == Product.id)
    .outerjoin(Product.items)
    for dialect, stamp in CATALOG_STAMPS.items()
}

_WANTED = Product.id.in_(bindparam("product_ids"))
#: Some products, by id: the same question of less.
SOME = {
    dialect: _question(pictures).outerjoin(Product, _WANTED).outerjoin(Product.items)
    for dialect, pictures in PICTURES_OF.items()
}
