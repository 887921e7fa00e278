"""Asking to be told when a size is back, and taking that back."""

from __future__ import annotations

from flask import Blueprint, abort, request
from werkzeug.wrappers import Response as BaseResponse

from shop.buyer import WrongDetails, check_email
from shop.models.stock_alert import ask_for_alert, still_waits, take_back_alerts
from shop.product_views import ProductView
from shop.services import services
from shop.web.budgets import ALERTS, take_of_address
from shop.web.pages import PROBLEM, Notice, back_with, show_page, show_private

bp = Blueprint("alerts", __name__)

#: Longer than what anybody types.
_LONGEST = 300


@bp.get("/products/<sku>/alerts")
def ask(sku: str) -> BaseResponse:
    product = _find(sku)
    return _form(product, request.args.get("item_id", ""))


@bp.post("/products/<sku>/alerts")
def note(sku: str) -> BaseResponse:
    """Note a request; the answer is the same whether somebody has it already."""
    product, chosen = _find(sku), request.form.get("item_id", "")
    typed = request.form.get("email", "")[:_LONGEST]
    item = next((item for item in product.items if str(item.id) == chosen), None)
    if item is None:
        return _form(product, chosen, typed, "Choose a size.")
    try:
        email = check_email(typed, test_emails=services.settings.test_emails)
    except WrongDetails as error:
        return _form(product, chosen, typed, error.messages["email"])
    take_of_address(ALERTS)
    if not product.released:
        return back_with(Notice("It is not open yet: nothing is sold out."), f"/products/{sku}")
    if not item.sold_out:
        return back_with(Notice(f"Size {item.size} is there right now."), f"/products/{sku}")
    services.database.transact(lambda tx: ask_for_alert(tx, item.id, email))
    said = f"When size {item.size} is back, one mail goes to {email}."
    return back_with(Notice(said), f"/products/{sku}")


@bp.get("/alerts/<token>")
def show(token: str) -> BaseResponse:
    there = still_waits(services.database, token[:_LONGEST])
    return show_private("alerts/take_back.html", there=there)


@bp.post("/alerts/<token>")
def take_back(token: str) -> BaseResponse:
    """Take a request back: from its page, or by a mail program (RFC 8058)."""
    services.database.transact(lambda tx: take_back_alerts(tx, token[:_LONGEST]))
    return back_with(None, f"/alerts/{token}")


def _find(sku: str) -> ProductView:
    product = services.inventory.current().find(sku)
    if product is None or product.withdrawn:
        abort(404)
    return product


def _form(product: ProductView, chosen: str, typed: str = "", error: str = "") -> BaseResponse:
    """Show the form, as it was filled in and with what is wrong."""
    return show_page(
        "alerts/ask.html",
        status=422 if error else 200,
        notices=(Notice(error, PROBLEM),) if error else (),
        product=product,
        chosen=chosen,
        typed=typed,
        error=error,
    )
