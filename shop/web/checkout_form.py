"""The form of the checkout: what was typed into it, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping

from flask import request

from shop.buyer import IS_IT_WHOLE, LIMITS
from shop.models import Order, UnknownOrder
from shop.models.order_state import CANCELLED, EXPIRED, HOLDING
from shop.postal import (
    POSTCODE_WORDS,
    TOWN_WORDS,
    countries,
    country_of,
    is_one_text,
    listed_countries,
)
from shop.services import services
from shop.web import draft, remembered
from shop.web.app import Answer
from shop.web.pages import show_page

#: Of an order that is in none of these, the shopper's details were for that purchase only.
_MAY_BE_MADE_ANEW = (*HOLDING, EXPIRED, CANCELLED)


def typed_now() -> dict[str, str]:
    """Return what was sent of the form's fields."""
    return {field: request.form[field] for field in LIMITS if field in request.form}


def typed_before(receipt: str) -> Mapping[str, str]:
    """Return what was typed for this purchase, or what the shopper asked to remember.

    Args:
        receipt: the number of the session's last order.
    """
    if receipt and draft.was_bought_as(receipt) and _is_done(receipt):
        draft.forget()
    return draft.typed() or remembered.details()


def _is_done(number: str) -> bool:
    try:
        with services.database.reading() as reading:
            return Order.find(reading, number).state not in _MAY_BE_MADE_ANEW
    except UnknownOrder:
        return True


def show(
    typed: Mapping[str, str], errors: Mapping[str, str] | None = None, status: int = 200
) -> Answer:
    """Show the form.

    Args:
        typed: what stands in its fields.
        errors: why fields can't be used.
    """
    errors = errors or {}
    is_text = is_one_text(typed)
    chosen = typed.get("country", "" if is_text else _likely_country()).strip().upper()
    return show_page(
        "checkout/show.html",
        status=status,
        typed=typed,
        errors=errors,
        first_wrong=next(iter(errors), ""),
        limits=LIMITS,
        asked_address=typed.get("address", "") if errors.get("address") == IS_IT_WHOLE else "",
        is_text=is_text,
        country=country_of(chosen),
        countries=_listed(),
        postcode_words=POSTCODE_WORDS,
        town_words=TOWN_WORDS,
        cost_table=services.terms.costs,
        remembers=remembered.is_asked_to(),
        forgettable=bool(remembered.details()),
    )


def not_delivered(country: str) -> str:
    """Say that the shop doesn't deliver to a country, or must know it; "": nobody said."""
    if not country:
        return "Please choose a country: what shipping costs depends on it."
    return f"We don’t deliver to {countries()[country]}."


def _listed() -> list[tuple[object, str]]:
    """Return all countries, each with the group that says what shipping costs there."""
    table = services.terms.costs
    groups = {}
    for place, group in enumerate(table.groups):
        groups.update(dict.fromkeys(group.countries, str(place)))
    others = next((str(i) for i, group in enumerate(table.groups) if not group.countries), "none")
    return [(c, groups.get(c.code, others) if table.groups else "") for c in listed_countries()]


def _likely_country() -> str:
    """Return the shop's home, else the country that the browser's languages name."""
    table = services.terms.costs
    if table.home:
        return table.home
    for language, _ in request.accept_languages:
        region = language.replace("_", "-").rpartition("-")[2].upper()
        if "-" in language and region in countries() and table.delivers_to(region):
            return region
    return ""
