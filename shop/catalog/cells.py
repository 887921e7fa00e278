"""What stands in a cell: a text, an amount of money, a count."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from shop.catalog.entries import CatalogError
from shop.models.catalog import MOST_PIECES
from shop.money import MINOR_DIGITS, decimal_amount
from shop.text import clean, find_no_text

#: The most that a product costs, in whole units of a currency.
MOST_MONEY = 1_000_000_000

#: How long a name, a size or a sku may be, in characters, and any text of the catalogue.
LONGEST, LONGEST_CELL = 200, 100_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Money:
    """How amounts are read: in which currency, and whether a comma may stand for the point."""

    currency: str
    comma: bool = False

    def parse(self, text: str) -> int:
        """Return an amount in minor units.

        Raises:
            CatalogError: it is none, or has not as many digits as the currency.
        """
        marks = ".," if self.comma else "."
        match = re.fullmatch(rf"(-?)([0-9]{{1,20}})(?:[{marks}]([0-9]{{1,20}}))?", text.strip())
        if match is None:
            raise CatalogError(f"{text!r} is not a price; write it as {self._example}")
        sign, whole, fraction = match[1], match[2], match[3] or ""
        digits = MINOR_DIGITS.get(self.currency, 2)
        if len(fraction) > digits:
            has = f"{len(fraction)} {'digit' if len(fraction) == 1 else 'digits'} after the point"
            raise CatalogError(f"{text!r} has {has}; {self.currency} has {digits or 'none'}")
        if sign:
            raise CatalogError(f"{text!r} is below zero")
        if int(whole) > MOST_MONEY or (int(whole) == MOST_MONEY and fraction.strip("0")):
            raise CatalogError(f"{text!r} is more than {MOST_MONEY:,}")
        return int(whole + fraction.ljust(digits, "0"))

    @property
    def _example(self) -> str:
        return decimal_amount(120 * 10 ** MINOR_DIGITS.get(self.currency, 2), self.currency)


def count_of(text: str) -> int:
    """Return a count of pieces.

    Raises:
        CatalogError: it is no whole number from 0 on.
    """
    if not re.fullmatch("-?[0-9]{1,30}(?:[.,]0+)?", text):
        raise CatalogError(f"{text!r} is not a whole number")
    number = int(re.split("[.,]", text)[0])
    if not 0 <= number <= MOST_PIECES:
        raise CatalogError(f"{text} is not from 0 to {MOST_PIECES:,}")
    return number


def check_text(text: str, line: int = 0) -> None:
    """See that a text is not too long, and that there is nothing in it that is in none.

    Args:
        line: of the file, counted from 1; 0: it comes from no file.

    Raises:
        CatalogError: it is, or there is.
    """
    if len(text) > LONGEST_CELL:
        raise CatalogError(f"{text[:20]!r}… has over {LONGEST_CELL:,} letters", line)
    strange = find_no_text(text)
    if strange:
        raise CatalogError(f"the character {strange} is in no text", line)


def short_text(text: str) -> str:
    """Return a name on one line, without what nobody sees.

    Raises:
        CatalogError: it is too long, or there is what is in no text.
    """
    check_text(text)
    cleaned = " ".join(clean(text).split()) if not text.isalnum() or not text.isascii() else text
    if len(cleaned) > LONGEST:
        raise CatalogError(f"{cleaned[:20]!r}… has {len(cleaned)} letters; {LONGEST} are the most")
    return cleaned


def long_text(text: str) -> str:
    """Return a description with plain line breaks, as it is otherwise."""
    return "\n".join(text.splitlines()).strip()


def sku_of(text: str) -> str:
    """Return a sku.

    Raises:
        CatalogError: there is none, or it is no word that an address can hold.
    """
    sku = short_text(text)
    if not sku:
        raise CatalogError("the sku is missing")
    if sku in (".", ".."):
        raise CatalogError(f"{sku!r} can't be a sku")
    return sku


def made_sku(product: str, size: str) -> str:
    """Make an item's sku from its product's and its size: the same every time.

    Sizes in tenths are written in three digits, as in 'OST-KILN-095' for 9.5.
    """
    if re.fullmatch(r"[0-9]{1,2}(\.[0-9])?", size):
        return f"{product}-{round(float(size) * 10):03}"
    words = "-".join(re.findall(r"[^\W_]+", size)).upper()
    return f"{product}-{words or 'ONE'}"


def read_in_place(line: int, column: str, read: Callable[[], T]) -> T:
    """Read a cell; what is wrong with it is said with its place.

    Raises:
        CatalogError: `read` did; now with the line and the column.
    """
    try:
        return read()
    except CatalogError as error:
        raise CatalogError(str(error), line, column) from None
