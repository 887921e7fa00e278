"""Which products were changed since they were read, by whatever means.

On SQLite triggers note each change, whoever makes it, and commits follow one another: nothing is
missed. On PostgreSQL a change is found by its announcement, or by the version that it gave its row:
a trigger gives one to what is written by hand. Rows that were deleted are found by a comparison.
"""

from __future__ import annotations

from collections.abc import Set

from sqlalchemy import bindparam, select, text, union

from shop.db import Database
from shop.models.catalog import Item, Product
from shop.versions import Horizon

#: With more changed products than this, all are read: that is one question.
_MANY = 400


class CatalogChanges:
    """What of the catalogue is to be read again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._horizon = Horizon(database.overlap)
        self._stamp: object = None
        #: products with versions that rows of theirs had, of those that are looked at again
        self._known: set[tuple[int, int]] = set()

    def all_read(self, stamp: object, last: int) -> None:
        """Note that everything was read.

        Args:
            stamp: the catalogue's stamp of that moment.
            last: the last number that had been drawn.
        """
        self._stamp = stamp
        self._horizon.reached(last)

    def find(self, announced: Set[int]) -> Set[int] | None:
        """Return the ids of the products that may have changed since; None: all may have.

        Args:
            announced: of products that are said to have changed.
        """
        if self._stamp is None:
            return None
        if self._database.engine.name == "sqlite":
            found = self._noted()
        else:
            found = self._newer() | announced
        return found if len(found) <= _MANY else None

    def anything_else(self) -> bool:
        """Tell whether rows may have been changed in a way that `find` doesn't see."""
        if self._database.engine.name == "sqlite":
            return False
        before, self._stamp = self._stamp, catalog_stamp(self._database)
        return before != self._stamp

    def forget(self) -> None:
        """Have everything read again."""
        self._stamp = None
        self._horizon.forget()

    def _noted(self) -> set[int]:
        rows = self._database.rows(_NOTED, {"since": self._stamp})
        if rows:
            self._stamp = max(row.change for row in rows)
        return {row.product_id for row in rows}

    def _newer(self) -> set[int]:
        since = self._horizon.since or 0
        rows = {(row.id, row.version) for row in self._database.rows(_NEWER, {"since": since})}
        self._horizon.reached(max([since, *(version for _, version in rows)]))
        new, self._known = rows - self._known, rows
        return {product_id for product_id, _ in new}


def catalog_stamp(database: Database) -> object:
    """Return what differs once products or items were changed, by whatever means."""
    (row,) = database.rows(_STAMPS[database.engine.name])
    return row[0]


#: SQLite: a counter that triggers keep. PostgreSQL, where one counter would make all buyers wait
#: for one another: every changed row carries the number of a newer transaction.
CATALOG_STAMPS = {
    "sqlite": "SELECT changes FROM catalog_stamp",
    "postgresql": (
        "SELECT (count(*), sum(version), sum(xmin::text::bigint))::text || (SELECT "
        "(count(*), sum(version), sum(xmin::text::bigint))::text FROM products) FROM items"
    ),
}
_STAMPS = {dialect: text(stamp) for dialect, stamp in CATALOG_STAMPS.items()}
_NOTED = text("SELECT product_id, change FROM catalog_changes WHERE change > :since")
_NEWER = union(
    select(Product.id, Product.version).where(Product.version > bindparam("since")),
    select(Item.product_id.label("id"), Item.version).where(Item.version > bindparam("since")),
)
