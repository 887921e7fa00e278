"""Shopify's export of products, in its old and its new headings.

Source: help.shopify.com, "Using CSV files to import and export products". Rows of one product
share its handle; those that only bring a picture say nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from shop.catalog.cells import MOST_PIECES, Money, count_of, long_text, made_sku, short_text, sku_of
from shop.catalog.entries import CatalogError, Entries, Picture, ProductEntry, SizeEntry
from shop.catalog.lines import Row, read_rows

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

_YES = {"true", "continue", "yes", "1"}

T = TypeVar("T")

#: Counts by sku, and by handle and options where there is no sku.
Counts = dict[tuple[str, ...], int]


def is_export(headings: list[str]) -> bool:
    """Tell whether these are the headings of Shopify's export of products."""
    return "handle" in headings or "url handle" in headings


class _Cells:
    """A row's cells by what they mean."""

    def __init__(self, line: int, cells: list[str], meanings: list[str | None]) -> None:
        self.line = line
        pairs = zip(meanings, cells, strict=False)
        self._by_meaning = {meaning: cell.strip() for meaning, cell in pairs if meaning}

    def __getitem__(self, meaning: str) -> str:
        return self._by_meaning.get(meaning, "")

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(filter(None, (short_text(self[f"option{n} value"]) for n in (1, 2, 3))))


class _Variant(NamedTuple):
    line: int
    size: str
    color: str
    options: tuple[str, ...]
    sku: str
    price: str
    quantity: str
    image: str


@dataclass
class _Product:
    """The rows of one handle."""

    handle: str
    line: int
    first: _Cells
    option_names: list[str] = field(default_factory=list)
    variants: list[_Variant] = field(default_factory=list)
    #: position, order in the file, and the picture
    pictures: list[tuple[int, int, Picture]] = field(default_factory=list)


class _Noted:
    """What is said once of a file, however often it happens."""

    def __init__(self) -> None:
        self.oversold = self.negative = 0

    def sentences(self, ignored: list[str], counted: bool) -> list[str]:
        said = []
        if ignored:
            said.append(f"Columns that mean nothing here: {', '.join(ignored)}")
        if not counted:
            said.append("The file has no counts: new sizes have 0 pieces; --counts reads them")
        if self.oversold:
            said.append(f"Sizes that Shopify sells beyond their count: {self.oversold}; not here")
        if self.negative:
            said.append(f"Sizes with counts below 0: {self.negative}; they are 0 here")
        return said


def read_products(
    headings: list[str], rows: Iterable[Row], money: Money, counts: Counts | None
) -> Entries:
    """Make products of rows, one for each colour where colour is an option.

    Args:
        counts: from `read_counts`, in the place of what the rows say.

    Raises:
        CatalogError: a row can't be used.
    """
    meanings = [HEADINGS.get(name) for name in headings]
    ignored = [name for name in headings if name and name not in HEADINGS]
    noted, products = _Noted(), dict[str, _Product]()
    for line, cells in rows:
        _take_row(products, _Cells(line, cells, meanings), noted)
    counted = counts is not None or "quantity" in meanings
    made = [
        entry
        for product in products.values()
        for entry in _entries(product, money, counts, noted, counted)
    ]
    _refuse_twice(made)
    return Entries(made, noted.sentences(ignored, counted))


def _take_row(products: dict[str, _Product], cells: _Cells, noted: _Noted) -> None:
    handle = cells["handle"]
    if not handle:
        raise CatalogError("the handle is missing", cells.line)
    product = products.setdefault(handle, _Product(handle, cells.line, cells))
    if cells["image"]:
        place = cells["image position"]
        position = int(place) if place.isdecimal() and len(place) < 9 else 10**9
        picture = Picture(cells["image"], short_text(cells["image alt"][:500])[:200])
        product.pictures.append((position, len(product.pictures), picture))
    if not product.option_names:
        product.option_names = [cells[f"option{n} name"].lower() for n in (1, 2, 3)]
    if cells.options or cells["price"] or cells["sku"]:
        product.variants.append(_variant(product, cells))
        noted.oversold += cells["policy"].lower() in _YES


def _variant(product: _Product, cells: _Cells) -> _Variant:
    values = [short_text(cells[f"option{n} value"]) for n in (1, 2, 3)]
    color, sizes = "", list[str]()
    for name, value in zip(product.option_names, values, strict=True):
        if name in _COLORS:
            color = value
        elif value and (name, value.lower()) != _NO_OPTIONS:
            sizes.insert(0 if name in _SIZES else len(sizes), value)
    return _Variant(
        cells.line,
        " / ".join(sizes) or ONE_SIZE,
        color,
        cells.options,
        cells["sku"].removeprefix("'"),
        cells["price"],
        cells["quantity"],
        cells["variant image"],
    )


def _entries(
    product: _Product, money: Money, counts: Counts | None, noted: _Noted, counted: bool
) -> list[ProductEntry]:
    if not product.variants:
        raise CatalogError(f"the product {product.handle} has no price", product.line)
    by_color: dict[str, list[_Variant]] = defaultdict(list)
    for variant in product.variants:
        by_color[variant.color].append(variant)
    return [
        _entry(product, color, variants, money, counts, noted, counted)
        for color, variants in by_color.items()
    ]


def _entry(
    product: _Product,
    color: str,
    variants: list[_Variant],
    money: Money,
    counts: Counts | None,
    noted: _Noted,
    counted: bool,
) -> ProductEntry:
    first = product.first
    sku = made_sku(product.handle, color).lower() if color else product.handle
    entry = ProductEntry(
        _at(product.line, "handle", lambda: sku_of(sku)),
        product.line,
        brand=_at(product.line, "vendor", lambda: short_text(first["vendor"])),
        name=_at(product.line, "title", lambda: short_text(first["title"])),
        color=color,
        price=_price(variants, money),
        description=long_text(first["description"]),
        hidden=_hidden(first),
        pictures=_pictures(product, variants),
    )
    for variant in variants:
        count = _count(product.handle, variant, counts, noted) if counted else None
        item_sku = short_text(variant.sku) or made_sku(entry.sku, variant.size)
        entry.sizes.append(SizeEntry(variant.size, item_sku, count, variant.line))
    return entry


def _price(variants: list[_Variant], money: Money) -> int:
    first = variants[0]
    prices = {v.price: _at(v.line, "price", partial(money.parse, v.price)) for v in variants}
    for variant in variants:
        if prices[variant.price] != prices[first.price]:
            why = f"it is another than in line {first.line}; all sizes of a product cost the same"
            raise CatalogError(why, variant.line, "price")
    return prices[first.price]


def _hidden(first: _Cells) -> bool | None:
    published, status = first["published"].lower(), first["status"].lower()
    if not published and not status:
        return None
    return status in ("draft", "archived") or (bool(published) and published not in _YES)


def _pictures(product: _Product, variants: list[_Variant]) -> tuple[Picture, ...]:
    """Return the pictures of one colour: its own first, and none that is another colour's."""
    ordered = [picture for _, _, picture in sorted(product.pictures, key=lambda p: p[:2])]
    own = dict.fromkeys(variant.image for variant in variants if variant.image)
    others = {v.image for v in product.variants if v.image} - own.keys()
    alts = {picture.reference: picture.alt for picture in ordered}
    mains = [Picture(reference, alts.get(reference, "")) for reference in own]
    if len({variant.color for variant in product.variants}) < 2:
        mains, others = [], set()
        ordered += [Picture(r, "") for r in own if r not in alts]
    left = [p for p in ordered if p.reference not in own or not mains]
    return (*mains, *(picture for picture in left if picture.reference not in others))


def _count(handle: str, variant: _Variant, counts: Counts | None, noted: _Noted) -> int:
    if counts is not None:
        by_options = counts.get((handle, *variant.options), 0)
        return counts.get((variant.sku,), by_options) if variant.sku else by_options
    text = variant.quantity or "0"
    if text.startswith("-") and text[1:].isdecimal():
        noted.negative += 1
        return 0
    return _at(variant.line, "quantity", lambda: count_of(text))


def _at(line: int, column: str, read: Callable[[], T]) -> T:
    """Read a cell; what is wrong with it is said with its place."""
    try:
        return read()
    except CatalogError as error:
        raise CatalogError(str(error), line, column) from None


def _refuse_twice(products: list[ProductEntry]) -> None:
    """Refuse a sku, or a size of a product, that is there twice."""
    skus: dict[str, int] = {}
    for product in products:
        sizes: dict[str, int] = {}
        for size in product.sizes:
            _once(skus, str(size.sku), size.line, f"the sku {size.sku}")
            _once(sizes, size.size, size.line, f"size {size.size} of {product.sku}")


def _once(seen: dict[str, int], name: str, line: int, what: str) -> None:
    before = seen.setdefault(name.casefold(), line)
    if before != line:
        raise CatalogError(f"{what} is in line {before} already", line)


def read_counts(path: Path) -> Counts:
    """Read Shopify's inventory: what all locations together have of each variant.

    Raises:
        CatalogError: it can't be used; the file and the line are named.
        OSError: it can't be opened.
    """
    try:
        return _read_counts(path)
    except CatalogError as error:
        raise CatalogError(f"{path.name}: {error}") from None


def _read_counts(path: Path) -> Counts:
    _, rows = read_rows(path)
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
        number = 0 if text.startswith("-") else _at(line, column, partial(count_of, text))
        options = (short_text(row.get(f"option{n} value", "")) for n in (1, 2, 3))
        handle = row.get("url handle", "") or row.get("handle", "")
        sku = row.get("sku", "").removeprefix("'")
        for key in ((handle.strip(), *filter(None, options)), (sku,) if sku else None):
            if key is not None:
                counts[key] = min(counts[key] + number, MOST_PIECES)
    return dict(counts)
