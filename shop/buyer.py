"""The buyer: what they typed, cleaned and checked, as it is stored and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from email_validator import EmailNotValidError, validate_email

from shop.addresses import seems_to_lack_a_town
from shop.postal import (
    NO_PARTS,
    PARTS,
    POSTCODE_WORDS,
    TOWN_WORDS,
    Address,
    countries,
    country_of,
    in_a_sentence,
    is_one_text,
)
from shop.text import clean, find_no_text, is_blank, on_one_line

#: The most characters that are taken, by field.
LIMITS = {
    "email": 254,
    "name": 200,
    "address": 1000,
    "street": 200,
    "street2": 200,
    "postcode": 20,
    "town": 100,
    "country": 2,
    "phone": 40,
}

_LABELS = {
    "email": "e-mail address",
    "name": "name",
    "address": "address",
    "street": "street",
    "street2": "second line",
    "postcode": "postcode",
    "town": "town",
    "country": "country",
    "phone": "phone number",
}

#: What is said when a field is empty that can't be.
_MISSING = {
    "email": "Please give an e-mail address, such as kim@example.com.",
    "name": "Please give your name.",
    "address": "Please give the whole address: street, town, country.",
    "street": "Please give the street and the number of the house.",
    "country": "Please choose a country.",
}

_SEVERAL_LINES = frozenset({"address"})

_LEAST_ADDRESS = 8

#: The fewest digits of a phone number.
_LEAST_DIGITS = 5

#: What is asked once about an address that seems to end with the street.
IS_IT_WHOLE = (
    "Is this the whole address? We see no town in it. "
    "Please add it, or press Buy again if nothing is missing."
)


class WrongDetails(Exception):
    """What the buyer typed can't be used; `messages` says why, by field."""

    def __init__(self, messages: dict[str, str]) -> None:
        super().__init__()
        self.messages = messages


class _Wrong(Exception):
    """A field can't be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Buyer:
    """The person who buys, and where it goes."""

    email: str
    name: str
    #: in lines, as it stands on a label
    address: str
    #: the same in parts; none: it was typed as one text
    parts: Address = NO_PARTS
    phone: str = ""

    @property
    def country(self) -> str:
        """Where to, in ISO 3166; "": nobody said."""
        return self.parts.country

    def as_order(self) -> dict[str, str]:
        """Return what an order keeps of it."""
        who = {"email": self.email, "name": self.name, "phone": self.phone}
        return {**who, "address": self.address, **asdict(self.parts)}

    @classmethod
    def check(
        cls, typed: Mapping[str, str], *, test_emails: bool = False, asked: str | None = None
    ) -> Buyer:
        """Return the buyer from what was typed, by the names of `LIMITS`.

        The address is in parts, or it is one text, `address`; see `shop.postal.is_one_text`.

        Args:
            test_emails: whether addresses below .test are taken, which nobody can have.
            asked: the address about which `IS_IT_WHOLE` was asked, or nothing: the same again is
                taken. None if who sends it can't be asked.

        Raises:
            WrongDetails: something is missing or can't be right.
        """
        is_text = is_one_text(typed)
        fields = ("address",) if is_text else PARTS
        reading = _Reading(typed, test_emails)
        found = {field: reading.read(field) for field in ("email", "name", *fields, "phone")}
        if is_text:
            reading.check_whole(found["address"], asked)
            country = reading.read_country(typed.get("country", ""))
        else:
            country = reading.read_country(found["country"])
        if reading.wrong:
            raise WrongDetails(reading.wrong)
        parts = Address(**{part: found.get(part, "") for part in PARTS} | {"country": country})
        address = found["address"] if is_text else parts.in_lines()
        return cls(found["email"], found["name"], address, parts, found["phone"])


def check_email(typed: str, *, test_emails: bool = False) -> str:
    """Return an e-mail address that was typed as it is to be stored.

    Raises:
        WrongDetails: it is none.
    """
    try:
        return _checked("email", typed, test_emails, _MISSING.get)
    except _Wrong as wrong:
        raise WrongDetails({"email": str(wrong)}) from None


class _Reading:
    """What was typed, as it is read field by field."""

    def __init__(self, typed: Mapping[str, str], test_emails: bool) -> None:
        self._typed = typed
        self._test_emails = test_emails
        #: why fields can't be used
        self.wrong: dict[str, str] = {}

    def read(self, field: str) -> str:
        """Return what was typed into a field as it is to be stored."""
        try:
            return _checked(field, self._typed.get(field, ""), self._test_emails, self._missing)
        except _Wrong as wrong:
            self.wrong[field] = str(wrong)
            return ""

    def read_country(self, code: str) -> str:
        """Return a country's code, if there is one."""
        code = code.strip().upper()
        if code and code not in countries():
            self.wrong.setdefault("country", _MISSING["country"])
        return code

    def check_whole(self, address: str, asked: str | None) -> None:
        """See whether an address that was typed as one text seems to lack its town."""
        if asked is not None and address != clean(asked) and seems_to_lack_a_town(address):
            self.wrong.setdefault("address", IS_IT_WHOLE)

    def _missing(self, field: str) -> str | None:
        """Return what is said of an empty field, by the country; None: it may be empty."""
        country = country_of(self._typed.get("country", "").strip().upper())
        if field == "postcode" and country.needs_postcode:
            return f"Please give the {in_a_sentence(POSTCODE_WORDS[country.postcode])}."
        if field == "town":
            return f"Please give the {in_a_sentence(TOWN_WORDS[country.town])}."
        return _MISSING.get(field)


def _checked(
    field: str, typed: str, test_emails: bool, missing: Callable[[str], str | None]
) -> str:
    """Return what was typed into a field as it is to be stored.

    Args:
        missing: what is said of the field if it is empty; None: it may be.
    """
    label = _LABELS[field]
    if no_text := find_no_text(typed):
        raise _Wrong(f"There is a character in this {label} that can’t be printed ({no_text}).")
    text = clean(typed if field in _SEVERAL_LINES else on_one_line(typed))
    if len(text) > LIMITS[field] and field != "country":
        raise _Wrong(f"This {label} is too long: at most {LIMITS[field]} characters, please.")
    if is_blank(text):
        why = missing(field)
        if why is None:
            return ""
        unseen = f"This {label} is blank. " if typed.strip() else ""
        raise _Wrong(unseen + why)
    if "\n" in text and field not in _SEVERAL_LINES:
        raise _Wrong(f"Please give your {label} on one line.")
    return _well_formed(field, text, test_emails)


def _well_formed(field: str, text: str, test_emails: bool) -> str:
    """Return what stands in a field, if it can be that."""
    if field == "email":
        return _checked_email(text, test_emails)
    if field == "address" and len(text) < _LEAST_ADDRESS:
        raise _Wrong(_MISSING[field])
    if field == "phone" and sum(map(str.isdecimal, text)) < _LEAST_DIGITS:
        raise _Wrong("This is no phone number. Please give one, or leave the field empty.")
    return text


def _checked_email(text: str, test_emails: bool) -> str:
    """Return an e-mail address in the form that all ways of writing it have in common.

    The domain is in small letters, and composed, as is the part before the @.
    """
    try:
        # Whether the domain takes mail is not asked: the shop must sell without a resolver.
        checked = validate_email(text, check_deliverability=False, test_environment=test_emails)
    except EmailNotValidError as error:
        reason = _IN_PLAIN_WORDS.get(str(error), str(error))
        raise _Wrong(f"This e-mail address can’t be used. {reason}") from None
    return checked.normalized


#: What the library says less plainly than it could, of the slips that are made most.
_IN_PLAIN_WORDS = {
    "The email address contains invalid characters before the @-sign: SPACE.": (
        "There is a space before the @."
    ),
    "The part after the @-sign contains invalid characters: SPACE.": (
        "There is a space after the @."
    ),
}
