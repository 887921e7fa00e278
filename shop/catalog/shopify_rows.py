"""The rows of Shopify's export of products, in its old and its new headings, by product.

Source: help.shopify.com, "Using CSV files to import and export products". Rows of one product
share its handle; those that only bring a picture say nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from shop.catalog.cells import short_text
from shop.catalog.entries import CatalogError, Picture
from shop.catalog.lines import Row

#: The headings that mean something here, old and new, by what they mean.
HEADINGS = {
    **dict.fromkeys(("url handle", "handle"), "handle"),
    "title": "title",
    **dict.fromkeys(("description", "body (html)"), "description"),
    "vendor": "vendor",
    **dict.fromkeys(("published on online store", "published"), "published"),
    "status": "status",
    **{f"option{n} {what}": f"option{n} {what}" for n in (1, 2, 3) for what in ("name", "value")},
    **dict.fromkeys(("sku", "variant sku"), "sku"),
    **dict.fromkeys(("price", "variant price"), "price"),
    **dict.fromkeys(("inventory quantity", "variant inventory qty"), "quantity"),
    **dict.fromkeys(("continue selling when out of stock", "variant inventory policy"), "policy"),
    **dict.fromkeys(("product image url", "image src"), "image"),
    "image position": "image position",
    "image alt text": "image alt",
    **dict.fromkeys(("variant image url", "variant image"), "variant image"),
}

#: What shops call the two options that are known here.
_SIZES = {"size", "shoe size", "größe", "groesse", "schuhgröße", "taille", "pointure", "talla",
          "taglia", "maat", "storlek", "rozmiar"}  # fmt: skip
_COLORS = {"color", "colour", "farbe", "couleur", "colore", "kleur", "färg", "kolor"}

#: What stands there of a product without options.
_NO_OPTIONS = ("title", "default title")
ONE_SIZE = "One size"

#: What stands for yes, in columns that ask.
YES = {"true", "continue", "yes", "1"}


def is_export(headings: list[str]) -> bool:
    """Tell whether these are the headings of Shopify's export of products."""
    return "handle" in headings or "url handle" in headings


class Cells:
    """A row's cells by what they mean."""

    def __init__(self, line: int, cells: list[str], meanings: list[str | None]) -> None:
        self.line = line
        pairs = zip(meanings, cells, strict=False)
        self._by_meaning = {meaning: cell.strip() for meaning, cell in pairs if meaning}

    def __getitem__(self, meaning: str) -> str:
        return self._by_meaning.get(meaning, "")

    @property
    def options(self) -> tuple[str, ...]:
        """What was chosen of each option that the product has."""
        return tuple(filter(None, (short_text(self[f"option{n} value"]) for n in (1, 2, 3))))


class Variant(NamedTuple):
    """What a row says of a size."""

    line: int
    size: str
    color: str
    options: tuple[str, ...]
    sku: str
    price: str
    quantity: str
    image: str
    #: whether Shopify sells it beyond its count
    oversold: bool


@dataclass
class Product:
    """The rows of one handle."""

    handle: str
    line: int
    first: Cells
    option_names: list[str] = field(default_factory=list)
    variants: list[Variant] = field(default_factory=list)
    #: position, order in the file, and the picture
    pictures: list[tuple[int, int, Picture]] = field(default_factory=list)


def products_of(rows: Iterable[Row], meanings: list[str | None]) -> list[Product]:
    """Gather rows by the product that they are of, in the order of the file.

    Args:
        meanings: what each column means, of `HEADINGS`; None: nothing.

    Raises:
        CatalogError: a row names no product.
    """
    products = dict[str, Product]()
    for line, cells in rows:
        _take_row(products, Cells(line, cells, meanings))
    return list(products.values())


def _take_row(products: dict[str, Product], cells: Cells) -> None:
    handle = cells["handle"]
    if not handle:
        raise CatalogError("the handle is missing", cells.line)
    product = products.setdefault(handle, Product(handle, cells.line, cells))
    if cells["image"]:
        place = cells["image position"]
        position = int(place) if place.isdecimal() and len(place) < 9 else 10**9
        picture = Picture(cells["image"], short_text(cells["image alt"][:500])[:200])
        product.pictures.append((position, len(product.pictures), picture))
    if not product.option_names:
        product.option_names = [cells[f"option{n} name"].lower() for n in (1, 2, 3)]
    if cells.options or cells["price"] or cells["sku"]:
        product.variants.append(_variant(product, cells))


def _variant(product: Product, cells: Cells) -> Variant:
    values = [short_text(cells[f"option{n} value"]) for n in (1, 2, 3)]
    color, sizes = "", list[str]()
    for name, value in zip(product.option_names, values, strict=True):
        if name in _COLORS:
            color = value
        elif value and (name, value.lower()) != _NO_OPTIONS:
            sizes.insert(0 if name in _SIZES else len(sizes), value)
    return Variant(
        cells.line,
        " / ".join(sizes) or ONE_SIZE,
        color,
        cells.options,
        cells["sku"].removeprefix("'"),
        cells["price"],
        cells["quantity"],
        cells["variant image"],
        cells["policy"].lower() in YES,
    )
