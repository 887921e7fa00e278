"""What is shown when something can't be done: a page, or for HTMX a notice."""

from __future__ import annotations

import logging

from flask import Flask, Response, render_template_string, request
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from shop.cart_views import CartView
from shop.db import DatabaseBusy
from shop.metrics.counters import DATABASE
from shop.services import services
from shop.web.pages import PROBLEM, Notice, show_notice, show_page, wants_fragments
from shop.web.requests import current_request
from shop.web.visitor import visitor

log = logging.getLogger(__name__)

#: Title and text by status, where the one who raised the error says nothing of their own.
TEXTS = {
    400: ("That did not work", "The request could not be understood. Nothing was changed."),
    403: ("Try again from the shop’s own page", "This can only be done from the shop’s own pages."),
    404: ("Nothing at this address", "The page is not here, or not any more."),
    405: (
        "Start again from the shop’s front page",
        "This address does not take that kind of request. Nothing was changed.",
    ),
    413: (
        "Shorten it and try again",
        "That is more than this shop reads at once. Nothing was changed.",
    ),
    429: ("Wait a moment, then try again", "That was a lot at once. Your cart is as it was."),
    500: (
        "Our mistake",
        "Something broke on our side. Look at your cart before you try again.",
    ),
    503: (
        "One moment",
        "The shop can’t do this right now. Please try again in a moment.",
    ),
}

_BARE_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{{ title }}</title>
<h1>{{ title }}</h1><p>{{ text }}</p><p><a href="/">Back to the shop</a></p></html>
"""


def install(app: Flask) -> None:
    """Answer every error, the expected ones and the others."""
    app.register_error_handler(HTTPException, _show)
    app.register_error_handler(DBAPIError, _database_away)
    app.register_error_handler(DatabaseBusy, _database_away)
    app.register_error_handler(Exception, _unexpected)


def _database_away(error: Exception) -> Response:
    if isinstance(error, IntegrityError | ProgrammingError | DataError):
        return _unexpected(error)  # it did answer: what was asked of it was wrong
    busy = isinstance(error, DatabaseBusy)
    services.metrics.refused("busy" if busy else "database_away")
    services.metrics.troubled(DATABASE)
    log.warning("the database does not answer: %s", error)
    return _show(ServiceUnavailable(retry_after=2))


def _unexpected(error: Exception) -> Response:
    log.error("a request failed", exc_info=error, extra={"route": str(request.url_rule)})
    return _show(InternalServerError())


def _show(error: HTTPException) -> Response:
    code = error.code or 500
    title, text = TEXTS.get(code, (error.name, "This could not be done."))
    # An own description says more than the status does; werkzeug's stock ones don't.
    if error.description and error.description != type(error).description:
        text = error.description
    elif type(error).__module__.startswith("shop."):
        text = error.description or text
    response = _render(code, title, text)
    response.headers.extend((k, v) for k, v in error.get_headers() if k != "Content-Type")
    return response


def _render(code: int, title: str, text: str) -> Response:
    if wants_fragments():
        return show_notice(code, Notice(text, PROBLEM))
    if not _is_for_a_page():
        return Response(f"{title}. {text}\n", code, mimetype="text/plain")
    try:
        return show_page(
            "errors/error.html",
            status=code,
            cart=_cart_if_known(),
            code=code,
            title=title,
            text=text,
        )
    except Exception:  # an error page must not fail, whatever is broken
        log.exception("the error page failed as well")
        return Response(render_template_string(_BARE_PAGE, title=title, text=text), code)


def _is_for_a_page() -> bool:
    """Tell whether somebody may look at the answer: a picture, a script or a probe gets a line."""
    asked = current_request()
    accepted = asked.headers.get("Accept", "*/*")
    if "text/html" not in accepted and "*/*" not in accepted:
        return False
    if asked.headers.get("Sec-Fetch-Dest", "document") != "document":
        return False
    return asked.url_rule is not None or "." not in asked.path.rpartition("/")[2]


def _cart_if_known() -> CartView:
    try:
        return visitor.view_cart()
    except (DBAPIError, DatabaseBusy):
        return visitor.recalled_cart()
