"""Amounts of money: how many digits a currency has, and how a shopper reads an amount."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from functools import lru_cache

from babel.numbers import format_currency, get_currency_precision, get_currency_symbol
from iso4217 import Currency

#: The digits of the minor unit, by code: all of ISO 4217's list one that has a minor unit, as
#: the maintenance agency publishes it (SIX; the package's version ends in the list's date).
#: Unicode's CLDR, and so Babel, gives some of them fewer, for what people pay with in cash.
MINOR_DIGITS: dict[str, int] = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}

_LOCALE = "en_US"


@lru_cache(maxsize=1024)
def format_money(amount: int, currency: str) -> str:
    """Write an amount as a shopper reads it.

    Args:
        amount: in minor units of the currency.
        currency: its code in ISO 4217; one that was withdrawn, of an old order, is good too.
    """
    digits = MINOR_DIGITS.get(currency)
    if digits is None:
        digits = get_currency_precision(currency)
    pattern = f"¤{_gap(currency)}#,##0.{'0' * digits}".rstrip(".")
    number = Decimal(amount).scaleb(-digits)
    return format_currency(number, currency, pattern, _LOCALE, currency_digits=False)


def decimal_amount(amount: int, currency: str) -> str:
    """Write an amount, in minor units, as programs read it: `120.00`."""
    return f"{Decimal(amount).scaleb(-MINOR_DIGITS.get(currency, 2)):f}"


def _gap(currency: str) -> str:
    """Return what stands between symbol and number: letters are set apart, signs are not.

    The rule is CLDR's for the spacing of currencies (Unicode TR 35-3); Babel leaves it out.
    """
    end_of_symbol = get_currency_symbol(currency, locale=_LOCALE)[-1]
    return "" if unicodedata.category(end_of_symbol)[0] in "SZ" else "\N{NO-BREAK SPACE}"
