"""No other site makes a visitor's browser act in this shop.

Three things stand in the way, each on its own: cookies are SameSite=Lax; a request that says it
comes from elsewhere is refused; and every form carries a token, signed by the shop for the
visitor's cart, without a time limit. Tied to the cart and not to a session that any answer may
overwrite, it stays good when several first pages are opened at once (see `visitor`).
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import urlsplit

from flask import Flask, request
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.exceptions import BadRequest

from shop.parts import parts
from shop.web.visitor import visitor

FIELD = "csrf_token"
HEADER = "X-CSRFToken"


class BadToken(BadRequest):
    """A form without a token, with a forged one, or with another visitor's."""

    description = (
        "This page is from an earlier visit, or cookies are off. "
        "Reload it and try again: nothing was changed."
    )


def install(app: Flask) -> None:
    """Check every request that acts."""
    app.before_request(_check)


def issue_token() -> str:
    """Return the token for the forms of the page that answers this request."""
    token: str = _signer(parts.settings.secret_key).dumps(visitor.ref)
    return token


def comes_from_here() -> bool:
    """Tell whether the browser sent this request for a page of this shop.

    Browsers say so by Sec-Fetch-Site, and by an Origin that is this Host (the rule of Go's
    net/http.CrossOriginProtection, taken strictly); a client that sends neither is no browser
    that could be misused.
    """
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    same_host = origin is None or urlsplit(origin).netloc == request.host
    return same_host and site in ("same-origin", "none")


def acts() -> bool:
    """Tell whether the request may change anything, by its method: no action is forgotten."""
    safe = ("GET", "HEAD", "OPTIONS", "TRACE")
    return request.method not in safe and request.endpoint is not None


def _check() -> None:
    if not acts():
        return
    token = request.headers.get(HEADER) or request.form.get(FIELD, "")
    if not comes_from_here() or not _is_good(token):
        parts.metrics.refused("bad_token")
        raise BadToken


def _is_good(token: str) -> bool:
    try:
        return _signer(parts.settings.secret_key).loads(token) in visitor.merged_refs
    except BadData:
        return False


@lru_cache
def _signer(key: str) -> URLSafeSerializer:
    return URLSafeSerializer(key, salt="csrf")
