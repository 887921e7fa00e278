"""Why nothing was bought, in a shopper's words and in those of metrics."""

from __future__ import annotations

from shop.money import format_money
from shop.purchase import (
    CartChanged,
    CartClosed,
    CostsChanged,
    EmptyCart,
    LineItem,
    PriceChanged,
    TooManyOfProduct,
    TooManyPairs,
)

#: How many items a notice names before it only counts them: it has to fit into a cookie.
_MOST_NAMED = 5

BOUGHT_BEFORE = (
    "This was bought before, with other details than these. Nothing was bought now. "
    "The same details as then lead to the receipt."
)


REFUSALS = (
    EmptyCart,
    TooManyPairs,
    TooManyOfProduct,
    CartClosed,
    CartChanged,
    PriceChanged,
    CostsChanged,
)

Refusal = (
    EmptyCart
    | TooManyPairs
    | TooManyOfProduct
    | CartClosed
    | CartChanged
    | PriceChanged
    | CostsChanged
)


def reason_of(error: Refusal) -> str:
    """Name a refusal for those who count them."""
    if isinstance(error, CartClosed):
        if error.withdrawn:
            return "withdrawn"
        return "sold_out" if error.sold_out else "not_released"
    return {
        EmptyCart: "empty",
        TooManyPairs: "too_many_pairs",
        TooManyOfProduct: "too_many_of_product",
        CartChanged: "cart_changed",
        PriceChanged: "price_changed",
        CostsChanged: "costs_changed",
    }[type(error)]


def words_of(error: Refusal, currency: str) -> str:
    """Say to a shopper why nothing was bought."""
    nothing = "Nothing was bought."
    if isinstance(error, EmptyCart):
        return f"Your cart is empty. {nothing}"
    if isinstance(error, TooManyPairs):
        return (
            f"One order may hold {error.most} at most, and your cart holds {error.held}. {nothing}"
        )
    if isinstance(error, TooManyOfProduct):
        before = f", and has {error.has} already" if error.has else ""
        return f"One customer may have {error.most} of {error.name} at most{before}. {nothing}"
    if isinstance(error, CartChanged):
        return f"Your cart is not what it was on that page. {nothing} Look again, please."
    if isinstance(error, PriceChanged):
        return f"The price of {_listed(error.items)} has changed. {nothing} Look again, please."
    if isinstance(error, CostsChanged):
        total = format_money(error.costs.total, currency)
        return f"With shipping and tax this is {total} now. {nothing} Look again, please."
    return " ".join([*_closed(error), nothing])


def _closed(error: CartClosed) -> list[str]:
    """Name what can't be bought, by why."""
    reasons = []
    if error.sold_out:
        reasons.append(f"Sold out: {_listed(error.sold_out)}.")
    if error.withdrawn:
        reasons.append(f"No longer sold: {_listed(error.withdrawn)}.")
    if error.not_released:
        reasons.append(f"Not released yet: {_listed(error.not_released)}.")
    return reasons


def _listed(items: list[LineItem]) -> str:
    named = ", ".join(f"{item.name}, size {item.size}" for item in items[:_MOST_NAMED])
    more = len(items) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named
