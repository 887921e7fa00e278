"""Answers: pages, and for HTMX the fragments of what changed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlencode

from flask import (
    Response,
    flash,
    get_flashed_messages,
    make_response,
    redirect,
    render_template,
    request,
)
from sqlalchemy.exc import DBAPIError
from werkzeug.wrappers import Response as BaseResponse

from shop.carts import CartView
from shop.db import DatabaseBusy
from shop.inventory import Catalog, ProductView
from shop.parts import parts
from shop.web.visitor import visitor

INFO, PROBLEM = "info", "problem"


@dataclass(frozen=True)
class Notice:
    """What a visitor is told about an action of theirs."""

    text: str
    kind: str = INFO
    #: sets it apart from the one before, so that the same text is announced again
    key: str = field(default_factory=lambda: secrets.token_hex(4))


def wants_fragments() -> bool:
    """Tell whether HTMX asks, for which an answer holds what changed and no page."""
    return request.headers.get("HX-Request") == "true"


@dataclass(frozen=True)
class Sight:
    """What there is to be seen of the shop."""

    catalog: Catalog
    cart: CartView
    notices: tuple[Notice, ...] = ()


def sight() -> Sight:
    """Return what is true now or, while the database is away, what was when it last answered.

    Raises:
        DBAPIError, DatabaseBusy: it is away, and has never answered.
    """
    try:
        return Sight(parts.inventory.current(), visitor.cart)
    except (DBAPIError, DatabaseBusy):
        catalog = parts.inventory.last_known
        if not catalog.products:
            raise
        return Sight(catalog, visitor.recalled_cart(), (Notice(_AWAY, PROBLEM),))


_AWAY = (
    "The till does not answer for a moment. Sizes and cart are as we last saw them; "
    "buying works again as soon as it does."
)


def show_page(
    template: str,
    *,
    watching: tuple[ProductView, ...] = (),
    cart: CartView | None = None,
    notices: tuple[Notice, ...] = (),
    status: int = 200,
    **values: Any,
) -> Response:
    """Render a page around the visitor's cart, with a stream for the products on it.

    Args:
        watching: the products whose changes the page follows.
        cart: the cart to show, the visitor's own if it isn't given.
        notices: what to say besides what was flashed.
    """
    cart = visitor.cart if cart is None else cart
    messages = cast(list[tuple[str, str]], get_flashed_messages(with_categories=True))
    flashed = [Notice(text, kind) for kind, text in messages]
    query = urlencode([("product", product.id) for product in watching])
    html = render_template(
        template,
        cart_html=parts.fragments.cart(cart),
        notices=[*flashed, *notices],
        watched=f"?{query}" if query else "",
        **values,
    )
    return make_response(html, status)


def show_cart(status: int = 200, notice: Notice | None = None) -> Response:
    """Answer HTMX with the visitor's cart, and with a notice or with those before taken away."""
    notices = parts.fragments.notices_message([notice] if notice else [])
    return make_response(parts.fragments.cart_message(visitor.cart).text + notices, status)


def show_notice(status: int, notice: Notice) -> Response:
    """Answer HTMX with a notice alone, for when there is nothing to be said of the cart."""
    return make_response(parts.fragments.notices_message([notice]), status)


def back_with(notice: Notice | None, to: str) -> BaseResponse:
    """Send a browser without HTMX on to a page, where the notice awaits it."""
    if notice is not None:
        flash(notice.text, notice.kind)
    return redirect(to, 303)


def page_to_return_to() -> str:
    """Return the path of the page that a form was on, if that is a page of this shop."""
    path = request.form.get("back", "/")
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if inside and "\\" not in path else "/"
