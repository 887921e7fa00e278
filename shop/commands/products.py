"""An operator's own products, one at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from shop.catalog.cells import Money, check_text, short_text, sku_of
from shop.catalog.entries import CatalogError, Picture, ProductEntry, SizeEntry
from shop.catalog.obtaining import Sources
from shop.command_services import command_services as services
from shop.commands import WholeNumber, WrongCall, on_database
from shop.commands.pictures import OwnFiles, own_pictures, take_away_pictures
from shop.commands.places import FILE
from shop.commands.product_changes import apply_entries, line_of
from shop.commands.product_files import export_products, import_products
from shop.models import Product, UnknownProduct
from shop.models.catalog import MOST_PIECES
from shop.models.catalog_edit import change_product


def _described(command: Any) -> Any:
    command = click.option(
        "--image", "images", type=FILE, multiple=True, help="A picture; the first is the main one."
    )(command)
    for name in ("description", "price", "color", "brand", "name"):
        command = click.option(f"--{name}")(command)
    return command


@click.command("add")
@click.argument("sku")
@_described
@click.option("--sizes", required=True, help="Separated by commas, as in 6,6.5,7.")
@click.option(
    "--count", "pieces", type=WholeNumber(0, MOST_PIECES), default=0, help="Of each size."
)
@on_database(makes_shop=True)
def add_product(
    sku: str, sizes: str, pieces: int, images: tuple[Path, ...], **given: str | None
) -> None:
    """Add one product, coming soon.

    \b
    Example:
      bin/flask catalog add TIDE --name Tide --price 120.00 --sizes 8,8.5,9 --count 5 \\
                            --image side.jpg --image top.jpg
    """
    entry = _entry(sku, sizes, pieces, given)
    files = _with_files(entry, images)
    with services.database.reading() as session, suppress(UnknownProduct):
        there = Product.find(session, sku).sku
        if there.casefold() == sku.casefold():  # else it is one with such an id
            raise WrongCall(f"there is a product {there} already; 'catalog edit' changes it")
    ((change,), _) = apply_entries([entry], files)
    click.echo(f"{line_of(change)}. Next: bin/flask release {entry.sku}")


@click.command("edit")
@click.argument("sku")
@_described
@click.option("--sizes", help="Sizes that it is to have, in their order; none is taken away.")
@on_database
def edit_product(
    sku: str, sizes: str | None, images: tuple[Path, ...], **given: str | None
) -> None:
    """Change one product. Pictures that are named replace those that it has.

    \b
    Example:
      bin/flask catalog edit TIDE --price 99.00
    """
    if sizes is None and not images and all(value is None for value in given.values()):
        raise WrongCall(f"say what is to be changed of {sku!r}, as --price 99.00 does")
    entry = _entry(_found(sku).sku, sizes, None, given)
    _change(entry, _with_files(entry, images))


@click.command("image")
@click.argument("sku")
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1)
@click.option("--alt", "alts", multiple=True, help="What is seen on a picture, in their order.")
@click.option("--add", is_flag=True, help="Add them behind those that it has.")
@click.option("--none", is_flag=True, help="Take all pictures away.")
@on_database
def image_product(
    sku: str, files: tuple[Path, ...], alts: tuple[str, ...], add: bool, none: bool
) -> None:
    """Give a product these pictures, in this order, in the place of those that it had.

    JPEG, PNG, WebP and AVIF are taken, of up to 30 MB and 65 million pixels. Shoppers
    get small copies of them, without what a camera notes of time and place.

    \b
    Examples:
      bin/flask catalog image TIDE side.jpg top.jpg --alt 'From the side' --alt 'From above'
      bin/flask catalog image TIDE sole.jpg --add
    """
    product = _found(sku)
    if none == bool(files):
        raise WrongCall("name the files of the pictures, or say --none; nothing was changed")
    if none and (add or alts):
        raise WrongCall("--none takes all pictures away: it goes with no other option")
    if none:
        take_away_pictures(product)
        click.echo(f"{product.sku} has no pictures")
        return
    entry = ProductEntry(product.sku)
    _change(entry, _with_files(entry, files, alts, own_pictures(product) if add else ()))


def _with_files(
    entry: ProductEntry,
    files: Sequence[Path],
    alts: Sequence[str] = (),
    before: tuple[Picture, ...] = (),
) -> Sources:
    """Say of a product that it has the pictures in these files, behind those that it keeps."""
    try:
        own = OwnFiles(files, [picture.reference for picture in before])
        entry.pictures = (*before, *own.pictures(alts)) if files else None
    except CatalogError as error:
        raise WrongCall(f"{error}; nothing was changed") from None
    return own


def _change(entry: ProductEntry, files: Sources) -> None:
    ((change,), _) = apply_entries([entry], files)
    click.echo(f"{entry.sku} is as it was" if change.is_empty else line_of(change))


def _entry(
    sku: str, sizes: str | None, pieces: int | None, given: dict[str, str | None]
) -> ProductEntry:
    try:
        check_text(given["description"] or "")
        entry = ProductEntry(sku_of(sku), description=given["description"])
        for name in ("name", "brand", "color"):
            text = given[name]
            if text is not None:
                setattr(entry, name, short_text(text))
        if entry.name == "":
            raise CatalogError("the name is missing")
        if given["price"] is not None:
            entry.price = Money(services.settings.currency).parse(given["price"])
        entry.sizes = [SizeEntry(name, None, pieces) for name in _sizes(sizes)]
        return entry
    except CatalogError as error:
        raise WrongCall(f"{error}; nothing was changed") from None


def _sizes(text: str | None) -> list[str]:
    if text is None:
        return []
    sizes = [size for size in map(short_text, text.split(",")) if size]
    if not sizes:
        raise CatalogError("--sizes names none; write them as 6,6.5,7")
    return list(dict.fromkeys(sizes))


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
    values = {"removed": True, "released": False, "opens_at": None}
    _set(sku, "is removed", values, also_removed=True)


def _set(sku: str, done: str, values: Mapping[str, object], *, also_removed: bool = False) -> None:
    product = _found(sku, also_removed=also_removed)
    if all(getattr(product, column) == value for column, value in values.items()):
        click.echo(f"{product.sku} {done} already")
        return
    services.database.transact(lambda tx: change_product(tx, product.id, values))
    click.echo(f"{product.sku} {done}")


def _found(sku: str, *, also_removed: bool = False) -> Product:
    with services.database.reading() as session:
        return Product.find(session, sku, also_removed=also_removed)


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
