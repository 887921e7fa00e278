"""What an operator writes of shipping and tax: the file `shipping.toml` of the instance folder."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from shop.costs import ADDED, INCLUDED, NO_COSTS, CostTable, Group, Tax
from shop.money import MINOR_DIGITS
from shop.postal import countries

FILE = "shipping.toml"

#: The most groups of countries: the stylesheet has a rule for each.
MOST_GROUPS = 12

#: What stands for all countries that are in no other group.
_OTHERS = "others"

_LONGEST_NAME = 60
#: In minor units: more than any parcel costs, and less than what a database counts to.
_MOST = 10**12

_TAX = re.compile(r"(included|added) ([0-9]{1,2}(?:\.[0-9]{1,3})?) ?%")
_KINDS = {"included": INCLUDED, "added": ADDED}


class CostFileError(click.ClickException):
    """The file can't be used; the message names it, the key, and what is allowed.

    Ends the start with one line and status 2, as a setting does.
    """

    exit_code = 2


def read_costs(file: Path, currency: str) -> CostTable:
    """Read what a shop asks for shipping and as tax; without a file it asks for nothing.

    Args:
        currency: in which its amounts are, in ISO 4217.

    Raises:
        CostFileError: something in it can't be used.
    """
    try:
        values = tomllib.loads(file.read_text("utf-8-sig"), parse_float=Decimal)
    except FileNotFoundError:
        return NO_COSTS
    except (OSError, ValueError) as error:
        raise CostFileError(f"{file} can't be read: {error}") from None
    try:
        return _table(values, MINOR_DIGITS.get(currency, 2))
    except _Unusable as error:
        raise CostFileError(f"{file}: {error}") from None


class _Unusable(Exception):
    """A key's value can't be used."""

    def __init__(self, key: str, allowed: str) -> None:
        super().__init__(f"{key} can't be used: {allowed}")


def _table(values: Mapping[str, Any], digits: int) -> CostTable:
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    for key in values.keys() - tables.keys() - {"tax", "home"}:
        raise _Unusable(key, "tax, home, and a table for each group of countries are allowed")
    if len(tables) > MOST_GROUPS:
        raise _Unusable(list(tables)[MOST_GROUPS], f"at most {MOST_GROUPS} groups are allowed")
    groups = tuple(_group(name, table, digits) for name, table in tables.items())
    _check_groups(groups)
    table = CostTable(groups, _tax(values.get("tax")), values.get("home", ""))
    if table.home != "" and (table.home not in countries() or not table.delivers_to(table.home)):
        raise _Unusable(
            "home", "the code of a country that is delivered to, such as AT, is allowed"
        )
    return table


def _tax(value: object) -> Tax | None:
    if value is None:
        return None
    found = _TAX.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _Unusable("tax", 'a line such as "included 19 %" or "added 8.875 %" is allowed')
    return Tax(_KINDS[found[1]], int(Decimal(found[2]) * 1000))


def _group(name: str, values: Mapping[str, Any], digits: int) -> Group:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise _Unusable(repr(name), f"a name of at most {_LONGEST_NAME} letters is allowed")
    for key in values.keys() - {"countries", "price", "free_from"}:
        raise _Unusable(f"{name}.{key}", "countries, price and free_from are allowed")
    free_from = values.get("free_from")
    return Group(
        name,
        _countries(f"{name}.countries", values.get("countries")),
        _amount(f"{name}.price", values.get("price"), digits),
        None if free_from is None else _amount(f"{name}.free_from", free_from, digits),
    )


def _countries(key: str, value: object) -> frozenset[str]:
    """Return the codes of a group; none: all others."""
    if value == _OTHERS:
        return frozenset()
    if not isinstance(value, list) or not value:
        raise _Unusable(key, 'a list of codes such as ["AT", "DE"] is allowed, or "others"')
    for code in value:
        if not isinstance(code, str) or code not in countries():
            raise _Unusable(key, f"codes of ISO 3166 such as AT are allowed, and not {code!r}")
    return frozenset(value)


def _amount(key: str, value: object, digits: int) -> int:
    example = f'an amount such as "{Decimal(490).scaleb(-digits) if digits else 490}" is allowed'
    is_number = isinstance(value, str | int | Decimal) and not isinstance(value, bool)
    text = str(value) if is_number else ""
    if not re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]+)?", text):
        raise _Unusable(key, example)
    minor = Decimal(text).scaleb(digits)
    if minor != int(minor) or minor > _MOST:
        raise _Unusable(key, example)
    return int(minor)


def _check_groups(groups: tuple[Group, ...]) -> None:
    """Refuse a country that is in two groups, and two groups for all others."""
    seen: set[str] = set()
    for group in groups:
        codes = group.countries or {_OTHERS}
        for code in sorted(codes & seen):
            raise _Unusable(f"{group.name}.countries", f"{code} is in another group already")
        seen |= codes
