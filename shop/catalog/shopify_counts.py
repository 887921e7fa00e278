"""Shopify's inventory: a file of its own that says how many there are of each variant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from shop.catalog.cells import count_of, read_in_place, short_text
from shop.catalog.entries import CatalogError
from shop.catalog.lines import Row, open_rows
from shop.catalog.shopify_rows import is_export
from shop.models.catalog import MOST_PIECES

#: Counts by sku, and by handle and options where there is no sku.
Counts = dict[tuple[str, ...], int]


def read_counts(path: Path) -> Counts:
    """Read Shopify's inventory: what all locations together have of each variant.

    Raises:
        CatalogError: it can't be used; the file and the line are named.
        OSError: it can't be opened.
    """
    try:
        with open_rows(path) as (_, rows):
            return _read_counts(rows)
    except CatalogError as error:
        raise CatalogError(f"{path.name}: {error}") from None


def _read_counts(rows: Iterator[Row]) -> Counts:
    _, headings = next(rows, (1, []))
    names = [" ".join(cell.lower().split()) for cell in headings]
    wanted = ("on hand (current)", "on hand", "available (not editable)", "available")
    column = next((name for name in wanted if name in names), None)
    if column is None or not is_export(names):
        raise CatalogError("there is no column 'On hand' or 'Available' beside the handle", 1)
    counts: Counts = defaultdict(int)
    for line, cells in rows:
        row = dict(zip(names, cells, strict=False))
        text = row.get(column, "").strip()
        if text.lower() in ("", "not stocked"):
            continue
        number = 0 if text.startswith("-") else read_in_place(line, column, partial(count_of, text))
        options = (short_text(row.get(f"option{n} value", "")) for n in (1, 2, 3))
        handle = row.get("url handle", "") or row.get("handle", "")
        sku = row.get("sku", "").removeprefix("'")
        for key in ((handle.strip(), *filter(None, options)), (sku,) if sku else None):
            if key is not None:
                counts[key] = min(counts[key] + number, MOST_PIECES)
    return dict(counts)
