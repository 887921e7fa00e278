"""Amounts as Stripe writes them: mostly in minor units by ISO 4217, and not always.

See https://docs.stripe.com/currencies: some currencies have no minor unit there, some have three
digits of which the last must be 0, and ISK and UGX are written with two though they have none.
"""

from __future__ import annotations

from shop.money import MINOR_DIGITS
from shop.payments.provider import ProviderRefused
from shop.setting_values import SettingError

_WITHOUT_MINOR_UNIT = frozenset(
    [
        *("BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"),
        *("PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"),
    ]
)
_WITH_THREE_DIGITS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])


def check_currency(currency: str) -> None:
    """See that amounts of a currency can be written as Stripe does.

    Raises:
        SettingError: they can't.
    """
    if MINOR_DIGITS[currency] > max(2, _digits(currency)):
        raise SettingError("SHOP_CURRENCY", currency, "a currency that Stripe takes is allowed")


def to_stripe(amount: int, currency: str) -> int:
    """Return an amount in minor units by ISO 4217 as Stripe writes it.

    Raises:
        ProviderRefused: it has a fraction that Stripe doesn't know.
    """
    given = _shifted(amount, _digits(currency) - MINOR_DIGITS[currency])
    if from_stripe(given, currency) != amount or (currency in _WITH_THREE_DIGITS and given % 10):
        raise ProviderRefused(f"Stripe takes no such amount of {currency}: {amount} minor units")
    return given


def from_stripe(amount: int, currency: str) -> int:
    """Return an amount that Stripe wrote, in minor units by ISO 4217."""
    return _shifted(amount, MINOR_DIGITS.get(currency, 2) - _digits(currency))


def _shifted(amount: int, digits: int) -> int:
    """Return an amount with so many more digits, or fewer."""
    return amount * int(10**digits) if digits >= 0 else amount // int(10**-digits)


def _digits(currency: str) -> int:
    if currency in _WITHOUT_MINOR_UNIT:
        return 0
    return 3 if currency in _WITH_THREE_DIGITS else 2
