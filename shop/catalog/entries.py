"""What a file, or a command, says of products. None says nothing: what is there stays."""

from __future__ import annotations

from dataclasses import dataclass, field


class CatalogError(ValueError):
    """What was said of products can't be used; nothing was changed."""

    def __init__(self, why: str, line: int = 0, column: str = "") -> None:
        """Take what is wrong and, in a file, where: a line, counted from 1, and a column."""
        place = f"line {line}, column {column}" if column else f"line {line}"
        super().__init__(f"{place}: {why}" if line else why)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a product: the address or the name of a file, and what is seen on it."""

    reference: str
    alt: str = ""


@dataclass(frozen=True, slots=True)
class SizeEntry:
    """What is said of one size."""

    size: str
    #: the item's own; None: made from the product's and the size
    sku: str | None = None
    count: int | None = None
    line: int = 0


@dataclass(slots=True)
class ProductEntry:
    """What is said of one product."""

    sku: str
    line: int = 0
    brand: str | None = None
    name: str | None = None
    color: str | None = None
    #: in minor units of the shop's currency
    price: int | None = None
    #: HTML or plain text, as it was given; cleaned when it is shown
    description: str | None = None
    hidden: bool | None = None
    #: in the order of the page, the main one first
    pictures: tuple[Picture, ...] | None = None
    #: in the order of the page
    sizes: list[SizeEntry] = field(default_factory=list)


@dataclass(slots=True)
class Entries:
    """All that a file says, and what of it was left out, a sentence each."""

    products: list[ProductEntry]
    notes: list[str] = field(default_factory=list)
