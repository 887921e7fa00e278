"""While an order is paid for: its hold's page, and what the provider sends by itself."""

from __future__ import annotations

from flask import Blueprint, Response, abort, redirect, request
from werkzeug.wrappers import Response as BaseResponse

from shop.db import Transaction
from shop.models.ledger import SHOP
from shop.models.payment import RELEASED, check_now, is_new_message
from shop.payments.holds import end_hold, extend
from shop.payments.provider import Forged
from shop.services import services
from shop.web.orders import find_order, show_order
from shop.web.pages import PROBLEM, Notice, back_with

bp = Blueprint("payments", __name__)


@bp.get("/orders/<token>/pay")
def show(token: str) -> BaseResponse:
    view = find_order(token)
    if view.payment is None:  # it is paid outside
        return redirect(f"/orders/{token}", 303)
    if "returned" in request.args and view.payment.session_id is not None:
        _check_now(view.payment.session_id)
    return show_order(
        "orders/pay.html",
        view.order,
        hold_html=services.fragments.hold(view),
        # A page without script reloads by itself until there is something to do.
        waits=view.waits or ("returned" in request.args and view.is_held),
    )


@bp.post("/orders/<token>/extend")
def hold_longer(token: str) -> BaseResponse:
    order_id = find_order(token).order.id
    longer = services.database.transact(lambda tx: extend(tx, order_id))
    notice = Notice(_LONGER) if longer else Notice(_NOT_LONGER, PROBLEM)
    return back_with(notice, f"/orders/{token}/pay")


@bp.post("/orders/<token>/release")
def give_back(token: str) -> BaseResponse:
    order_id, why = find_order(token).order.id, "given back by the shopper"
    services.database.transact(lambda tx: end_hold(tx, order_id, RELEASED, who=SHOP, why=why))
    return back_with(None, f"/orders/{token}/pay?returned=1")


@bp.post("/payments/stripe")
def take_message() -> Response:
    """Take what Stripe sends; its signature is good for this, in the place of a form's token."""
    provider = services.provider
    if provider is None or provider.name != "stripe":
        abort(404)
    try:
        message = provider.verify(request.get_data(), request.headers.get("Stripe-Signature", ""))
    except Forged:
        services.metrics.refused("forged_message")
        return Response("That is not signed by Stripe.\n", 400)
    session_id = message.session_id

    def work(transaction: Transaction) -> None:
        if is_new_message(transaction, message.id) and session_id is not None:
            check_now(transaction, session_id)

    services.database.transact(work)
    return Response(status=204)


def _check_now(session_id: str) -> None:
    """Have the provider asked at once: a shopper has come back from its page."""
    services.database.transact(lambda tx: check_now(tx, session_id), durable=False)


_LONGER = "Your pairs are held for five more minutes."
_NOT_LONGER = "They can’t be held for longer: that is possible once, and while they are held."
