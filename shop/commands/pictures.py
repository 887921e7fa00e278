"""The pictures of a product, from an operator's files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from sqlalchemy import bindparam, select

from shop.catalog.cells import short_text
from shop.catalog.entries import CatalogError, Picture, ProductEntry
from shop.catalog.obtaining import Obtained, Sources, named, obtain
from shop.catalog.planning import is_shipped
from shop.command_services import command_services as services
from shop.commands import WrongCall
from shop.db import Transaction
from shop.models import Product, ProductPicture
from shop.models.catalog_edit import change_product
from shop.models.picture import set_pictures
from shop.pictures.originals import read_file

#: From how many pictures on making them takes long enough to show how far it is.
_MANY = 3

#: How long the name may be under which a file is known, in characters.
_LONGEST_NAME = 100


class OwnFiles(Sources):
    """Files that were named one by one, wherever they are."""

    def __init__(self, files: Sequence[Path], taken: Sequence[str] = ()) -> None:
        """Give each file a name that no other picture of the product has."""
        super().__init__(may_fetch=False)
        self._paths: dict[str, Path] = {}
        for file in files:
            self._paths[_free_name(file, {*self._paths, *taken})] = file

    def pictures(self, alts: Sequence[str] = ()) -> tuple[Picture, ...]:
        """Return them as pictures, in their order, with what is seen on the first ones.

        Raises:
            CatalogError: there are more texts than files, or one is too long.
        """
        if len(alts) > len(self._paths):
            raise CatalogError(f"{len(alts)} texts are too many for {len(self._paths)} files")
        texts = [*map(short_text, alts), *[""] * len(self._paths)]
        return tuple(map(Picture, self._paths, texts))

    def read(self, reference: str) -> bytes | None:
        """Return what is in a file; see `Sources`."""
        path = self._paths.get(reference)
        return None if path is None else read_file(path.resolve())


def _free_name(file: Path, taken: set[str]) -> str:
    name = short_text(file.name.replace("|", "-")[-_LONGEST_NAME:])
    number, free = 1, name
    while free in taken or is_shipped(Picture(free)):
        number += 1
        free = f"{Path(name).stem}-{number}{Path(name).suffix}"
    return free


def obtain_pictures(entries: Sequence[ProductEntry], sources: Sources, where: str) -> Obtained:
    """Have the pictures that products are said to have, and show how far that is.

    Args:
        where: what each line of an error begins with.
    """
    many = len(named(entries))
    hidden = many < _MANY or not sys.stderr.isatty()
    try:
        with click.progressbar(
            length=many, label="Pictures", file=sys.stderr, hidden=hidden
        ) as bar:
            return obtain(entries, services.database, sources, bar.update)
    except CatalogError as error:
        lines = "\n".join(f"{where}{line}" for line in str(error).splitlines())
        raise WrongCall(f"{lines}; nothing was changed") from None


def own_pictures(product: Product) -> tuple[Picture, ...]:
    """Return the pictures that a product has, as an operator's file would say them."""
    rows = services.database.rows(_OF_PRODUCT, {"product": product.id})
    pictures = [Picture(row.reference, row.alt) for row in rows]
    return (*[Picture(product.main_image)] * bool(product.main_image), *pictures)


def take_away_pictures(product: Product) -> None:
    """Have a product show no pictures."""

    def work(transaction: Transaction) -> None:
        change_product(transaction, product.id, {"main_image": ""})
        set_pictures(transaction, product.id, ())

    services.database.transact(work)


_OF_PRODUCT = (
    select(ProductPicture.reference, ProductPicture.alt)
    .where(ProductPicture.product_id == bindparam("product"))
    .order_by(ProductPicture.position)
)
