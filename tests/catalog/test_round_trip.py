"""What is exported and imported again changes nothing, whatever stands in it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shop.catalog.cells import MOST_MONEY, Money, long_text, made_sku, short_text
from shop.catalog.own_columns import write_products
from shop.catalog.planning import KnownItem, KnownProduct, plan
from shop.catalog.reading import read_catalog
from shop.money import decimal_amount
from shop.text import find_no_text

ODD = st.sampled_from(
    [",", '"', "'", ";", "\n", "\t", " ", "=1", "👟🏽", "שלום", "\u202bعربي", "é"]
)
TEXTS = (
    st.lists(ODD | st.text(max_size=5), max_size=6)
    .map("".join)
    .filter(lambda t: not find_no_text(t))
)
NAMES = TEXTS.map(short_text)
CURRENCIES = st.sampled_from([("USD", 2), ("JPY", 0), ("KWD", 3)])


@st.composite
def products(draw: Any) -> tuple[str, list[KnownProduct]]:
    currency, digits = draw(CURRENCIES)
    prices = st.sampled_from([0, 1, MOST_MONEY * 10**digits]) | st.integers(0, 10**9)
    skus = draw(st.lists(NAMES.filter(bool), min_size=1, max_size=4, unique_by=str.casefold))
    known, number = list[KnownProduct](), 0
    for sku in filter(lambda sku: sku not in (".", ".."), skus):
        texts = {name: draw(NAMES) for name in ("brand", "name", "color")}
        values = {"sku": sku, **texts, "price": draw(prices), "hidden": draw(st.booleans())}
        values |= {"description": draw(TEXTS.map(long_text)), "main_image": "", "removed": False}
        product = KnownProduct(len(known) + 1, values)
        sizes = draw(st.lists(NAMES.filter(bool), min_size=1, max_size=4, unique_by=str.casefold))
        for size in sizes:
            number += 1
            item = KnownItem(number, f"{made_sku(sku, size)}-{number}", size, draw(prices), 0)
            item.available = min(item.available, 10**9)
            product.items.append(item)
        known.append(product)
    return currency, known


@given(products())
def test_what_was_exported_changes_nothing(shop: tuple[str, list[KnownProduct]]) -> None:
    currency, known = shop
    if not known:
        return
    money = Money(currency)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out.csv"
        with file.open("w", encoding="utf-8", newline="") as out:
            write_products(out, [row for product in known for row in _rows(product, money)])
        entries = read_catalog(file, currency)
    changes = plan(entries.products, known, {})
    assert len(changes) == len(known)
    assert all(change.is_empty for change in changes), changes


def _rows(product: KnownProduct, money: Money) -> list[tuple[object, ...]]:
    said = product.values
    before = (said["sku"], said["brand"], said["name"], said["color"])
    after = (said["main_image"], said["description"])
    price = decimal_amount(said["price"], money.currency)
    return [(*before, item.size, price, item.available, *after) for item in product.items]
