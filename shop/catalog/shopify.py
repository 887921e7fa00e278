"""Shopify's export of products, as the products that it means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from shop.catalog.cells import (
    Money,
    count_of,
    long_text,
    made_sku,
    read_in_place,
    short_text,
    sku_of,
)
from shop.catalog.entries import CatalogError, Entries, Picture, ProductEntry, SizeEntry
from shop.catalog.lines import Row
from shop.catalog.shopify_counts import Counts
from shop.catalog.shopify_rows import HEADINGS, YES, Cells, Product, Variant, products_of


def read_products(
    headings: list[str], rows: Iterable[Row], money: Money, counts: Counts | None
) -> Entries:
    """Make products of rows, one for each colour where colour is an option.

    Args:
        counts: from `shopify_counts.read_counts`, in the place of what the rows say.

    Raises:
        CatalogError: a row can't be used.
    """
    meanings = [HEADINGS.get(name) for name in headings]
    ignored = [name for name in headings if name and name not in HEADINGS]
    products = products_of(rows, meanings)
    counted = counts is not None or "quantity" in meanings
    made = [entry for p in products for entry in _entries(p, money, counts, counted)]
    _refuse_twice(made)
    notes = [f"Columns that mean nothing here: {', '.join(ignored)}"] if ignored else []
    if not counted:
        notes.append("The file has no counts: new sizes have 0 pieces; --counts reads them")
    return Entries(made, notes + _notes_on_stock(products, counts))


def _notes_on_stock(products: list[Product], counts: Counts | None) -> list[str]:
    """Return what is said once of a file, however often it happens."""
    variants = [variant for product in products for variant in product.variants]
    notes = []
    if oversold := sum(variant.oversold for variant in variants):
        notes.append(f"Sizes that Shopify sells beyond their count: {oversold}; not here")
    negative = sum(_is_negative(v.quantity) for v in variants) if counts is None else 0
    if negative:
        notes.append(f"Sizes with counts below 0: {negative}; they are 0 here")
    return notes


def _is_negative(quantity: str) -> bool:
    return quantity.startswith("-") and quantity[1:].isdecimal()


def _entries(
    product: Product, money: Money, counts: Counts | None, counted: bool
) -> list[ProductEntry]:
    if not product.variants:
        raise CatalogError(f"the product {product.handle} has no price", product.line)
    by_color: dict[str, list[Variant]] = defaultdict(list)
    for variant in product.variants:
        by_color[variant.color].append(variant)
    return [
        _entry(product, color, variants, money, counts, counted)
        for color, variants in by_color.items()
    ]


def _entry(
    product: Product,
    color: str,
    variants: list[Variant],
    money: Money,
    counts: Counts | None,
    counted: bool,
) -> ProductEntry:
    first = product.first
    sku = made_sku(product.handle, color).lower() if color else product.handle
    entry = ProductEntry(
        read_in_place(product.line, "handle", lambda: sku_of(sku)),
        product.line,
        brand=read_in_place(product.line, "vendor", lambda: short_text(first["vendor"])),
        name=read_in_place(product.line, "title", lambda: short_text(first["title"])),
        color=color,
        price=_price(variants, money),
        description=long_text(first["description"]),
        hidden=_hidden(first),
        pictures=_pictures(product, variants),
    )
    for variant in variants:
        count = _count(product.handle, variant, counts) if counted else None
        item_sku = short_text(variant.sku) or made_sku(entry.sku, variant.size)
        entry.sizes.append(SizeEntry(variant.size, item_sku, count, variant.line))
    return entry


def _price(variants: list[Variant], money: Money) -> int:
    first = variants[0]
    prices = {
        v.price: read_in_place(v.line, "price", partial(money.parse, v.price)) for v in variants
    }
    for variant in variants:
        if prices[variant.price] != prices[first.price]:
            why = f"it is another than in line {first.line}; all sizes of a product cost the same"
            raise CatalogError(why, variant.line, "price")
    return prices[first.price]


def _hidden(first: Cells) -> bool | None:
    published, status = first["published"].lower(), first["status"].lower()
    if not published and not status:
        return None
    return status in ("draft", "archived") or (bool(published) and published not in YES)


def _pictures(product: Product, variants: list[Variant]) -> tuple[Picture, ...]:
    """Return the pictures of one colour: its own first, and none that is another colour's."""
    ordered = [picture for _, _, picture in sorted(product.pictures, key=lambda p: p[:2])]
    own = dict.fromkeys(variant.image for variant in variants if variant.image)
    others = {v.image for v in product.variants if v.image} - own.keys()
    alts = {picture.reference: picture.alt for picture in ordered}
    mains = [Picture(reference, alts.get(reference, "")) for reference in own]
    if len({variant.color for variant in product.variants}) < 2:
        mains, others = [], set()
        ordered += [Picture(r, "") for r in own if r not in alts]
    left = [p for p in ordered if p.reference not in own or not mains]
    return (*mains, *(picture for picture in left if picture.reference not in others))


def _count(handle: str, variant: Variant, counts: Counts | None) -> int:
    if counts is not None:
        by_options = counts.get((handle, *variant.options), 0)
        return counts.get((variant.sku,), by_options) if variant.sku else by_options
    if _is_negative(variant.quantity):
        return 0
    text = variant.quantity or "0"
    return read_in_place(variant.line, "quantity", lambda: count_of(text))


def _refuse_twice(products: list[ProductEntry]) -> None:
    """Refuse a sku, or a size of a product, that is there twice."""
    skus: dict[str, int] = {}
    for product in products:
        sizes: dict[str, int] = {}
        for size in product.sizes:
            _once(skus, str(size.sku), size.line, f"the sku {size.sku}")
            _once(sizes, size.size, size.line, f"size {size.size} of {product.sku}")


def _once(seen: dict[str, int], name: str, line: int, what: str) -> None:
    before = seen.setdefault(name.casefold(), line)
    if before != line:
        raise CatalogError(f"{what} is in line {before} already", line)
