"""Answers: pages, and for HTMX the fragments of what changed."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from flask import flash, get_flashed_messages, redirect, render_template, request
from markupsafe import Markup
from sqlalchemy.exc import DBAPIError
from werkzeug.wrappers import Response as BaseResponse

from shop.cart_views import CartView
from shop.catalog_views import Catalog
from shop.db import DatabaseBusy
from shop.render.page_cache import PersonalParts, key_of
from shop.services import current_services, services
from shop.web.app import NO_REFERRER, Answer
from shop.web.csrf import issue_token
from shop.web.visitor import visitor

INFO, PROBLEM = "info", "problem"


@dataclass(frozen=True)
class Notice:
    """What a visitor reads about an action of theirs."""

    text: str
    kind: str = INFO
    #: sets it apart from the one before, so that the same text is announced again
    key: str = field(default_factory=lambda: secrets.token_hex(4))


def wants_fragments() -> bool:
    """Tell whether HTMX asks, for which an answer holds what changed and no page."""
    return request.headers.get("HX-Request") == "true"


@dataclass(frozen=True)
class PageContext:
    """What there is to be seen of the shop."""

    catalog: Catalog
    cart: CartView
    notices: tuple[Notice, ...] = ()


def page_context() -> PageContext:
    """Return what is true now or, while the database is away, what was when it last answered.

    Raises:
        DBAPIError, DatabaseBusy: it is away, and has never answered.
    """
    try:
        return PageContext(*visitor.view_shop())
    except (DBAPIError, DatabaseBusy):
        catalog = services.inventory.last_known
        if not catalog.products:
            raise
        return PageContext(catalog, visitor.recalled_cart(), (Notice(_AWAY, PROBLEM),))


_AWAY = (
    "We can’t reach our stock right now. Sizes and cart are as we last saw them; "
    "buying works again as soon as we can."
)


def show_page(
    template: str,
    *,
    cart: CartView | None = None,
    notices: tuple[Notice, ...] = (),
    status: int = 200,
    **values: Any,
) -> Answer:
    """Render a page around the visitor's cart.

    Args:
        cart: the cart to show, the visitor's own if it isn't given.
        notices: what to say besides what was flashed.
    """
    personal = _personal_parts(visitor.view_cart() if cart is None else cart, notices)
    return Answer(_render(template, personal, **values), status)


def show_private(template: str, **values: Any) -> Answer:
    """Render a page whose address is a secret: no search engine and no other site learns it."""
    answer = show_page(template, **values)
    answer.headers["X-Robots-Tag"] = "noindex, nofollow"
    answer.headers.add(*NO_REFERRER)
    return answer


def show_products(
    template: str, products_html: Markup, watched: str, seen: PageContext, **values: Any
) -> Answer:
    """Answer with a page that shows some of the catalogue, and follows its changes.

    Args:
        products_html: what it shows.
        watched: what its stream asks for, as a query.
        values: what else its template names. It must follow from what is shown: the page is cached,
            and given to all visitors who see the same.
    """

    def render(personal: PersonalParts) -> str:
        return _render(
            template, personal, watched=f"?{watched}", products_html=products_html, **values
        )

    shop = current_services()
    key = key_of(template, request.path, products_html, shop.face.current().key)
    return Answer(shop.pages.page(key, render, _personal_parts(seen.cart, seen.notices)))


def _personal_parts(cart: CartView, notices: Iterable[Notice]) -> PersonalParts:
    flashed = cast(list[tuple[str, str]], get_flashed_messages(with_categories=True))
    notices_of_action = [*(Notice(text, kind) for kind, text in flashed), *notices]
    shop = current_services()
    fragments, now = shop.fragments, str(shop.clock.now())
    action_notices = fragments.notices(notices_of_action)
    return PersonalParts(issue_token(), action_notices, fragments.cart(cart), now)


def _render(template: str, personal: PersonalParts, **values: Any) -> str:
    face = services.face.current()
    return render_template(
        template,
        csrf_token=personal.token,
        notices_html=personal.action_notices,
        now=personal.now,
        face=face,
        shop_name=face.brand.name,
        cart_html=personal.cart,
        **values,
    )


def show_cart(status: int, notice: Notice | None) -> Answer:
    """Answer HTMX with the visitor's cart, and with a notice or with those before taken away."""
    notices = services.fragments.notices_message([notice] if notice else [])
    return Answer(services.fragments.cart_message(visitor.view_cart()).text + notices, status)


def show_notice(status: int, notice: Notice) -> Answer:
    """Answer HTMX with a notice alone, for when there is nothing to be said of the cart."""
    return Answer(services.fragments.notices_message([notice]), status)


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
