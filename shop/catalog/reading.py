"""A file of products, whoever wrote it, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shop.catalog import own_columns, shopify, shopify_counts, shopify_rows
from shop.catalog.cells import Money
from shop.catalog.entries import CatalogError, Entries
from shop.catalog.lines import Progress, Row, open_rows


def read_catalog(
    path: Path,
    currency: str,
    counts: Path | None = None,
    progress: Progress = lambda read: None,
) -> Entries:
    """Read a file of the nine columns, or Shopify's export of products.

    Args:
        currency: the shop's, in ISO 4217.
        counts: Shopify's inventory, of a shop of several locations.

    Raises:
        CatalogError: it can't be used; the line is named.
        OSError: it can't be opened.
    """
    with open_rows(path, progress) as (separator, rows):
        entries = _read(rows, Money(currency, comma=separator == ";"), counts)
    if not entries.products:
        raise CatalogError("the file has no products below its headings")
    return entries


def _read(rows: Iterator[Row], money: Money, counts: Path | None) -> Entries:
    headings = _headings(rows)
    if shopify_rows.is_export(headings):
        stock = shopify_counts.read_counts(counts) if counts else None
        return shopify.read_products(headings, rows, money, stock)
    if counts:
        raise CatalogError("counts in a file of their own go with Shopify's export of products")
    return own_columns.read_products(headings, rows, money)


def _headings(rows: Iterator[Row]) -> list[str]:
    found = next(rows, None)
    if found is None:
        raise CatalogError("the file is empty")
    names = [" ".join(cell.lower().split()) for cell in found[1]]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice:
        raise CatalogError(f"the column {twice} is there twice", found[0])
    known = {*own_columns.COLUMNS, *shopify_rows.HEADINGS}
    if not known & set(names):
        wanted = ",".join(own_columns.COLUMNS)
        raise CatalogError(f"the headings are neither Shopify's nor {wanted}", found[0])
    return names
