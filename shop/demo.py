"""The demo catalogue: two shoes of a brand that does not exist, from a file as operators have."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy import func, select

from shop.catalog.applying import apply
from shop.catalog.entries import ProductEntry
from shop.catalog.reading import read_catalog
from shop.config import Settings
from shop.db import Database, Transaction
from shop.migrations import migrate
from shop.models import Product
from shop.models.catalog_edit import edit_alone
from shop.models.ledger import DEMO, SHOP, Cause
from shop.setting_values import ROOT

_FILE = ROOT / "examples" / "ostervane.csv"

#: Of the prices in that file; another currency has the same numbers, in its minor units.
_CURRENCY = "USD"


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
    edit_alone(transaction)
    ((count,),) = transaction.execute(select(func.count()).select_from(Product))
    if count:
        raise NotEmpty
    chance = random.Random(random_seed)
    products = read_catalog(_FILE, _CURRENCY).products
    counts = [chance.randint(201, 1200) for product in products for _ in product.sizes]
    for at in chance.sample(range(len(counts)), len(counts) // 10):
        counts[at] = 0
    left = iter(counts)
    counted = [_with_counts(each, left) for each in products]
    apply(transaction, counted, {}, Cause(DEMO, who=who))


def _with_counts(product: ProductEntry, counts: Iterator[int]) -> ProductEntry:
    return replace(product, sizes=[replace(size, count=next(counts)) for size in product.sizes])
