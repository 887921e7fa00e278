"""The demo catalogue: two shoes of a brand that doesn't exist."""

from __future__ import annotations

import random

from sqlalchemy import func, insert, select

from shop.changes import EVERYTHING
from shop.config import Settings
from shop.db import Database, Transaction
from shop.migrations import migrate
from shop.models import Item, Product
from shop.models.ledger import DEMO, SHOP, Cause, record_new
from shop.versions import draw

_SIZES = [half / 2 for half in range(12, 25)]  # 6 to 12 in halves

_SHOES = [
    {
        "sku": "OST-TIDELINE",
        "name": "Tideline",
        "color": "Fog / Sea green",
        "price": 12000,
        "main_image": "ostervane-tideline.svg",
    },
    {
        "sku": "OST-KILN",
        "name": "Kiln",
        "color": "Clay / Bone",
        "price": 16500,
        "main_image": "ostervane-kiln.svg",
    },
]


class NotEmpty(Exception):
    """The shop has products already."""


def prepare_database(database: Database, settings: Settings) -> None:
    """Create or migrate the database; one just created starts with the demo catalogue.

    `SHOP_DEMO=off` leaves it empty.
    """
    created = migrate(database, settings.instance)
    if created and settings.demo:
        database.transact(seed)


def seed(transaction: Transaction, random_seed: int | None = None, who: str = SHOP) -> None:
    """Fill an empty shop: 201 to 1,200 pieces of each size, and one size in ten sold out.

    Args:
        random_seed: the same number gives the same stock again.
        who: an operator's login name, for the ledger.

    Raises:
        NotEmpty: there are products. Nothing was changed.
    """
    ((count,),) = transaction.execute(select(func.count()).select_from(Product))
    if count:
        raise NotEmpty
    chance = random.Random(random_seed)
    version = draw(transaction)
    items: list[dict[str, object]] = []
    for position, shoe in enumerate(_SHOES, 1):
        product = {"brand": "Ostervane", "position": position, "released": False, **shoe}
        ((product_id,),) = transaction.execute(_ADD_PRODUCT, {**product, "version": version})
        for size in _SIZES:
            sku, available = f"{shoe['sku']}-{int(size * 10):03}", chance.randint(201, 1200)
            item = {"product_id": product_id, "sku": sku, "size": f"{size:g}", "version": version}
            items.append(item | {"available": available})
    for item in chance.sample(items, len(items) // 10):
        item["available"] = 0
    transaction.execute_each(_ADD_ITEM, items)
    record_new(transaction, [str(item["sku"]) for item in items], Cause(DEMO, who=who))
    transaction.note(EVERYTHING)


_ADD_PRODUCT = insert(Product).returning(Product.id)
_ADD_ITEM = insert(Item)
