"""How what was said of products differs from what is in the shop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shop.catalog.cells import made_sku
from shop.catalog.entries import CatalogError, Picture, ProductEntry, SizeEntry
from shop.models.picture import PictureUse


@dataclass(slots=True)
class KnownItem:
    """A size as it is in the shop."""

    id: int
    sku: str
    size: str
    available: int
    position: int


@dataclass(slots=True)
class KnownProduct:
    """A product as it is in the shop, its sizes in the order of the page."""

    id: int
    values: dict[str, Any]
    items: list[KnownItem] = field(default_factory=list)
    pictures: list[PictureUse] = field(default_factory=list)


@dataclass(slots=True)
class Change:
    """What becomes of one product."""

    entry: ProductEntry
    #: as it is now; None: it is new
    known: KnownProduct | None
    #: columns that change: what they were (None of a new product) and what they become
    values: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    #: sizes whose columns change, by the items' ids
    items: dict[int, dict[str, Any]] = field(default_factory=dict)
    #: counts that change, by the items' ids: the size, before and after
    counts: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    new_sizes: list[dict[str, Any]] = field(default_factory=list)
    #: the pictures before and after, where they change
    pictures: tuple[list[PictureUse], list[PictureUse]] | None = None

    @property
    def is_empty(self) -> bool:
        changes = (self.values, self.items, self.counts, self.new_sizes, self.pictures)
        return not any(changes)


_IMAGES = Path(__file__).parents[1] / "static" / "images"

_NAMES = ("brand", "name", "color", "price", "description", "hidden")


def is_shipped(picture: Picture) -> bool:
    """Tell whether a picture is one of those that come with the shop, and can be shown as it is."""
    name = picture.reference
    return Path(name).name == name and (_IMAGES / name).is_file()


def plan(
    entries: Iterable[ProductEntry],
    known: Iterable[KnownProduct],
    pictures: Mapping[str, str],
) -> list[Change]:
    """Return what becomes of each of these products, in their order.

    Args:
        pictures: the hashes of those that are there to be shown, by what a file calls them.

    Raises:
        CatalogError: it can't be: a new product lacks its name, a sku is another item's.
    """
    products = {product.values["sku"].casefold(): product for product in known}
    owners = {
        item.sku.casefold(): (product.id, item.id)
        for product in products.values()
        for item in product.items
    }
    changes = [_change(entry, products.get(entry.sku.casefold()), pictures) for entry in entries]
    _refuse_taken(changes, owners)
    return changes


def _change(entry: ProductEntry, known: KnownProduct | None, found: Mapping[str, str]) -> Change:
    change = Change(entry, known)
    said = {name: getattr(entry, name) for name in _NAMES}
    said["main_image"] = _plan_pictures(change, found)
    if known is None:
        _check_new(entry)
        empty = {"brand": "", "color": "", "description": "", "hidden": False, "main_image": ""}
        given = {name: value for name, value in said.items() if value is not None}
        change.values = {n: (None, v) for n, v in {"sku": entry.sku, **empty, **given}.items()}
    else:
        said["removed"] = False  # brought again, it is wanted back
        change.values = {
            name: (known.values[name], value)
            for name, value in said.items()
            if value is not None and value != known.values[name]
        }
    _plan_sizes(change)
    return change


def _plan_pictures(change: Change, found: Mapping[str, str]) -> str | None:
    """Find which pictures a product is to show.

    One that is said of it and can't be had is left out. If there is none at all, those that it
    has stay.

    Returns:
        The picture that comes with the shop and is its main one; empty: there is none; None: it
        stays as it is.
    """
    said = change.entry.pictures or ()
    before = change.known.pictures if change.known else []
    shipped = said[0].reference if said and is_shipped(said[0]) else ""
    uses = {use.reference: use for use in before}
    after = dict[str, PictureUse]()
    for picture in said:
        known = uses.get(picture.reference)
        picture_hash = found.get(picture.reference) or (known.hash if known else None)
        if picture_hash is not None:
            alt = picture.alt or (known.alt if known else "")
            after[picture.reference] = PictureUse(picture.reference, alt, picture_hash)
    if not after and not shipped:
        return None
    if [*after.values()] != before:
        change.pictures = (before, [*after.values()])
    return shipped


def _check_new(entry: ProductEntry) -> None:
    for name in ("name", "price"):
        if getattr(entry, name) in (None, ""):
            raise CatalogError(f"the new product {entry.sku} has no {name}", entry.line)
    if not entry.sizes:
        raise CatalogError(f"the new product {entry.sku} has no sizes", entry.line)


def _plan_sizes(change: Change) -> None:
    items = change.known.items if change.known else []
    by_sku = {item.sku.casefold(): item for item in items}
    by_size = {item.size.casefold(): item for item in items}
    order: list[KnownItem | SizeEntry] = []
    for said in change.entry.sizes:
        item = by_sku.get(said.sku.casefold()) if said.sku else None
        item = item or by_size.get(said.size.casefold())
        order.append(item or said)
        if item is not None:
            _plan_item(change, item, said)
    _plan_order(change, order, items)


def _plan_item(change: Change, item: KnownItem, said: SizeEntry) -> None:
    names = {"sku": said.sku or item.sku, "size": said.size}
    differs = {name: value for name, value in names.items() if getattr(item, name) != value}
    if differs:
        change.items[item.id] = differs
    if said.count is not None and said.count != item.available:
        change.counts[item.id] = (item.size, item.available, said.count)


def _plan_order(change: Change, order: list[KnownItem | SizeEntry], items: list[KnownItem]) -> None:
    """Number the sizes anew where they come in another order, or new ones among them."""
    there = [item for item in order if isinstance(item, KnownItem)]
    said = {item.id for item in there}
    in_order = there == [item for item in items if item.id in said]
    if in_order and len(there) == len(order):
        return
    rest = [item for item in items if item.id not in said]
    for position, each in enumerate([*order, *rest], 1):
        if isinstance(each, SizeEntry):
            sku = each.sku or made_sku(change.entry.sku, each.size)
            new = {"sku": sku, "size": each.size, "available": each.count or 0}
            change.new_sizes.append({**new, "position": position, "line": each.line})
        elif each.position != position:
            change.items.setdefault(each.id, {})["position"] = position


def _refuse_taken(changes: list[Change], owners: dict[str, tuple[int, int]]) -> None:
    """Refuse a new sku of an item that another item has."""
    taken: dict[str, int] = {}
    for change in changes:
        for new in change.new_sizes:
            name, line = str(new["sku"]).casefold(), new.pop("line")
            if name in owners or name in taken:
                raise CatalogError(f"the sku {new['sku']} is another size's already", line)
            taken[name] = line
        for item_id, values in change.items.items():
            owner = owners.get(str(values.get("sku", "")).casefold())
            if owner is not None and owner[1] != item_id:
                why = f"the sku {values['sku']} is another size's already"
                raise CatalogError(why, change.entry.line)
