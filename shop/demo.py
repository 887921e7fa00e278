"""The demo catalogue: two shoes of a brand that doesn't exist."""

from __future__ import annotations

import random

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shop.changes import EVERYTHING
from shop.config import Settings
from shop.db import Database, note
from shop.migrations import migrate
from shop.models import Item, Product

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
        database.write(seed)


def seed(session: Session, random_seed: int | None = None) -> None:
    """Fill an empty shop: 201 to 1,200 pieces of each size, and one size in ten sold out.

    Args:
        random_seed: the same number gives the same stock again.

    Raises:
        NotEmpty: there are products. Nothing was changed.
    """
    if session.scalar(select(func.count()).select_from(Product)):
        raise NotEmpty
    chance = random.Random(random_seed)
    items = []
    for position, shoe in enumerate(_SHOES, 1):
        product = Product(brand="Ostervane", position=position, released=False, **shoe)
        session.add(product)
        session.flush()
        items += [_item(product, size, chance.randint(201, 1200)) for size in _SIZES]
    for item in chance.sample(items, len(items) // 10):
        item.available = 0
    session.add_all(items)
    note(session, EVERYTHING)


def _item(product: Product, size: float, available: int) -> Item:
    sku = f"{product.sku}-{int(size * 10):03}"
    return Item(product_id=product.id, sku=sku, size=f"{size:g}", available=available)
