"""Many products by a file: brought into the shop, and written out."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path

import click
from sqlalchemy import select

from shop.catalog.entries import CatalogError, Entries
from shop.catalog.obtaining import Sources
from shop.catalog.own_columns import images_cell, write_products
from shop.catalog.planning import Change
from shop.catalog.reading import read_catalog
from shop.command_services import command_services as services
from shop.commands import WrongCall, on_database
from shop.commands.places import FILE, FOLDER, NEW_FILE, replacing
from shop.commands.product_changes import apply_entries, line_of
from shop.commands.screen import count
from shop.models import Product, ProductPicture
from shop.money import decimal_amount

#: From how many bytes on a file is long enough to show how far it is read.
_LONG = 1_000_000


@click.command("import")
@click.argument("file", type=FILE)
@click.option("--images", type=FOLDER, help="A folder with the pictures that the file names.")
@click.option("--counts", type=FILE, help="Shopify's inventory, with counts by location.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@on_database(makes_shop=True)
def import_products(
    file: Path, images: Path | None, counts: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Create or update products from a CSV file: all of it or nothing.

    It is Shopify's export of products, or has the columns product, brand, name, color, size,
    price, count, image, description, and a row for each size. Products that it doesn't name stay
    as they are. Pictures are taken from a folder by their names, and fetched where the file has
    addresses. A picture that can't be had is named, and the rest is imported.

    \b
    Examples:
      bin/flask catalog import products.csv --images photographs --dry-run
      bin/flask catalog import products_export.csv --counts inventory_export.csv
    """
    entries = _read(file, counts)
    sources = Sources(images, may_fetch=not dry_run)
    changes, notes = apply_entries(entries.products, sources, f"{file.name}: ", dry_run)
    notes = [*entries.notes, *notes]
    if as_json:
        rows = [_as_json(change) for change in changes]
        click.echo(json.dumps({"dry_run": dry_run, "products": rows, "notes": notes}, indent=1))
        return
    for change in changes:
        if not change.is_empty:
            click.echo(line_of(change))
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(_summary(changes, dry_run))


def _read(file: Path, counts: Path | None) -> Entries:
    size = file.stat().st_size
    currency = services.settings.currency
    try:
        if size < _LONG:
            return read_catalog(file, currency, counts)
        with click.progressbar(length=size, label="Reading", file=sys.stderr) as bar:
            return read_catalog(file, currency, counts, bar.update)
    except CatalogError as error:
        raise WrongCall(f"{file.name}: {error}; nothing was changed") from None


def _as_json(change: Change) -> dict[str, object]:
    action = "new" if change.known is None else "unchanged" if change.is_empty else "changed"
    return {
        "sku": change.entry.sku,
        "action": action,
        "changes": {name: list(pair) for name, pair in change.values.items()},
        "counts": {size: [before, after] for size, before, after in change.counts.values()},
        "new_sizes": {new["size"]: new["available"] for new in change.new_sizes},
        "pictures": [*map(len, change.pictures)] if change.pictures else None,
    }


def _summary(changes: list[Change], dry_run: bool) -> str:
    new = sum(change.known is None for change in changes)
    same = sum(change.is_empty for change in changes)
    said = f"{new} new, {len(changes) - new - same} changed, {same} as they were"
    if dry_run:
        return f"Nothing was changed. It would be: {said}"
    return f"Imported: {said}" + (". Next: bin/flask release SKU…" if new else "")


@click.command("export")
@click.argument("file", type=NEW_FILE)
@on_database
def export_products(file: Path) -> None:
    """Write all products into a file of nine columns that 'import' reads.

    \b
    Example:
      bin/flask catalog export products.csv
    """
    currency = services.settings.currency
    listed = select(Product).where(~Product.removed).order_by(Product.position, Product.id)
    with services.database.reading() as session:
        products = session.scalars(listed).all()
        pictures = defaultdict[int, list[str]](list)
        for product_id, reference in session.execute(_REFERENCES):
            pictures[product_id].append(reference)
        rows = [row for each in products for row in _rows(each, pictures[each.id], currency)]
    with replacing(file) as out:
        write_products(out, rows)
    click.echo(f"{count(len(products), 'product')} written to {file}")


def _rows(product: Product, pictures: list[str], currency: str) -> list[tuple[object, ...]]:
    before = (product.sku, product.brand, product.name, product.color)
    after = (images_cell(filter(None, [product.main_image, *pictures])), product.description)
    price = decimal_amount(product.price, currency)
    return [(*before, item.size, price, item.available, *after) for item in product.items]


_REFERENCES = select(ProductPicture.product_id, ProductPicture.reference).order_by(
    ProductPicture.product_id, ProductPicture.position
)
