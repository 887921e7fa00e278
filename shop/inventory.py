"""The catalogue and its stock as this process sees them, and what changed for a shopper.

The view is read anew whenever the database says that somebody committed something, so a page
never shows less than what is true. Counts stay inside: a shopper sees levels.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from sqlalchemy import select

from shop.changes import concerns_stock
from shop.db import Database, DatabaseBusy, now_ms
from shop.models import Item, Product, catalog_stamp

OUT, LOW, MEDIUM, HIGH = "out", "low", "medium", "high"


@dataclass(frozen=True, slots=True)
class Levels:
    """The bounds between levels, in pieces."""

    low: int
    medium: int

    def of(self, available: int) -> str:
        """Return the level that a shopper sees of a count."""
        if available <= 0:
            return OUT
        if available < self.low:
            return LOW
        return MEDIUM if available < self.medium else HIGH


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item as shoppers see it. Its version grows when they would see something else."""

    id: int
    product_id: int
    sku: str
    size: str
    level: str
    version: int

    @property
    def sold_out(self) -> bool:
        return self.level == OUT

    def looks_like(self, other: ItemView) -> bool:
        return (self.sku, self.size, self.level) == (other.sku, other.size, other.level)


@dataclass(frozen=True)
class ProductView:
    """A product as shoppers see it, with its items in the order of their ids."""

    id: int
    sku: str
    brand: str
    name: str
    color: str
    price: int
    main_image: str
    released: bool
    position: int
    items: tuple[ItemView, ...]
    version: int
    gone: bool = False

    @cached_property
    def _look(self) -> tuple[object, ...]:
        return (
            *(self.sku, self.brand, self.name, self.color, self.price, self.main_image),
            *(self.released, self.position, self.gone, self.items),
        )

    def looks_like(self, other: ProductView) -> bool:
        return self._look == other._look

    @classmethod
    def gone_now(cls, product_id: int) -> ProductView:
        """What is left of a product that was taken out of the shop, for who still shows it."""
        return cls(product_id, "", "", "", "", 0, "", False, 0, (), now_ms(), gone=True)


@dataclass(frozen=True)
class Catalog:
    """Every product at one moment. Never changes: a new moment is a new catalogue."""

    products: tuple[ProductView, ...] = ()
    by_id: dict[int, ProductView] = field(default_factory=dict)
    by_sku: dict[str, ProductView] = field(default_factory=dict)
    items: dict[int, ItemView] = field(default_factory=dict)
    item_ids: dict[str, int] = field(default_factory=dict)
    #: when this process opened the database, in milliseconds since 1970: no fragment carries an
    #: older version, so that tabs believe also what a backup brought back
    opened: int = 0

    @classmethod
    def of(cls, products: list[ProductView], opened: int) -> Catalog:
        ordered = tuple(sorted(products, key=lambda p: (p.position, p.id)))
        items = {item.id: item for product in ordered for item in product.items}
        return cls(
            products=ordered,
            by_id={product.id: product for product in ordered},
            by_sku={product.sku: product for product in ordered},
            items=items,
            item_ids={item.sku: item.id for item in items.values()},
            opened=opened,
        )

    def product_of(self, item: ItemView) -> ProductView:
        return self.by_id[item.product_id]


@dataclass(frozen=True, slots=True)
class StockNews:
    """What shoppers see differently: products by id, and items by id that opened or closed."""

    products: frozenset[int]
    items: frozenset[int]


class Inventory:
    """This process's view of the catalogue."""

    def __init__(self, database: Database, levels: Levels) -> None:
        self._database = database
        self._levels = levels
        self._commits = database.watch()
        self._lock = threading.Lock()
        self._catalog = Catalog()
        self._stamp: object = None
        #: whether the last question had no answer
        self._away = False
        #: called with the news of every change, whoever made it and whoever noticed it first
        self.listeners: list[Callable[[StockNews], None]] = []
        #: called after the catalogue was read anew, with how many seconds that took
        self.on_refreshed: Callable[[float], None] = lambda seconds: None

    def current(self) -> Catalog:
        """Return the catalogue as it is, read anew if a commit since has touched it.

        Raises:
            DatabaseError, DatabaseBusy: the database is away.
        """
        # Whoever asks while another reads gets what is read. But one is enough to wait for a
        # database that did not answer: all pages would stand in line.
        if not self._lock.acquire(blocking=not self._away):
            raise DatabaseBusy("the database did not answer just now")
        try:
            if self._commits.happened():
                self._look()
            return self._catalog
        finally:
            self._lock.release()

    @property
    def last_known(self) -> Catalog:
        """The catalogue as it was last read: what there is to show when the database is away."""
        return self._catalog

    def hear(self, names: frozenset[str]) -> None:
        """Note what was announced: who asks next gets what is true then."""
        if concerns_stock(names):
            self._commits.mark()

    def refresh(self) -> None:
        """Read everything, whatever the database says of commits."""
        with self._lock:
            self._refresh()

    def _look(self) -> None:
        try:
            self._catch_up()
            self._away = False
        except BaseException:
            self._away = True
            self._commits.close()
            raise

    def _catch_up(self) -> None:
        stamp = catalog_stamp(self._database)
        if stamp != self._stamp:
            self._refresh()
            self._stamp = stamp

    def _refresh(self) -> None:
        started = time.perf_counter()
        before, after = self._catalog, self._read()
        self.on_refreshed(time.perf_counter() - started)
        self._catalog = after
        news = _compare(before, after)
        if news.products:
            for listener in self.listeners:
                listener(news)

    def _read(self) -> Catalog:
        opened = self._database.opened
        known = self._catalog if self._catalog.opened == opened else Catalog()
        item_rows, product_rows = self._database.rows(_ITEMS), self._database.rows(_PRODUCTS)
        items: dict[int, list[ItemView]] = {}
        for item_id, product_id, sku, size, available, version in item_rows:
            view = ItemView(item_id, product_id, sku, size, self._levels.of(available), version)
            items.setdefault(product_id, []).append(_same_or_newer(known.items.get(item_id), view))
        products = []
        for row in product_rows:
            sizes = tuple(items.get(row.id, ()))
            newest = max([opened, row.version, *(item.version for item in sizes)])
            look = {**row._mapping, "items": sizes, "version": newest}
            product = ProductView(**look)
            products.append(_same_or_newer(known.by_id.get(product.id), product))
        return Catalog.of(products, opened)


V = TypeVar("V", ItemView, ProductView)


def _same_or_newer(old: V | None, view: V) -> V:
    """Return the old view if it looks the same, else the new one under a version above its."""
    if old is None:
        return view
    if old.looks_like(view):
        return old
    return replace(view, version=max(view.version, old.version + 1))


_ITEMS = select(
    Item.id, Item.product_id, Item.sku, Item.size, Item.available, Item.version
).order_by(Item.id)
_PRODUCTS = select(
    *(Product.id, Product.sku, Product.brand, Product.name, Product.color, Product.price),
    *(Product.main_image, Product.released, Product.position, Product.version),
)


def _compare(before: Catalog, after: Catalog) -> StockNews:
    changed = {
        product_id
        for product_id in before.by_id.keys() | after.by_id.keys()
        if before.by_id.get(product_id) is not after.by_id.get(product_id)
    }
    items = {
        item_id
        for item_id in before.items.keys() | after.items.keys()
        if _for_sale(before, item_id) != _for_sale(after, item_id)
    }
    return StockNews(frozenset(changed), frozenset(items))


def _for_sale(catalog: Catalog, item_id: int) -> tuple[object, ...]:
    """What a cart that holds an item shows of it."""
    item = catalog.items.get(item_id)
    if item is None:
        return ()
    product = catalog.product_of(item)
    words = (product.brand, product.name, product.main_image, product.sku, item.size)
    return (item.sold_out, product.released, product.price, *words)
