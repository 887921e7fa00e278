"""Products as shoppers see them: levels, never counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property, lru_cache

from shop.pictures.paths import path_of

OUT, LOW, MEDIUM, HIGH = "out", "low", "medium", "high"


@dataclass(frozen=True, slots=True)
class Levels:
    """The bounds between levels, in pieces."""

    low: int
    medium: int

    def of(self, available: int) -> str:
        """Return the level that a shopper sees of a count."""
        if available <= 0:
            return OUT
        if available < self.low:
            return LOW
        return MEDIUM if available < self.medium else HIGH


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item as shoppers see it. Its version grows when they would see something else."""

    id: int
    product_id: int
    sku: str
    size: str
    level: str
    version: int
    #: whether none is left, and some are held: they may come back
    at_till: bool = False

    @property
    def sold_out(self) -> bool:
        return self.level == OUT

    def shows_same(self, other: ItemView) -> bool:
        mine = (self.sku, self.size, self.level, self.at_till)
        return mine == (other.sku, other.size, other.level, other.at_till)


@dataclass(frozen=True, slots=True)
class PictureView:
    """A picture of a product: its address, and its upright size in pixels."""

    hash: str
    width: int
    height: int
    #: of its renditions, the smallest first
    widths: tuple[int, ...]
    #: what is seen on it, for people who can't see it
    alt: str

    @classmethod
    def all_of(cls, listed: str | None) -> tuple[PictureView, ...]:
        """Return a product's pictures as the database lists them; see `LISTED_PICTURES`."""
        return _pictures(listed) if listed else ()

    def address(self, width: int, kind: str = "webp") -> str:
        """Return the path of the smallest rendition that is that wide, or else of the widest.

        Args:
            width: in pixels.
            kind: its format, `webp` or `avif`.
        """
        fitting = next((each for each in self.widths if each >= width), self.widths[-1])
        return path_of(self.hash, fitting, kind)

    def srcset(self, kind: str) -> str:
        """Return all renditions of a format, for a browser to choose from."""
        return ", ".join(f"{self.address(width, kind)} {width}w" for width in self.widths)


@lru_cache(maxsize=10_000)
def _pictures(listed: str) -> tuple[PictureView, ...]:
    return tuple(
        PictureView(picture_hash, width, height, tuple(map(int, widths.split())), alt)
        for _, picture_hash, width, height, widths, alt in sorted(json.loads(listed))
    )


@dataclass(frozen=True)
class ProductView:
    """A product as shoppers see it, with its items in the order of the page."""

    id: int
    sku: str
    brand: str
    name: str
    color: str
    price: int
    main_image: str
    position: int
    released: bool
    items: tuple[ItemView, ...]
    version: int
    #: of its row alone: grows with what is changed of the product itself, and not with sales
    row_version: int = 0
    #: when it opens, opened, and sold out since: in milliseconds since 1970
    opens_at: int | None = None
    opened_at: int | None = None
    sold_out_at: int | None = None
    #: whether it was hidden or removed: then carts that hold it are all that shows it
    withdrawn: bool = False
    #: besides the main image, in the order of the page
    pictures: tuple[PictureView, ...] = ()

    @cached_property
    def _appearance(self) -> tuple[object, ...]:
        return (
            *(self.sku, self.brand, self.name, self.color, self.price, self.shown_pictures),
            *(self.released, self.position, self.items, self.withdrawn),
            *(self.opens_at, self.opened_at, self.sold_out_at, self.row_version),
        )

    @property
    def shown_pictures(self) -> tuple[object, ...]:
        return (self.main_image, *self.pictures)

    @property
    def main_picture(self) -> PictureView | None:
        """The picture that stands for it; None: the main image does, if there is one."""
        return self.pictures[0] if self.pictures and not self.main_image else None

    @property
    def further_pictures(self) -> tuple[PictureView, ...]:
        """Those that only the product's own page shows."""
        return self.pictures if self.main_image else self.pictures[1:]

    @cached_property
    def thumbnail(self) -> str:
        """The path of its smallest picture, or the name of its main image; empty: it has none."""
        return self.main_picture.address(0) if self.main_picture else self.main_image

    @cached_property
    def _by_item_id(self) -> dict[int, ItemView]:
        return {item.id: item for item in self.items}

    def item(self, item_id: int) -> ItemView:
        """Return one of its items."""
        return self._by_item_id[item_id]

    @property
    def sold_out(self) -> bool:
        """Whether it is on sale, and nothing of it is left."""
        return self.released and bool(self.items) and all(item.sold_out for item in self.items)

    @property
    def at_till(self) -> bool:
        """Whether all that is left of it is held by orders that are being paid for."""
        return self.sold_out and any(item.at_till for item in self.items)

    @property
    def sold_out_after(self) -> int | None:
        """How long it was on sale until the last of it went, in milliseconds, if that is known."""
        if not self.sold_out or self.opened_at is None or self.sold_out_at is None:
            return None
        return max(0, self.sold_out_at - self.opened_at)

    @cached_property
    def head(self) -> tuple[object, ...]:
        """What a page shows of it besides its stock."""
        return (self.id, self.sku, self.brand, self.name, self.color, self.shown_pictures)

    def shows_same(self, other: ProductView) -> bool:
        return self._appearance == other._appearance
