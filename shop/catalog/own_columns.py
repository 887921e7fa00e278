"""The shop's own nine columns: a row for each size."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import Any, TextIO, TypeVar

from shop.catalog.cells import Money, count_of, long_text, read_in_place, short_text, sku_of
from shop.catalog.entries import CatalogError, Entries, Picture, ProductEntry, SizeEntry
from shop.catalog.lines import Row

COLUMNS = ("product", "brand", "name", "color", "size", "price", "count", "image", "description")

#: Separates the pictures of a product in their cell.
_BETWEEN_PICTURES = "|"

T = TypeVar("T")


def read_products(headings: list[str], rows: Iterable[Row], money: Money) -> Entries:
    """Make products of rows. What is said of a product stands in its first row, or in each.

    Raises:
        CatalogError: a row can't be used.
    """
    at = {name: place for place, name in enumerate(headings) if name in COLUMNS}
    for needed in ("product", "size"):
        if needed not in at:
            raise CatalogError(f"there is no column {needed}", 1)
    products: dict[str, ProductEntry] = {}
    sizes: dict[tuple[str, str], int] = {}
    for line, cells in rows:
        row = _Row(line, cells, at)
        sku = row.read("product", sku_of) or ""
        key = sku.casefold()
        product = products.setdefault(key, ProductEntry(sku, line))
        _describe(product, row, money)
        size = row.size()
        before = sizes.setdefault((key, size.size.casefold()), line)
        if before != line:
            raise CatalogError(f"size {size.size} of {sku} is in line {before} already", line)
        product.sizes.append(size)
    unknown = [name for name in headings if name and name not in COLUMNS]
    notes = [f"Columns that mean nothing here: {', '.join(unknown)}"] if unknown else []
    return Entries(list(products.values()), notes)


class _Row:
    """A row's cells by their columns."""

    def __init__(self, line: int, cells: list[str], at: dict[str, int]) -> None:
        self.line, self._cells, self._at = line, cells, at

    def read(self, column: str, read: Callable[[str], T]) -> T | None:
        """Return what stands in a column; None: the file has no such column."""
        place = self._at.get(column)
        if place is None:
            return None
        cell = self._cells[place] if place < len(self._cells) else ""
        return read_in_place(self.line, column, lambda: read(cell))

    def size(self) -> SizeEntry:
        size = self.read("size", short_text)
        if not size:
            raise CatalogError("the size is missing", self.line, "size")
        return SizeEntry(size, None, self.read("count", _count), self.line)


def _count(text: str) -> int | None:
    return count_of(text) if text else None


def _describe(product: ProductEntry, row: _Row, money: Money) -> None:
    """Take over what a row says of its product, which is what the rows before say or nothing."""
    said: dict[str, Any] = {
        "brand": row.read("brand", short_text),
        "name": row.read("name", short_text),
        "color": row.read("color", short_text),
        "price": row.read("price", lambda text: money.parse(text) if text else None),
        "description": row.read("description", long_text),
        "pictures": row.read("image", _pictures),
    }
    for name, value in said.items():
        before = getattr(product, name)
        if before in (None, "", ()):
            setattr(product, name, value)
        elif value not in (None, "", ()) and value != before:
            column = "image" if name == "pictures" else name
            why = f"it is another than in line {product.line}, of the same product {product.sku}"
            raise CatalogError(why, row.line, column)


def _pictures(text: str) -> tuple[Picture, ...]:
    return tuple(Picture(name.strip()) for name in text.split(_BETWEEN_PICTURES) if name.strip())


def write_products(file: TextIO, rows: Iterable[tuple[object, ...]]) -> None:
    """Write rows of the nine columns, with their headings, as `read_products` reads them."""
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)


def images_cell(references: Iterable[str]) -> str:
    """Write the pictures of a product into one cell."""
    return f" {_BETWEEN_PICTURES} ".join(references)
