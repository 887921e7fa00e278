"""No other site makes a visitor's browser act in this shop.

Three things stand in the way, each on its own: cookies are SameSite=Lax; a request that says it
comes from elsewhere is refused; and every form carries a token, signed by the shop for the
visitor's cart, without a time limit. Tied to the cart and not to a session that any answer may
overwrite, it stays good when several first pages are opened at once (see `visitor`).
"""

from __future__ import annotations

from functools import lru_cache

from flask import Flask, Request
from itsdangerous import BadData
from werkzeug.exceptions import BadRequest

from shop.services import current_services, services
from shop.web.origin import OtherOrigin, refuse_other_origins
from shop.web.requests import current_request
from shop.web.signing import BriefSerializer, Keys
from shop.web.visitor import visitor

FIELD = "csrf_token"
HEADER = "X-CSRFToken"

#: How many tokens are kept as they were signed or read, of some 300 bytes each.
_CACHE_SIZE = 2048


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
    return _sign(current_services().settings.secret_keys, visitor.ref)


def acts(asked: Request) -> bool:
    """Tell whether a request may change anything, by its method: no action is forgotten."""
    return asked.method not in _SAFE and asked.endpoint is not None


_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def _check() -> None:
    asked = current_request()
    if not acts(asked):
        return
    refuse_other_origins(OtherOrigin)
    token = asked.headers.get(HEADER) or asked.form.get(FIELD, "")
    if not _is_good(token):
        services.metrics.refused("bad_token")
        raise BadToken


def _is_good(token: str) -> bool:
    try:
        return _read(services.settings.secret_keys, token) in visitor.merged_refs
    except BadData:
        return False


# A token holds the fingerprint of its cart and nothing else, for ever: so it is signed once, and
# read once. What is forged is not kept, as it raises.
@lru_cache(maxsize=_CACHE_SIZE)
def _sign(keys: Keys, ref: str) -> str:
    token: str = _signer(keys).dumps(ref)
    return token


@lru_cache(maxsize=_CACHE_SIZE)
def _read(keys: Keys, token: str) -> object:
    return _signer(keys).loads(token)


@lru_cache
def _signer(keys: Keys) -> BriefSerializer:
    return BriefSerializer(list(keys), salt="csrf")
