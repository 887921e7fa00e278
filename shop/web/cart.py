"""The cart's page and its actions."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, abort, request
from werkzeug.wrappers import Response as BaseResponse

from shop.models import (
    LARGEST_ID,
    AlreadyInCart,
    CartSnapshot,
    NotInCart,
    NotReleased,
    OutOfStock,
    UnknownItem,
    Withdrawn,
)
from shop.services import services
from shop.web.pages import (
    INFO,
    PROBLEM,
    Notice,
    back_with,
    page_context,
    page_to_return_to,
    show_cart,
    show_page,
    wants_fragments,
)
from shop.web.visitor import visitor

bp = Blueprint("cart", __name__)


@bp.get("/cart")
def show() -> Response:
    seen = page_context()
    return show_page("cart/show.html", cart=seen.cart, notices=seen.notices)


@bp.post("/cart/items")
def add() -> BaseResponse:
    item_id = _item_id_in_form()
    return _act(lambda cart_id: services.carts.add(cart_id, item_id, visitor.copy), "added")


@bp.post("/cart/marks")
def mark() -> BaseResponse:
    item_id = _item_id_in_form()
    return _act(lambda cart_id: services.carts.mark(cart_id, item_id, visitor.copy), "marked")


@bp.post("/cart/items/<item_id>/remove")
def remove(item_id: str) -> BaseResponse:
    number = _item_id(item_id)
    return _act(lambda cart_id: services.carts.remove(cart_id, number, visitor.copy), "removed")


@bp.post("/cart/items/<item_id>/swap")
def swap(item_id: str) -> BaseResponse:
    old, new = _item_id(item_id), _item_id_in_form()
    return _act(lambda cart_id: services.carts.swap(cart_id, old, new, visitor.copy), "swapped")


def _act(action: Callable[[str], CartSnapshot], done: str) -> BaseResponse:
    """Do what was asked for to the visitor's cart, and answer with how it went."""
    cart_id = visitor.choose_cart()
    try:
        visitor.keep(action(cart_id))
    except UnknownItem:
        services.metrics.refused("unknown_item")
        abort(404, "There is no such size here.")
    except AlreadyInCart as error:
        why = f"{_named(error.args[0])} is in your cart already."
        return _refuse("already_in_cart", why, kind=INFO)  # what was wanted is so
    except NotInCart:
        return _refuse("not_in_cart", "That size is not in your cart any more.", 404)
    except OutOfStock as error:
        return _refuse("sold_out", f"{_named(error.item_id)} is sold out.")
    except Withdrawn as error:
        return _refuse("withdrawn", f"{_named(error.item_id)} is no longer sold here.")
    except NotReleased as error:
        return _refuse("not_released", f"{_named(error.item_id)} is not released yet.")
    return _answer(200, None, f"The size was {done}.")


def _refuse(reason: str, why: str, status: int = 409, kind: str = PROBLEM) -> BaseResponse:
    services.metrics.refused(reason)
    return _answer(status, Notice(why, kind))


def _answer(status: int, notice: Notice | None, done: str = "") -> BaseResponse:
    if wants_fragments():
        return show_cart(status, notice)
    return back_with(notice or Notice(done), page_to_return_to())


def _named(item_id: int) -> str:
    catalog = services.inventory.last_known
    item = catalog.items.get(item_id)
    if item is None:  # it has only just come to the shelf
        return "That size"
    return f"{catalog.product_of(item).name}, size {item.size},"


def _item_id_in_form() -> int:
    text = request.form.get("item_id", "")
    if not text:
        abort(400, "No size was chosen.")
    return _item_id(text)


def _item_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        abort(400, "A size is chosen by its number, and that is none.")
    number = int(text) if len(text) < 20 else LARGEST_ID + 1
    if number > LARGEST_ID:
        abort(404, "There is no such size here.")
    return number
