"""An order's own page under an address that nobody guesses, and the way to it by mail."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, abort, request
from werkzeug.wrappers import Response as BaseResponse

from shop.models import Order, UnknownOrder
from shop.orders import OrderView
from shop.services import services
from shop.web.app import Answer
from shop.web.budgets import SEARCHES, take_of_address
from shop.web.pages import Notice, back_with, show_page, show_private

bp = Blueprint("orders", __name__)

#: Longer than what anybody types into either field.
_LONGEST = 300


@bp.get("/orders/<token>")
def show(token: str) -> BaseResponse:
    view = find_order(token)
    order_html = services.fragments.order(view)
    return show_order("orders/show.html", view.order, order_html=order_html)


def find_order(token: str) -> OrderView:
    """Return the order whose page has this name, or end with 404."""
    try:
        return services.orders.find(token)
    except UnknownOrder:
        abort(404)


def show_order(template: str, order: Order, **values: Any) -> Answer:
    """Render a page of an order's, which follows its changes."""
    return show_private(template, order=order, watched=f"?order={order.token}", **values)


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
