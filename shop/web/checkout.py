"""The checkout page, the purchase, and the receipt."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, abort, request, session
from werkzeug.wrappers import Response as BaseResponse

from shop.buyer import Buyer, WrongDetails
from shop.checkout import buy
from shop.costs import NotDelivered
from shop.models import Order, UnknownOrder
from shop.models.order_state import EXPIRED, HOLDING
from shop.purchase import BoughtBefore, NotBought, NothingToBuy, Offer, Purchase
from shop.services import services
from shop.web import checkout_form, draft, remembered
from shop.web.budgets import PAIRS, take_of_address
from shop.web.pages import (
    PROBLEM,
    Notice,
    back_with,
    show_cart,
    show_page,
    wants_fragments,
)
from shop.web.refusals import words_of
from shop.web.visitor import visitor

bp = Blueprint("checkout", __name__)

#: What a count in the database can be; a larger number is not from one of the shop's forms.
_MOST_PURCHASES = 2**31 - 1

#: Where the number of the last order is: sharing a cart doesn't share what was bought from it.
_RECEIPT = "receipt"


@bp.get("/checkout")
def show() -> BaseResponse:
    cart = visitor.view_cart()
    if not cart.contents.lines:
        # A buyer who comes back from the payment page without having paid is sent there again.
        held = cart.hold is not None and _RECEIPT in session
        return back_with(None, "/checkout/complete" if held else "/")
    return checkout_form.show(checkout_form.typed_before(session.get(_RECEIPT, "")))


@bp.post("/checkout")
def purchase() -> BaseResponse:
    typed = checkout_form.typed_now()
    draft.keep(typed)
    try:
        bought = _buy(_offer(), _buyer(typed))
    except WrongDetails as error:
        services.metrics.refused("wrong_details")
        return _wrong_details(typed, error.messages)
    except NotBought as error:
        if isinstance(error, BoughtBefore) and session.get(_RECEIPT) == error.number:
            return back_with(None, "/checkout/complete")  # bought by this very browser
        services.metrics.refused(error.reason)
        return _refused(words_of(error, services.terms.currency))
    return remembered.keep_or_forget(_bought(bought), typed)


@bp.get("/checkout/complete")
def complete() -> BaseResponse:
    try:
        with services.database.reading() as reading:
            order = Order.find(reading, session.get(_RECEIPT, ""))
    except UnknownOrder:
        return back_with(Notice(_NO_RECEIPT), "/")
    if order.state in (*HOLDING, EXPIRED):
        return back_with(None, f"/orders/{order.token}/pay")
    # Only now: a request that holds one of the database's connections must not wait for another.
    return show_page("checkout/complete.html", order=order)


@bp.post("/checkout/forget")
def forget() -> BaseResponse:
    """Forget what this browser was asked to remember, and what was typed since."""
    draft.forget()
    return remembered.forget(back_with(Notice(_FORGOTTEN), "/checkout"))


def _buyer(typed: Mapping[str, str]) -> Buyer:
    asked = request.form.get("asked_address")  # every form with it as one text has it
    buyer = Buyer.check(typed, test_emails=services.settings.test_emails, asked=asked)
    try:
        services.terms.costs.group_of(buyer.country)
    except NotDelivered:
        raise WrongDetails({"country": checkout_form.not_delivered(buyer.country)}) from None
    return buyer


def _buy(offer: Offer, buyer: Buyer) -> Purchase:
    def buy_cart(cart_id: str) -> Purchase:
        terms = services.terms
        return services.database.transact(lambda tx: buy(tx, cart_id, buyer, offer, terms))

    take_of_address(PAIRS, len(offer.prices))
    try:
        return buy_cart(visitor.choose_cart())
    except NothingToBuy:  # or one that the database has lost, and has back by being looked at
        found = visitor.find_cart()
        if not found.item_ids:
            raise
        return buy_cart(found.cart_id)


def _bought(bought: Purchase) -> BaseResponse:
    session[_RECEIPT] = bought.number
    if bought.pieces:
        services.metrics.sold(bought.pieces)
    visitor.keep(bought.cart)
    draft.mark(bought.number)
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
    return checkout_form.show(typed, messages, 422)


#: Said to somebody who has bought nothing, and to somebody whose browser lost its session.
_NO_RECEIPT = "There is no receipt in this browser. If you placed an order, it still stands."

_FORGOTTEN = "Your details are forgotten in this browser."

_TOO_LATE = "The time to pay for that was over. Nothing was charged. Look again, please."


def _offer() -> Offer:
    """Read the form's hidden fields: which purchase, and the prices that were shown."""
    try:
        seen = [pair.split(":") for pair in request.form.getlist("seen")]
        prices = {int(item_id): int(price) for item_id, price in seen}
        purchase = int(request.form.get("purchase", ""))
        if not 0 <= purchase <= _MOST_PURCHASES:
            raise ValueError
        return Offer(purchase, prices, request.form.get("seen_costs", ""))
    except ValueError:
        abort(400, "The checkout form is not complete. Reload the page and try again.")
