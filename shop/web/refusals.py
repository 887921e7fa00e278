"""Why nothing was bought, in a shopper's words."""

from __future__ import annotations

from shop.money import format_money
from shop.purchase import (
    CostsChanged,
    ItemsChanged,
    LineItem,
    NotBought,
    NotForSale,
    NothingToBuy,
    PriceChanged,
    TooManyOfProduct,
    TooManyPairs,
)

#: How many items a notice names before it only counts them: it has to fit into a cookie.
_MOST_NAMED = 5

_NOTHING = "Nothing was bought."
_REVIEW = f"{_NOTHING} Look again, please."


def words_of(error: NotBought, currency: str) -> str:
    """Say to a shopper why nothing was bought, and what to do."""
    match error:
        case NothingToBuy():
            return f"Your cart is empty. {_NOTHING}"
        case TooManyPairs(held=held, most=most):
            return f"One order may hold {most} at most, and your cart holds {held}. {_NOTHING}"
        case TooManyOfProduct(name=name, has=has, most=most):
            before = f", and has {has} already" if has else ""
            return f"One customer may have {most} of {name} at most{before}. {_NOTHING}"
        case NotForSale():
            return f"{_closed(error)} {_NOTHING}"
        case ItemsChanged():
            return f"Your cart is not what it was on that page. {_REVIEW}"
        case PriceChanged(items=items):
            return f"The price of {_listed(items)} has changed. {_REVIEW}"
        case CostsChanged(costs=costs):
            total = format_money(costs.total, currency)
            return f"With shipping and tax this is {total} now. {_REVIEW}"
        case _:  # BoughtBefore
            return _BOUGHT_BEFORE


_BOUGHT_BEFORE = (
    "This was bought before, with other details than these. Nothing was bought now. "
    "The same details as then lead to the receipt."
)


def _closed(error: NotForSale) -> str:
    """Name what can't be bought, by why."""
    reasons = {
        "Sold out": error.sold_out,
        "No longer sold": error.withdrawn,
        "Not released yet": error.not_released,
    }
    return " ".join(f"{why}: {_listed(items)}." for why, items in reasons.items() if items)


def _listed(items: list[LineItem]) -> str:
    named = ", ".join(f"{item.name}, size {item.size}" for item in items[:_MOST_NAMED])
    more = len(items) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
