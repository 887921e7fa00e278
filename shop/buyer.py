"""Who buys: what they typed, cleaned and checked, as it is stored and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from email_validator import EmailNotValidError, validate_email

from shop.addresses import seems_to_lack_a_town
from shop.postal import NO_PARTS, Address
from shop.text import clean, find_no_text, is_blank, on_one_line

#: The most characters that are taken, by field.
LIMITS = {"email": 254, "name": 200, "address": 1000}

_LABELS = {"email": "e-mail address", "name": "name", "address": "address"}

#: What is said when a field is empty.
_MISSING = {
    "email": "Please give an e-mail address, such as kim@example.com.",
    "name": "Please give your name.",
    "address": "Please give the whole address: street, town, country.",
}

_SEVERAL_LINES = frozenset({"address"})

_LEAST_ADDRESS = 8

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
    """Who buys, and where to."""

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
        """Return the buyer from what was typed in `email`, `name` and `address`.

        Args:
            test_emails: whether addresses below .test are taken, which nobody can have.
            asked: the address about which `IS_IT_WHOLE` was asked, or nothing: the same again is
                taken. None if who sends it can't be asked.

        Raises:
            WrongDetails: something is missing or can't be right.
        """
        details: dict[str, str] = {}
        messages: dict[str, str] = {}
        for field in LIMITS:
            try:
                details[field] = _checked(field, typed.get(field, ""), test_emails)
            except _Wrong as wrong:
                messages[field] = str(wrong)
        address = details.get("address", "")
        if asked is not None and address != clean(asked) and seems_to_lack_a_town(address):
            messages.setdefault("address", IS_IT_WHOLE)
        if messages:
            raise WrongDetails(messages)
        return cls(details["email"], details["name"], address)


def _checked(field: str, typed: str, test_emails: bool) -> str:
    """Return what was typed into a field as it is to be stored."""
    label = _LABELS[field]
    if no_text := find_no_text(typed):
        raise _Wrong(f"There is a character in this {label} that can’t be printed ({no_text}).")
    text = clean(typed if field in _SEVERAL_LINES else on_one_line(typed))
    if len(text) > LIMITS[field]:
        raise _Wrong(f"This {label} is too long: at most {LIMITS[field]} characters, please.")
    if is_blank(text):
        unseen = f"This {label} is blank. " if typed.strip() else ""
        raise _Wrong(unseen + _MISSING[field])
    if "\n" in text and field not in _SEVERAL_LINES:
        raise _Wrong(f"Please give your {label} on one line.")
    if field == "email":
        return _checked_email(text, test_emails)
    if field == "address" and len(text) < _LEAST_ADDRESS:
        raise _Wrong(_MISSING[field])
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
