"""No other site makes a visitor's browser act in this shop.

Three things stand in the way, each on its own: cookies are SameSite=Lax; a request that says it
comes from elsewhere is refused; and every form carries a token, signed by the shop for the
visitor's cart, without a time limit. Tied to the cart and not to a session that any answer may
overwrite, it stays good when several first pages are opened at once (see `visitor`).
"""

from __future__ import annotations

from flask import Flask, Request
from itsdangerous import BadData
from werkzeug.exceptions import BadRequest

from shop.services import current_services, services
from shop.web.origin import OtherOrigin, refuse_other_origins
from shop.web.requests import current_request
from shop.web.signing import read_signed, sign
from shop.web.visitor import visitor

FIELD = "csrf_token"
HEADER = "X-CSRFToken"

#: A token holds the fingerprint of its cart and nothing else, without a limit in time.
_SALT = "csrf"


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
    return sign(current_services().settings.secret_keys, _SALT, visitor.ref)


def acts(asked: Request) -> bool:
    """Tell whether a request may change anything, by its method: no action is forgotten."""
    return asked.method not in _SAFE and asked.endpoint is not None


#: What is also sent by no browser, and carries a signature or a secret name of its own.
_SIGNED_OTHERWISE = frozenset({"payments.take_message", "alerts.take_back"})

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def _check() -> None:
    asked = current_request()
    if not acts(asked) or asked.endpoint in _SIGNED_OTHERWISE:
        return
    refuse_other_origins(OtherOrigin)
    token = asked.headers.get(HEADER) or asked.form.get(FIELD, "")
    if not _is_good(token):
        services.metrics.refused("bad_token")
        raise BadToken


def _is_good(token: str) -> bool:
    try:
        return read_signed(services.settings.secret_keys, _SALT, token) in visitor.merged_refs
    except BadData:
        return False
