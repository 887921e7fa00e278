"""The checkout page, the purchase, and the receipt."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, abort, request, session
from werkzeug.wrappers import Response as BaseResponse

from shop import postal
from shop.buyer import IS_IT_WHOLE, LIMITS, Buyer, WrongDetails
from shop.checkout import (
    BoughtBefore,
    CartChanged,
    CartClosed,
    EmptyCart,
    LineItem,
    Offer,
    PriceChanged,
    Purchase,
    TooManyOfProduct,
    TooManyPairs,
    buy,
)
from shop.models import Order, UnknownOrder
from shop.models.order_state import EXPIRED, HOLDING
from shop.services import services
from shop.web import draft
from shop.web.budgets import PAIRS, take_of_address
from shop.web.pages import (
    PROBLEM,
    Notice,
    back_with,
    show_cart,
    show_page,
    wants_fragments,
)
from shop.web.visitor import visitor

bp = Blueprint("checkout", __name__)

#: What a count in the database can be; a larger number is not from one of the shop's forms.
_MOST_PURCHASES = 2**31 - 1

#: Where the number of the last order is: who shares a cart doesn't share what was bought from it.
_RECEIPT = "receipt"

#: How many items a notice names before it only counts them: it has to fit into a cookie.
_MOST_NAMED = 5


@bp.get("/checkout")
def show() -> BaseResponse:
    if not visitor.view_cart().contents.lines:
        # Who comes back from the payment page without having paid is led there again.
        held = visitor.view_cart().hold is not None and _RECEIPT in session
        return back_with(None, "/checkout/complete" if held else "/")
    return _show_form(draft.typed(), {})


@bp.post("/checkout")
def purchase() -> BaseResponse:
    typed = {field: request.form.get(field, "") for field in LIMITS}
    if postal.is_in_parts(request.form):
        typed["address"] = postal.in_lines(request.form)
    draft.keep(typed)
    try:
        bought = _buy(_offer(), _buyer(typed))
    except WrongDetails as error:
        services.metrics.refused("wrong_details")
        return _wrong_details(typed, error.messages)
    except BoughtBefore as error:
        if session.get(_RECEIPT) == error.number:  # by this very browser
            return back_with(None, "/checkout/complete")
        services.metrics.refused("bought_before")
        return _refused(_BOUGHT_BEFORE)
    except (
        EmptyCart,
        TooManyPairs,
        TooManyOfProduct,
        CartClosed,
        CartChanged,
        PriceChanged,
    ) as error:
        services.metrics.refused(_reason(error))
        return _refused(_why(error))
    return _bought(bought)


@bp.get("/checkout/complete")
def complete() -> BaseResponse:
    try:
        with services.database.reading() as reading:
            order = Order.find(reading, session.get(_RECEIPT, ""))
    except UnknownOrder:
        return back_with(Notice(_NO_RECEIPT), "/")
    if order.state in (*HOLDING, EXPIRED):
        return back_with(None, f"/orders/{order.token}/pay")
    # Only now: who holds one of the database's connections must not wait for another.
    return show_page("checkout/complete.html", order=order)


def _buyer(typed: Mapping[str, str]) -> Buyer:
    asked = request.form.get("asked_address")  # every form of the shop has it
    if postal.is_in_parts(request.form):
        asked = None
        try:
            postal.check_parts(request.form)
        except postal.WrongAddress as error:
            raise WrongDetails({"address": str(error)}) from None
    return Buyer.check(typed, test_emails=services.settings.test_emails, asked=asked)


def _buy(offer: Offer, buyer: Buyer) -> Purchase:
    def buy_cart(cart_id: str) -> Purchase:
        terms = services.terms
        return services.database.transact(lambda tx: buy(tx, cart_id, buyer, offer, terms))

    take_of_address(PAIRS, len(offer.prices))
    try:
        return buy_cart(visitor.choose_cart())
    except EmptyCart:  # or one that the database has lost, and has back by being looked at
        found = visitor.find_cart()
        if not found.item_ids:
            raise
        return buy_cart(found.cart_id)


def _bought(bought: Purchase) -> BaseResponse:
    session[_RECEIPT] = bought.number
    if bought.pieces:
        services.metrics.sold(bought.pieces)
    visitor.keep(bought.cart)
    if bought.state == EXPIRED:  # a form from before, sent again
        return back_with(Notice(_TOO_LATE, PROBLEM), "/checkout")
    if bought.state in HOLDING:
        return back_with(None, f"/orders/{bought.token}/pay")
    return back_with(None, "/checkout/complete")


def _refused(why: str) -> BaseResponse:
    """Nothing was bought, by no fault of the form's: back to it, all that was typed kept."""
    notice = Notice(why, PROBLEM)
    return show_cart(409, notice) if wants_fragments() else back_with(notice, "/checkout")


def _wrong_details(typed: dict[str, str], messages: dict[str, str]) -> BaseResponse:
    if wants_fragments():
        return show_cart(422, Notice(" ".join(messages.values()), PROBLEM))
    return _show_form(typed, messages, 422)


def _show_form(typed: Mapping[str, str], errors: dict[str, str], status: int = 200) -> Response:
    asked = typed.get("address", "") if errors.get("address") == IS_IT_WHOLE else ""
    return show_page(
        "checkout/show.html",
        status=status,
        typed=typed,
        errors=errors,
        limits=LIMITS,
        asked_address=asked,
    )


#: Said to somebody who has bought nothing, and to somebody whose browser lost its session.
_NO_RECEIPT = "There is no receipt in this browser. If you placed an order, it still stands."

_TOO_LATE = "The time to pay for that was over. Nothing was charged. Look again, please."

_BOUGHT_BEFORE = (
    "This was bought before, with other details than these. Nothing was bought now. "
    "The same details as then lead to the receipt."
)


Refusal = EmptyCart | TooManyPairs | TooManyOfProduct | CartClosed | CartChanged | PriceChanged


def _reason(error: Refusal) -> str:
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
    }[type(error)]


def _why(error: Refusal) -> str:
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
    reasons = []
    if error.sold_out:
        reasons.append(f"Sold out: {_listed(error.sold_out)}.")
    if error.withdrawn:
        reasons.append(f"No longer sold: {_listed(error.withdrawn)}.")
    if error.not_released:
        reasons.append(f"Not released yet: {_listed(error.not_released)}.")
    return " ".join([*reasons, nothing])


def _listed(items: list[LineItem]) -> str:
    named = ", ".join(f"{item.name}, size {item.size}" for item in items[:_MOST_NAMED])
    more = len(items) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _offer() -> Offer:
    """Read the form's hidden fields: which purchase, and the prices that were shown."""
    try:
        seen = [pair.split(":") for pair in request.form.getlist("seen")]
        prices = {int(item_id): int(price) for item_id, price in seen}
        purchase = int(request.form.get("purchase", ""))
        if not 0 <= purchase <= _MOST_PURCHASES:
            raise ValueError
        return Offer(purchase, prices)
    except ValueError:
        abort(400, "The checkout form is not complete. Reload the page and try again.")
