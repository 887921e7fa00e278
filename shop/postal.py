"""A postal address that was typed in parts, written as the lines of a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from babel import Locale

#: The parts of an address, as a checkout form names them.
PARTS = ("street", "street2", "postcode", "town", "country", "phone")

#: Without which there is no address, and what is said then.
_NEEDED = {"street": "a street", "town": "a town", "country": "a country"}

#: Where the postcode follows the town, on the same line (Universal Postal Union, S42).
_POSTCODE_LAST = frozenset(
    {"AU", "BD", "CA", "GB", "HK", "ID", "IE", "IN", "JP", "KR", "NZ", "PK", "SG", "TH", "TW", "US"}
)

#: What CLDR lists beside ISO 3166's codes: groups of countries, parts of others, and no places.
_NO_COUNTRIES = frozenset(
    {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address in parts, each on one line; "": it has no such part."""

    street: str = ""
    street2: str = ""
    postcode: str = ""
    town: str = ""
    #: its code in ISO 3166
    country: str = ""


#: Of an address that was typed as one text.
NO_PARTS = Address()


class WrongAddress(Exception):
    """A part of the address is missing or can't be; the message says which."""


@lru_cache(maxsize=1)
def countries() -> dict[str, str]:
    """Return the English names of all countries, by their codes in ISO 3166."""
    names = Locale.parse("en").territories
    return {
        code: name
        for code, name in names.items()
        if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES
    }


def is_in_parts(typed: Mapping[str, str]) -> bool:
    """Tell whether an address was typed in parts, and not as one text."""
    return any(typed.get(part, "").strip() for part in PARTS if part != "phone")


def in_lines(typed: Mapping[str, str]) -> str:
    """Return an address in lines, as somebody sends a parcel there; a missing part has none."""
    parts = {part: " ".join(typed.get(part, "").split()) for part in PARTS}
    code = parts["country"].upper()
    town = [parts["postcode"], parts["town"]]
    if code in _POSTCODE_LAST:
        town.reverse()
    phone = f"Phone {parts['phone']}" if parts["phone"] else ""
    country = countries().get(code, parts["country"])
    lines = (parts["street"], parts["street2"], " ".join(filter(None, town)), country, phone)
    return "\n".join(filter(None, lines))


def check_parts(typed: Mapping[str, str]) -> None:
    """See to it that an address in parts can be one.

    Raises:
        WrongAddress: it has no street, town or country, or one that there isn't.
    """
    missing = [said for part, said in _NEEDED.items() if not typed.get(part, "").strip()]
    if missing:
        raise WrongAddress(f"Please give {' and '.join(missing)} as well.")
    if typed["country"].strip().upper() not in countries():
        raise WrongAddress("Please choose a country: its code in ISO 3166, such as AT or US.")
