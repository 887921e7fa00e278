"""An operator's own products: many by a file, or one."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from shop.catalog.applying import apply
from shop.catalog.cells import Money, short_text, sku_of
from shop.catalog.entries import CatalogError, Entries, Picture, ProductEntry, SizeEntry
from shop.catalog.obtaining import Sources
from shop.catalog.own_columns import images_cell, write_products
from shop.catalog.planning import Change
from shop.catalog.reading import read_catalog
from shop.command_services import command_services as services
from shop.commands import CannotBeDone, WholeNumber, WrongCall, on_database
from shop.commands.pictures import (
    OwnFiles,
    kept_pictures,
    obtain_pictures,
    take_away_pictures,
)
from shop.commands.screen import count
from shop.db import Transaction
from shop.models import Product, ProductPicture, UnknownProduct
from shop.models.catalog_edit import change_product
from shop.models.picture import discard_pictures
from shop.money import format_money

#: From how many bytes on a file is long enough to show how far it is read.
_LONG = 1_000_000

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


class _OnlyTried(Exception):
    """Ends a transaction that was to show what it would change."""

    def __init__(self, changes: list[Change]) -> None:
        self.changes = changes


@click.command("import")
@click.argument("file", type=_FILE)
@click.option("--images", type=_FOLDER, help="A folder with the pictures that the file names.")
@click.option("--counts", type=_FILE, help="Shopify's inventory, with counts by location.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@on_database(makes_shop=True)
def import_products(
    file: Path, images: Path | None, counts: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Create or update products from a CSV file: all of it or nothing.

    It is Shopify's export of products, or has the columns product, brand, name, color, size,
    price, count, image, description, and a row for each size. Products that it doesn't name stay
    as they are. Pictures are taken from a folder by their names, and fetched where the file has
    addresses; one that can't be had is named, and the rest is imported.

    \b
    Examples:
      bin/flask catalog import products.csv --images photographs --dry-run
      bin/flask catalog import products_export.csv --counts inventory_export.csv
    """
    entries = _read(file, counts)
    sources = Sources(images, may_fetch=not dry_run)
    changes, notes = _apply(entries.products, sources, f"{file.name}: ", dry_run)
    notes = [*entries.notes, *notes]
    if as_json:
        rows = [_as_json(change) for change in changes]
        click.echo(json.dumps({"dry_run": dry_run, "products": rows, "notes": notes}, indent=1))
        return
    for change in changes:
        if not change.is_empty:
            click.echo(_line(change))
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


def _apply(
    products: Sequence[ProductEntry], sources: Sources, where: str = "", dry_run: bool = False
) -> tuple[list[Change], list[str]]:
    """Make the shop what was said; return what was changed, and what is to be noted.

    Args:
        where: what each line of an error about pictures begins with.
    """
    obtained = obtain_pictures(products, sources, where)
    try:
        changes = _transact(products, obtained.hashes, dry_run)
    finally:
        discard_pictures(services.database, obtained.new)
    left = [f"{count(sources.left, 'picture')} would be fetched"] * bool(sources.left)
    return changes, [*obtained.notes, *left]


def _transact(
    products: Sequence[ProductEntry], pictures: Mapping[str, str], dry_run: bool
) -> list[Change]:
    def work(transaction: Transaction) -> list[Change]:
        changes = apply(transaction, products, pictures)
        if dry_run:
            raise _OnlyTried(changes)
        return changes

    try:
        return services.database.transact(work)
    except _OnlyTried as tried:
        return tried.changes
    except CatalogError as error:
        raise WrongCall(f"{error}; nothing was changed") from None
    except IntegrityError:
        raise CannotBeDone("another command changed products just now; try again") from None


def _line(change: Change) -> str:
    """Say what becomes of a product."""
    if change.known is None:
        pieces = sum(size["available"] for size in change.new_sizes)
        sizes = count(len(change.new_sizes), "size")
        shown = f", {count(len(change.pictures[1]), 'picture')}" if change.pictures else ""
        return f"{change.entry.sku}: new, {sizes}, {count(pieces, 'piece')}{shown}"
    said = [f"{n} {_shown(n, a)} -> {_shown(n, b)}" for n, (a, b) in change.values.items()]
    said += [f"size {size}: {a} -> {b}" for size, a, b in change.counts.values()]
    said += [f"size {new['size']}: new, {new['available']}" for new in change.new_sizes]
    if change.pictures:
        before, after = map(len, change.pictures)
        said += [f"pictures: {before} -> {after}" if before != after else "pictures changed"]
    moved = sum(1 for values in change.items.values() if values)
    said += [f"{count(moved, 'size')} renamed or moved"] * bool(moved)
    return f"{change.known.values['sku']}: {'; '.join(said)}"


def _shown(name: str, value: Any) -> str:
    if name == "price":
        return format_money(value, services.settings.currency)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


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
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@on_database
def export_products(file: Path) -> None:
    """Write all products into a file of nine columns that 'import' reads.

    \b
    Example:
      bin/flask catalog export products.csv
    """
    money = Money(services.settings.currency)
    listed = select(Product).where(~Product.removed).order_by(Product.position, Product.id)
    with services.database.reading() as session:
        products = session.scalars(listed).all()
        pictures = defaultdict[int, list[str]](list)
        for product_id, reference in session.execute(_REFERENCES):
            pictures[product_id].append(reference)
        rows = [row for each in products for row in _rows(each, pictures[each.id], money)]
    with file.open("w", encoding="utf-8", newline="") as out:
        write_products(out, rows)
    click.echo(f"{count(len(products), 'product')} written to {file}")


def _rows(product: Product, pictures: list[str], money: Money) -> list[tuple[object, ...]]:
    before = (product.sku, product.brand, product.name, product.color)
    after = (images_cell(filter(None, [product.main_image, *pictures])), product.description)
    price = money.written(product.price)
    return [(*before, item.size, price, item.available, *after) for item in product.items]


_REFERENCES = select(ProductPicture.product_id, ProductPicture.reference).order_by(
    ProductPicture.product_id, ProductPicture.position
)


def _described(command: Any) -> Any:
    command = click.option(
        "--image", "images", type=_FILE, multiple=True, help="A picture; the first is the main one."
    )(command)
    for name in ("description", "price", "color", "brand", "name"):
        command = click.option(f"--{name}")(command)
    return command


@click.command("add")
@click.argument("sku")
@_described
@click.option("--sizes", required=True, help="Separated by commas, as in 6,6.5,7.")
@click.option("--count", "pieces", type=WholeNumber(0, 10**9), default=0, help="Of each size.")
@on_database(makes_shop=True)
def add_product(
    sku: str, sizes: str, pieces: int, images: tuple[Path, ...], **said: str | None
) -> None:
    """Add one product, coming soon.

    \b
    Example:
      bin/flask catalog add TIDE --name Tide --price 120.00 --sizes 8,8.5,9 --count 5 \\
                            --image side.jpg --image top.jpg
    """
    entry = _entry(sku, sizes, pieces, said)
    files = _with_files(entry, images)
    with services.database.reading() as session:
        try:
            there = Product.find(session, sku)
        except UnknownProduct:
            there = None
    if there is not None and not there.removed and there.sku.casefold() == sku.casefold():
        raise WrongCall(f"there is a product {there.sku} already; 'catalog edit' changes it")
    ((change,), _) = _apply([entry], files)
    click.echo(f"{_line(change)}. Next: bin/flask release {entry.sku}")


@click.command("edit")
@click.argument("sku")
@_described
@click.option("--sizes", help="Sizes that it is to have, in their order; none is taken away.")
@on_database
def edit_product(sku: str, sizes: str | None, images: tuple[Path, ...], **said: str | None) -> None:
    """Change one product. Its pictures give way to those that are named.

    \b
    Example:
      bin/flask catalog edit TIDE --price 99.00
    """
    entry = _entry(_found(sku).sku, sizes or "", None, said)
    _change(entry, _with_files(entry, images))


@click.command("image")
@click.argument("sku")
@click.argument("files", metavar="FILE...", type=_FILE, nargs=-1)
@click.option("--alt", "alts", multiple=True, help="What is seen on a picture, in their order.")
@click.option("--add", is_flag=True, help="Behind those that the product has.")
@click.option("--none", is_flag=True, help="Take all pictures away.")
@on_database
def image_product(
    sku: str, files: tuple[Path, ...], alts: tuple[str, ...], add: bool, none: bool
) -> None:
    """Give a product these pictures, in this order; those that it had give way.

    JPEG, PNG, WebP and AVIF are taken, of up to 30 MB and 60 million pixels. They are made small
    here, and nothing of them goes out but what is to be seen.

    \b
    Examples:
      bin/flask catalog image TIDE side.jpg top.jpg --alt 'From the side' --alt 'From above'
      bin/flask catalog image TIDE sole.jpg --add
    """
    product = _found(sku)
    if none == bool(files):
        raise WrongCall("name the files of the pictures, or say --none; nothing was changed")
    if none:
        take_away_pictures(product)
        click.echo(f"{product.sku} has no pictures")
        return
    entry = ProductEntry(product.sku)
    _change(entry, _with_files(entry, files, alts, kept_pictures(product) if add else ()))


def _with_files(
    entry: ProductEntry,
    files: Sequence[Path],
    alts: Sequence[str] = (),
    kept: tuple[Picture, ...] = (),
) -> Sources:
    """Say of a product that it has the pictures in these files, behind those that it keeps."""
    try:
        own = OwnFiles(files, [picture.reference for picture in kept])
        entry.pictures = (*kept, *own.pictures(alts)) if files else None
    except CatalogError as error:
        raise WrongCall(f"{error}; nothing was changed") from None
    return own


def _change(entry: ProductEntry, files: Sources) -> None:
    ((change,), _) = _apply([entry], files)
    click.echo(f"{entry.sku} is as it was" if change.is_empty else _line(change))


def _entry(sku: str, sizes: str, pieces: int | None, said: dict[str, str | None]) -> ProductEntry:
    try:
        entry = ProductEntry(sku_of(sku), description=said["description"])
        for name in ("name", "brand", "color"):
            text = said[name]
            if text is not None:
                setattr(entry, name, short_text(text))
        if said["price"] is not None:
            entry.price = Money(services.settings.currency).parse(said["price"])
        names = dict.fromkeys(short_text(size) for size in sizes.split(",") if size.strip())
        entry.sizes = [SizeEntry(name, None, pieces) for name in names]
        return entry
    except CatalogError as error:
        raise WrongCall(f"{error}; nothing was changed") from None


@click.command("hide")
@click.argument("sku")
@on_database
def hide_product(sku: str) -> None:
    """Take a product off the pages for now; its sizes can't be bought.

    \b
    Example:
      bin/flask catalog hide OST-KILN
    """
    _set(sku, "is hidden", {"hidden": True})


@click.command("show")
@click.argument("sku")
@on_database
def show_product(sku: str) -> None:
    """Put a hidden product back on the pages.

    \b
    Example:
      bin/flask catalog show OST-KILN
    """
    _set(sku, "is shown", {"hidden": False})


@click.command("remove")
@click.argument("sku")
@on_database
def remove_product(sku: str) -> None:
    """Take a product out of the shop; orders that name it stay as they are.

    \b
    Example:
      bin/flask catalog remove OST-KILN
    """
    # Brought back one day, it is coming soon.
    _set(sku, "is removed", {"removed": True, "released": False})


def _set(sku: str, done: str, values: dict[str, bool]) -> None:
    product = _found(sku)
    if all(getattr(product, column) == value for column, value in values.items()):
        click.echo(f"{product.sku} {done} already")
        return
    services.database.transact(lambda tx: change_product(tx, product.id, values))
    click.echo(f"{product.sku} {done}")


def _found(sku: str) -> Product:
    with services.database.reading() as session:
        try:
            product = Product.find(session, sku)
        except UnknownProduct:
            product = None
    if product is None or product.removed:
        raise WrongCall(f"there is no product {sku!r}; 'bin/flask catalog list' shows them")
    return product


#: In the order of the help.
COMMANDS = (
    import_products,
    export_products,
    add_product,
    edit_product,
    image_product,
    hide_product,
    show_product,
    remove_product,
)
