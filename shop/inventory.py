"""The catalogue and its stock as this process sees them, and what changed for a shopper.

The view is read anew whenever the database says that somebody committed something, so a page
never shows less than what is true (in PostgreSQL: was true a moment ago, see `PollingWatch`).
Counts stay inside: a shopper sees levels.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import literal_column, select, true

from shop.changes import concerns_stock
from shop.db import Database, DatabaseBusy
from shop.models import (
    CATALOG_STAMPS,
    LISTED_PICTURES,
    WITHDRAWN,
    Item,
    Product,
    catalog_stamp,
)
from shop.product_views import Catalog, ItemView, Levels, PictureView, ProductView
from shop.versions import LAST, NUMBERS, Floor, newest, succeed

#: How long a page waits for the catalogue to be read, in seconds, until it shows what was known.
PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class StockNews:
    """What shoppers see differently: products by id, and items by id that opened or closed."""

    products: frozenset[int]
    items: frozenset[int]
    #: products of which more than the stock changed, by id, and pages of their list, by number
    heads: frozenset[int] = frozenset()
    lists: frozenset[int] = frozenset()


V = TypeVar("V", ItemView, ProductView)


class Inventory:
    """This process's view of the catalogue."""

    def __init__(self, database: Database, levels: Levels, floor: Floor) -> None:
        self._database = database
        self._levels = levels
        self._floor = floor
        #: which of the databases at its address was read last
        self._opened = 0
        #: whether what looks the same is to be shown under the version that it has now
        self._renewing = False
        self._commits = database.watch()
        self._lock = threading.Lock()
        self._catalog = Catalog()
        self._stamp: object = None
        #: whether a change of the catalogue was announced, so that the database needn't be asked
        self._notified = False
        #: whether the last question had no answer
        self._away = False
        #: called with the news of every change, whoever made it and whoever noticed it first
        self.listeners: list[Callable[[StockNews], None]] = []
        #: called after the catalogue was read anew, with how many seconds that took
        self.on_refreshed: Callable[[float], None] = lambda seconds: None

    def current(self) -> Catalog:
        """Return the catalogue as it is, read anew if a commit since has touched it.

        Raises:
            DBAPIError, DatabaseBusy: the database is away.
        """
        # Whoever asks while another reads gets what is read. But one is enough to wait for a
        # database that does not answer: all pages would stand in line.
        if not self._lock.acquire(timeout=0 if self._away else PATIENCE):
            self._away = True
            raise DatabaseBusy("the database does not answer")
        try:
            if self._commits.happened():
                self._appearance()
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
            self._notified = True
            self._commits.mark()

    def refresh(self) -> None:
        """Read everything, whatever the database says of commits."""
        with self._lock:
            self._refresh()

    def renew(self) -> None:
        """Read everything, and show it under the versions that it has now.

        What looks the same is shown as it was, mostly; but while nobody watched, it may have
        changed and changed back, and who comes from elsewhere has seen that.
        """
        with self._lock:
            self._renewing = True
            try:
                self._refresh()
            finally:
                self._renewing = False

    def _appearance(self) -> None:
        try:
            self._catch_up()
            self._away = False
        except BaseException:
            self._away = True
            self._commits.close()
            raise

    def _catch_up(self) -> None:
        notified, self._notified = self._notified, False
        try:
            if notified or self._stamp is None or catalog_stamp(self._database) != self._stamp:
                self._refresh()
        except BaseException:
            self._notified = True
            raise

    def _refresh(self) -> None:
        started = time.perf_counter()
        before, after = self._catalog, self._read()
        self.on_refreshed(time.perf_counter() - started)
        news = _compare(before, after)
        if not news.products and self._catalog.floor == after.floor:
            return  # counts moved within their levels: what was made of the catalogue stays good
        self._catalog = after
        if news.products:
            for listener in self.listeners:
                listener(news)

    def _read(self) -> Catalog:
        known = self._known()
        floor, last = known.floor, 0
        shelf: dict[tuple[Any, ...], list[ItemView]] = {}
        self._stamp = None
        for row in self._database.rows(_CATALOG[self._database.engine.name]):
            self._stamp, last = row.stamp, row.last_value
            if row.id is None:  # the shop is empty
                break
            items = shelf.setdefault(row[: len(_PRODUCT) + 1], [])
            if row.item_id is not None:
                items.append(self._item(row, known))
        products = []
        for (row_version, *appearance, withdrawn, pictures), sizes in shelf.items():
            version = newest(floor, row_version, *(item.version for item in sizes))
            named = dict(zip(_SHOWN, appearance, strict=True))
            product = ProductView(
                **named,
                items=tuple(sizes),
                version=version,
                row_version=row_version,
                withdrawn=bool(withdrawn),
                pictures=PictureView.all_of(pictures),
            )
            products.append(self._same_or_newer(known.by_id.get(product.id), product))
        self._floor.note(last)
        return Catalog.of(products, floor, last, known, renew=self._renewing)

    def _known(self) -> Catalog:
        """Return the catalogue as it was known, of the database that stands there now."""
        if self._opened == self._database.opened:
            return self._catalog
        known = Catalog(floor=self._floor.raise_counter())
        self._opened = self._database.opened
        return known

    def _item(self, row: Any, known: Catalog) -> ItemView:
        level = self._levels.of(row.available)
        view = ItemView(row.item_id, row.id, row.item_sku, row.size, level, row.item_version)
        return self._same_or_newer(known.items.get(view.id), view)

    def _same_or_newer(self, old: V | None, view: V) -> V:
        """Return the old view if it looks the same, else the new one under a version above its."""
        if old is None:
            return view
        if old.shows_same(view):
            version = newest(old.version, view.version)
            return replace(view, version=version) if self._renewing else old
        return replace(view, version=succeed(old.version, view.version))


#: What a view takes over from a product's row.
_SHOWN = (
    *("id", "sku", "brand", "name", "color", "price", "main_image", "position"),
    *("released", "opens_at", "opened_at", "sold_out_at"),
)
_PRODUCT = (Product.version, *(getattr(Product, name) for name in _SHOWN), WITHDRAWN)

#: Everything in one question, with the stamp and the last number of that moment.
_CATALOG = {
    dialect: select(
        *_PRODUCT,
        LISTED_PICTURES[dialect].c.pictures,
        *(Item.id.label("item_id"), Item.sku.label("item_sku"), Item.size, Item.available),
        *(Item.version.label("item_version"), literal_column(f"({stamp})").label("stamp"), LAST),
    )
    .select_from(NUMBERS)
    .outerjoin(Product, true())
    .outerjoin(LISTED_PICTURES[dialect], LISTED_PICTURES[dialect].c.product_id == Product.id)
    .outerjoin(Product.items)
    .order_by(Item.position, Item.id)
    for dialect, stamp in CATALOG_STAMPS.items()
}


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
    heads = {i for i in changed if _head(before, i) != _head(after, i)}
    numbers = range(1, max(len(before.lists), len(after.lists)) + 1)
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
    return (item.sold_out, *open_, product.price, *words)
