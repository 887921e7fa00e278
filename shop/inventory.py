"""The catalogue and its stock as this process sees them, and what changed for a shopper.

The view is read anew whenever the database says that somebody committed something, so a page
never shows less than what is true (in PostgreSQL: was true a moment ago, see `PollingWatch`).
Counts stay inside: a shopper sees levels.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from shop.catalog_questions import CATALOG, PRODUCT, SHOWN, SOME
from shop.catalog_views import Catalog
from shop.changes import EVERYTHING, concerns_stock, shelf_id_of
from shop.db import Database, DatabaseBusy
from shop.models import CatalogChanges
from shop.product_views import ItemView, Levels, PictureView, ProductView
from shop.stock_news import StockNews, compare
from shop.versions import Floor, newest, succeed

#: How long a page waits for the catalogue to be read, in seconds, until it shows what was known.
TIMEOUT = 1.0


V = TypeVar("V", ItemView, ProductView)

#: Items by what their product's row has.
Shelf = dict[tuple[Any, ...], list[ItemView]]


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
        self._changes = CatalogChanges(database)
        #: products of which a change was announced, and whether everything may have changed
        self._announced: set[int] = set()
        self._all_announced = False
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
        if not self._lock.acquire(timeout=0 if self._away else TIMEOUT):
            self._away = True
            raise DatabaseBusy("the database does not answer")
        try:
            if self._commits.happened():
                self._see_commits()
            return self._catalog
        finally:
            self._lock.release()

    @property
    def last_known(self) -> Catalog:
        """The catalogue as it was last read: what there is to show when the database is away."""
        return self._catalog

    def hear(self, names: frozenset[str]) -> None:
        """Note what was announced: the next question is answered by what is true then."""
        if concerns_stock(names):
            self._all_announced |= EVERYTHING in names
            self._announced.update(i for i in map(shelf_id_of, names) if i is not None)
            self._commits.mark()

    def refresh(self) -> None:
        """Look for all that changed, whatever the database says of commits."""
        with self._lock:
            if self._changes.anything_else():
                self._read_all()
            else:
                self._catch_up()

    def renew(self) -> None:
        """Read everything, and show it under the versions that it has now.

        What looks the same is shown as it was, mostly; but while nobody watched, it may have
        changed and changed back, and tabs from elsewhere have seen that.
        """
        with self._lock:
            self._renewing = True
            try:
                self._read_all()
            finally:
                self._renewing = False

    def _see_commits(self) -> None:
        try:
            self._catch_up()
            self._away = False
        except BaseException:
            self._away = True
            self._commits.close()
            raise

    def _catch_up(self) -> None:
        """Read what changed, and nothing else."""
        announced, self._announced = self._announced, set()
        everything, self._all_announced = self._all_announced, False
        same_database = self._opened == self._database.opened
        try:
            changed = self._changes.find(announced) if same_database and not everything else None
            if changed is None:
                self._read_all()
            elif changed:
                self._take_over(partial(self._read_some, sorted(changed)))
        except BaseException:
            self._changes.forget()  # what was announced is not lost: everything is read next
            raise

    def _read_all(self) -> None:
        self._take_over(self._read)

    def _take_over(self, read: Callable[[], Catalog]) -> None:
        started = time.perf_counter()
        before, after = self._catalog, read()
        self.on_refreshed(time.perf_counter() - started)
        if after is before:
            return
        news = compare(before, after)
        if not news.products and before.floor == after.floor:
            return  # counts moved within their levels: what was made of the catalogue stays good
        self._catalog = after
        if news.products:
            for listener in self.listeners:
                listener(news)

    def _read_some(self, product_ids: list[int]) -> Catalog:
        """Read some products, and put them in the place of what is known of them."""
        known, last = self._catalog, 0
        shelf: Shelf = {}
        wanted = {"product_ids": product_ids}
        for row in self._database.rows(SOME[self._database.engine.name], wanted):
            last = row.last_value
            self._shelve(row, shelf, known)
        products: dict[int, ProductView | None] = dict.fromkeys(product_ids)
        products.update({p.id: p for p in self._views(shelf, known)})
        self._floor.note(last)
        return known.with_products(products, last)

    def _read(self) -> Catalog:
        known = self._known()
        stamp, last = None, 0
        shelf: Shelf = {}
        for row in self._database.rows(CATALOG[self._database.engine.name]):
            stamp, last = row.stamp, row.last_value
            self._shelve(row, shelf, known)
        products = self._views(shelf, known)
        self._changes.all_read(stamp, last)
        self._floor.note(last)
        return Catalog.of(products, known.floor, last, known, renew=self._renewing)

    def _shelve(self, row: Any, shelf: Shelf, known: Catalog) -> None:
        if row.id is None:  # the shop is empty
            return
        items = shelf.setdefault(row[: len(PRODUCT) + 1], [])
        if row.item_id is not None:
            items.append(self._item(row, known))

    def _views(self, shelf: Shelf, known: Catalog) -> list[ProductView]:
        products = []
        for (row_version, *appearance, withdrawn, pictures), sizes in shelf.items():
            product = ProductView(
                **dict(zip(SHOWN, appearance, strict=True)),
                items=tuple(sizes),
                version=newest(known.floor, row_version, *(item.version for item in sizes)),
                row_version=row_version,
                withdrawn=bool(withdrawn),
                pictures=PictureView.all_of(pictures),
            )
            products.append(self._same_or_newer(known.by_id.get(product.id), product))
        return products

    def _known(self) -> Catalog:
        """Return the catalogue as it was known, of the database that stands there now."""
        if self._opened == self._database.opened:
            return self._catalog
        known = Catalog(floor=self._floor.raise_counter())
        self._opened = self._database.opened
        return known

    def _item(self, row: Any, known: Catalog) -> ItemView:
        at_till = row.available <= 0 < row.held
        view = ItemView(
            *(row.item_id, row.id, row.item_sku, row.size),
            *(self._levels.of(row.available), row.item_version, at_till),
        )
        return self._same_or_newer(known.items.get(view.id), view)

    def _same_or_newer(self, old: V | None, view: V) -> V:
        """Return the old view if it looks the same, else the new one under a version above its."""
        if old is None:
            return view
        if old.shows_same(view):
            version = newest(old.version, view.version)
            return replace(view, version=version) if self._renewing else old
        return replace(view, version=succeed(old.version, view.version))
