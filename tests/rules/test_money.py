"""Amounts of money have the digits that ISO 4217 gives their currency, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from iso4217 import Currency, raw_xml

from shop.config import load_settings
from shop.money import MINOR_DIGITS, format_money
from shop.setting_values import SettingError

#: What ISO 4217's list one says of the minor units that aren't hundredths.
WHOLE = [
    "BIF",
    "CLP",
    "DJF",
    "GNF",
    "ISK",
    "JPY",
    "KMF",
    "KRW",
    "PYG",
    "RWF",
    "UGX",
    "UYI",
    "VND",
    "VUV",
    "XAF",
    "XOF",
    "XPF",
]
THOUSANDTHS = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]
TEN_THOUSANDTHS = ["CLF", "UYW"]
#: Metals, units of account, the code for tests and the one for no currency: "N.A."
WITHOUT = [
    "XAG",
    "XAU",
    "XBA",
    "XBB",
    "XBC",
    "XBD",
    "XDR",
    "XPD",
    "XPT",
    "XSU",
    "XTS",
    "XUA",
    "XXX",
]
WITHDRAWN = ["DEM", "FRF", "ITL", "HRK", "BGN", "ZWL", "SLL", "VEF", "BYR", "CUC", "ANG"]

DIGITS = {
    **dict.fromkeys(WHOLE, 0),
    **dict.fromkeys(THOUSANDTHS, 3),
    **dict.fromkeys(TEN_THOUSANDTHS, 4),
}


def currency_set_to(code: str, tmp_path: Path) -> str:
    return load_settings({"SHOP_INSTANCE": str(tmp_path), "SHOP_CURRENCY": code}).currency


def test_every_currency_of_the_standard_is_shown_with_its_digits() -> None:
    listed = {entry.text for entry in raw_xml.iterfind("CcyTbl/CcyNtry/Ccy")}
    assert len(listed) > 170
    assert listed == {currency.code for currency in Currency}
    assert set(MINOR_DIGITS) == listed - {*WITHOUT}
    for code in sorted(MINOR_DIGITS):
        digits = DIGITS.get(code, 2)
        shown = format_money(1234567, code)
        number = re.search(r"[\d,]*\d(\.\d+)?$", shown)
        assert number, shown
        whole, _, fraction = number[0].partition(".")
        assert (whole.replace(",", "") + fraction, len(fraction)) == ("1234567", digits), shown


def test_a_shop_sells_in_any_currency_that_has_a_minor_unit(tmp_path: Path) -> None:
    for code in MINOR_DIGITS:
        assert currency_set_to(code.lower(), tmp_path) == code


@pytest.mark.parametrize("code", [*WITHOUT, *WITHDRAWN, "EU", "EURO", "€", "978", "US D"])
def test_what_is_no_currency_or_is_one_no_more_is_refused(tmp_path: Path, code: str) -> None:
    with pytest.raises(SettingError, match="a currency in use with a minor unit") as refused:
        currency_set_to(code, tmp_path)
    assert "\n" not in refused.value.format_message()


@pytest.mark.parametrize(
    ("amount", "code", "shown"),
    [
        (12000, "USD", "$120.00"),
        (12000, "RSD", "RSD\N{NO-BREAK SPACE}120.00"),
        (12000, "IQD", "IQD\N{NO-BREAK SPACE}12.000"),
        (12000, "JPY", "¥12,000"),
        (12000, "KWD", "KWD\N{NO-BREAK SPACE}12.000"),
        (12000, "CLF", "CLF\N{NO-BREAK SPACE}1.2000"),
        (5, "EUR", "€0.05"),
        (0, "MGA", "MGA\N{NO-BREAK SPACE}0.00"),
        (12000, "CAD", "CA$120.00"),
        (9_007_199_254_740_993, "USD", "$90,071,992,547,409.93"),
        (12000, "DEM", "DEM\N{NO-BREAK SPACE}120.00"),
    ],
)
def test_an_amount_is_written_as_shoppers_read_it(amount: int, code: str, shown: str) -> None:
    """Old orders keep a currency that was withdrawn; large sums are exact."""
    assert format_money(amount, code) == shown
