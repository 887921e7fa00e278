"""Having the pictures that a file names: from a folder, from the web, or as they are stored.

This takes long, and so is done before the transaction that makes the catalogue what was said.
Each picture is stored in a short transaction as soon as it is made: memory is bounded, and nobody
waits for the database. Whoever has them deletes again what no product came to show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import select

from shop.catalog.entries import CatalogError, ProductEntry
from shop.catalog.planning import is_shipped
from shop.db import Database
from shop.models.catalog import Product
from shop.models.picture import ProductPicture, discard_pictures, is_stored, store_picture
from shop.pictures.originals import PictureError, hash_of, is_address, read_file

#: How often a server is waited for in vain, until no more pictures are asked of it.
_MOST_IN_VAIN = 3

#: How many pictures a product may have.
_MOST_PICTURES = 50

#: How many bad files are named.
_MOST_NAMED = 20

#: How much of a name, in characters, is shown.
_SHOWN = 120


@dataclass(slots=True)
class Obtained:
    """The pictures that could be had, and what could not be."""

    #: by what a file calls them
    hashes: dict[str, str] = field(default_factory=dict)
    #: a sentence for each that could not be had
    notes: list[str] = field(default_factory=list)
    #: those that were not stored before
    new: list[str] = field(default_factory=list)

    def keep(self, database: Database, content: bytes, reference: str) -> None:
        """Make a picture of a file and store it, unless it is there already.

        Raises:
            PictureError: it is none.
        """
        picture_hash = hash_of(content)
        if picture_hash not in self.new and not is_stored(database, picture_hash):
            from shop.pictures.making import make  # Pillow: most commands do without

            made = make(content, shown(reference))
            if store_picture(database, made):
                self.new.append(picture_hash)
        self.hashes[reference] = picture_hash


class Sources:
    """Where the pictures of an import come from."""

    def __init__(self, folder: Path | None = None, *, may_fetch: bool = True) -> None:
        """Take the folder that has files by their names, and whether the web may be asked."""
        self._folder, self._may_fetch = folder, may_fetch
        self._in_vain = Counter[str]()
        #: how many are left for an import that may fetch them
        self.left = 0

    def read(self, reference: str) -> bytes | None:
        """Return what is in a file of the folder; None: there is none of this name.

        Raises:
            PictureError: the name leads elsewhere, or the file is none to be read.
        """
        name = unquote(urlsplit(reference).path) if is_address(reference) else reference
        if is_address(reference):
            name = name.rpartition("/")[2]
        elif ".." in name.replace("\\", "/").split("/"):
            raise PictureError(f"{shown(name)!r} leads out of the folder")
        if self._folder is None or not name or name.startswith("."):
            return None
        if not is_address(reference) and ("/" in name or "\\" in name):
            raise PictureError(f"{shown(name)!r} is not the name of a file in the folder")
        path = self._folder / name.replace("\0", "")
        return read_file(path) if "/" not in name and _is_there(path) else None

    def fetch(self, reference: str) -> bytes | None:
        """Return what stands at an address; None: the web may not be asked.

        Raises:
            PictureError: it can't be had.
        """
        from shop.pictures.fetching import fetch  # HTTP and TLS: most commands do without

        if not self._may_fetch:
            self.left += 1
            return None
        server = reference.partition("://")[2].partition("/")[0].lower()
        if self._in_vain[server] >= _MOST_IN_VAIN:
            raise PictureError("its server was asked in vain before")
        self._in_vain[server] += 1
        content = fetch(reference)
        self._in_vain[server] = 0
        return content


def _is_there(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError:  # its reader says why it can't be read
        return True
    return True


def obtain(
    entries: Sequence[ProductEntry],
    database: Database,
    sources: Sources,
    progress: Callable[[int], object] = lambda done: None,
) -> Obtained:
    """Have the pictures that products are said to have, and store them.

    Args:
        progress: called with 1 after each of `named`.

    Raises:
        CatalogError: a file of the folder is none that a product can have, or a name leads
            elsewhere; a line for each. Nothing is left stored.
    """
    _check_number(entries)
    search = _Search(database, sources)
    search.obtained.notes += _misplaced(entries)
    try:
        for entry, reference in named(entries):
            search.take(entry, reference)
            progress(1)
        search.refuse_bad_ones()
    except BaseException:
        discard_pictures(database, search.obtained.new)
        raise
    return search.obtained


def _check_number(entries: Sequence[ProductEntry]) -> None:
    for entry in entries:
        if len(entry.pictures or ()) > _MOST_PICTURES:
            why = f"{entry.sku} has more than {_MOST_PICTURES} pictures"
            raise CatalogError(why, entry.line, "image")


def _misplaced(entries: Sequence[ProductEntry]) -> list[str]:
    return [
        f"{entry.sku} is without {picture.reference!r}: what comes with the shop can only be first"
        for entry in entries
        for picture in (entry.pictures or ())[1:]
        if is_shipped(picture)
    ]


def named(entries: Sequence[ProductEntry]) -> list[tuple[ProductEntry, str]]:
    """Return what products say of their pictures, but for those that come with the shop."""
    return [
        (entry, picture.reference)
        for entry in entries
        for picture in entry.pictures or ()
        if not is_shipped(picture)
    ]


def shown(reference: str) -> str:
    """Return as much of what a picture is called as fits into a line."""
    return reference if len(reference) <= _SHOWN else f"{reference[:_SHOWN]}…"


class _Search:
    """One import's search for its pictures."""

    def __init__(self, database: Database, sources: Sources) -> None:
        self._database, self._sources = database, sources
        self.obtained = Obtained()
        self._bad: list[CatalogError] = []
        self._failed: dict[str, str] = {}
        rows = database.rows(_STORED)
        #: by the product's sku and what it calls them
        self._of_products = {(row.sku.casefold(), row.reference) for row in rows}
        self._by_address = {r.reference: r.hash for r in rows if is_address(r.reference)}

    def take(self, entry: ProductEntry, reference: str) -> None:
        """Have one of a product's pictures, or note why not."""
        if reference in self.obtained.hashes:
            return
        try:
            content = self._sources.read(reference)
            if content is not None:
                self.obtained.keep(self._database, content, reference)
                return
        except PictureError as error:
            self._bad.append(CatalogError(str(error), entry.line, "image"))
            return
        if reference not in self._failed:
            self._take_elsewhere(entry, reference)
        if reference in self._failed:
            why = self._failed[reference]
            self.obtained.notes.append(f"{entry.sku} is without {shown(reference)!r}: {why}")

    def _take_elsewhere(self, entry: ProductEntry, reference: str) -> None:
        if not is_address(reference):
            if (entry.sku.casefold(), reference) not in self._of_products:
                self.obtained.notes.append(
                    f"{entry.sku} is without {shown(reference)!r}: there is no such file; "
                    "--images names their folder"
                )
        elif reference in self._by_address:
            self.obtained.hashes[reference] = self._by_address[reference]
        else:
            self._fetch(reference)

    def _fetch(self, reference: str) -> None:
        try:
            content = self._sources.fetch(reference)
            if content is not None:
                self.obtained.keep(self._database, content, reference)
        except PictureError as error:
            # It is named by the address, as the note is already.
            self._failed[reference] = str(error).replace(f"{shown(reference)!r}", "it", 1)

    def refuse_bad_ones(self) -> None:
        """Refuse the whole import for files that are no pictures."""
        if self._bad:
            more = len(self._bad) - _MOST_NAMED
            lines = [str(error) for error in self._bad[:_MOST_NAMED]]
            lines += [f"and {more:,} more"] * (more > 0)
            raise CatalogError("\n".join(lines))


_STORED = select(Product.sku, ProductPicture.reference, ProductPicture.hash).join(
    ProductPicture, ProductPicture.product_id == Product.id
)
