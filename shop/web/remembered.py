"""A buyer's details for their next purchase, if they ask for that: in a cookie, and nowhere else.

Scripts can't read it, it is sent to the checkout alone, and it is good beside the cart only for
which it was given: whoever shares a cart, or plants a cookie, neither sees nor chooses anything.
The shop holds none of it, so there is nothing to erase but in the browser.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from flask import request
from itsdangerous import BadData, URLSafeSerializer
from werkzeug.wrappers import Response

from shop.buyer import LIMITS
from shop.services import services
from shop.web.cookies import CART_MAX_AGE, MOST_CHARACTERS
from shop.web.visitor import visitor

#: The form's checkbox.
FIELD = "remember"

_NAME = "checkout_details"
_PATH = "/checkout"

_Answer = TypeVar("_Answer", bound=Response)


def details() -> Mapping[str, str]:
    """Return what this browser was asked to remember, by field; nothing if it wasn't."""
    text = request.cookies.get(_NAME)
    if not text:
        return {}
    try:
        ref, fields = _serializer().loads(text)
        known = {field: str(fields[field]) for field in LIMITS if field in fields}
    except (BadData, TypeError, ValueError):
        return {}
    return known if ref in visitor.merged_refs else {}


def is_asked_to() -> bool:
    """Tell whether this browser remembers, or is asked to by the form that was just sent."""
    return FIELD in request.form if request.method == "POST" else bool(details())


def keep_or_forget(answer: _Answer, typed: Mapping[str, str]) -> _Answer:
    """Have the browser remember what was bought with, or forget what it did, as was asked for."""
    if FIELD not in request.form:
        return forget(answer)
    text = _serializer().dumps((visitor.ref, dict(typed)))
    if len(text) > MOST_CHARACTERS:
        return forget(answer)
    secure = services.settings.https
    answer.set_cookie(
        *(_NAME, str(text), CART_MAX_AGE), path=_PATH, httponly=True, samesite="Lax", secure=secure
    )
    return answer


def forget(answer: _Answer) -> _Answer:
    """Have the browser forget it."""
    if _NAME in request.cookies:
        secure = services.settings.https
        answer.delete_cookie(_NAME, _PATH, httponly=True, samesite="Lax", secure=secure)
    return answer


def _serializer() -> URLSafeSerializer:
    return URLSafeSerializer(list(services.settings.secret_keys), salt="checkout-details")
