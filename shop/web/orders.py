"""An order's own page under an address that nobody guesses, and the way to it by mail."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, abort, request
from werkzeug.wrappers import Response as BaseResponse

from shop.models import UnknownOrder
from shop.services import services
from shop.web.budgets import SEARCHES, take_of_address
from shop.web.pages import Notice, back_with, show_page
from shop.web.private import private

bp = Blueprint("orders", __name__)

#: Longer than what anybody types into either field.
_LONGEST = 300


@bp.get("/orders/<token>")
def show(token: str) -> BaseResponse:
    try:
        view = services.orders.find(token)
    except UnknownOrder:
        abort(404)
    return private(
        show_page(
            "orders/show.html",
            order=view.order,
            order_html=services.fragments.order(view),
            watched=f"?{urlencode({'order': token})}",
        )
    )


@bp.get("/orders")
def ask() -> BaseResponse:
    return show_page("orders/ask.html")


@bp.post("/orders")
def send_link() -> BaseResponse:
    """Have the way to an order mailed; the answer is the same whether there is such an order."""
    take_of_address(SEARCHES)
    number, email = request.form.get("number", ""), request.form.get("email", "")
    services.orders.mail_link(number[:_LONGEST], email[:_LONGEST])
    return back_with(Notice(_SENT), "/orders")


_SENT = (
    "If there is an order with this number and this e-mail address, "
    "the way to its page is on its way to that address."
)
