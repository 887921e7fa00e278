"""The form of the checkout: what was typed into it, and how it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from flask import render_template, request
from markupsafe import Markup
from sqlalchemy import bindparam, select

from shop.buyer import IS_IT_WHOLE, LIMITS
from shop.costs import CostTable
from shop.models import Order
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
    form = request.form
    return {field: form[field] for field in LIMITS if field in form}


def typed_before(receipt: str) -> Mapping[str, str]:
    """Return what was typed for this purchase, or what the shopper asked to remember.

    Args:
        receipt: the number of the session's last order.
    """
    if receipt and draft.was_bought_as(receipt) and _is_done(receipt):
        draft.forget()
    return draft.typed() or remembered.details()


def _is_done(number: str) -> bool:
    rows = services.database.rows(_STATE, {"number": number})
    return not rows or rows[0].state not in _MAY_BE_MADE_ANEW


_STATE = select(Order.state).where(Order.number == bindparam("number"))


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
        country_options=_options(chosen),
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


def _options(chosen: str) -> Markup:
    """Return what the list of countries offers, with the one that is chosen."""
    options = _options_by(services.terms.costs)
    if chosen in countries():
        options = options.replace(f'value="{chosen}"', f'value="{chosen}" selected', 1)
    return Markup(options)  # noqa: S704  (a template made it)


@lru_cache(maxsize=4)
def _options_by(table: CostTable) -> str:
    """Return what is offered, rendered once: to render it takes longer than all else of the page.

    Each country has the group with it that says what shipping costs there.
    """
    groups = {}
    for place, group in enumerate(table.groups):
        groups.update(dict.fromkeys(group.countries, str(place)))
    others = next((str(i) for i, group in enumerate(table.groups) if not group.countries), "none")
    listed = [(c, groups.get(c.code, others) if table.groups else "") for c in listed_countries()]
    return render_template("checkout/_countries.html", countries=listed)


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
