"""What shoppers see differently of two catalogues, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from shop.catalog_views import Catalog


@dataclass(frozen=True, slots=True)
class StockNews:
    """What shoppers see differently: products by id, and items by id that opened or closed."""

    products: frozenset[int]
    items: frozenset[int]
    #: products of which more than the stock changed, by id, and pages of their list, by number
    heads: frozenset[int] = frozenset()
    lists: frozenset[int] = frozenset()


def compare(before: Catalog, after: Catalog) -> StockNews:
    """Find what a shopper sees differently."""
    changed = {i for i in after.differs(before) if before.by_id.get(i) is not after.by_id.get(i)}
    items = {
        item.id
        for product_id in changed
        for catalog in (before, after)
        if (product := catalog.by_id.get(product_id)) is not None
        for item in product.items
        if _for_sale(before, item.id) != _for_sale(after, item.id)
    }
    heads = {i for i in changed if _head(before, i) != _head(after, i)}
    numbers = range(1, max(len(before.lists), len(after.lists)) + 1)
    if after.changed is not None:  # products in their places
        numbers = range(0)
    lists = {n for n in numbers if not before.page(n).shows_same(after.page(n))}
    return StockNews(*map(frozenset, (changed, items, heads, lists)))


def _head(catalog: Catalog, product_id: int) -> tuple[object, ...]:
    product = catalog.by_id.get(product_id)
    return () if product is None or product.withdrawn else (product.head, product.row_version)


def _for_sale(catalog: Catalog, item_id: int) -> tuple[object, ...]:
    """What a cart that holds an item shows of it."""
    item = catalog.items.get(item_id)
    if item is None:
        return ()
    product = catalog.product_of(item)
    words = (product.brand, product.name, product.thumbnail, product.sku, item.size)
    open_ = (product.released, product.opens_at, product.withdrawn)
    return (item.sold_out, item.at_till, *open_, product.price, *words)
