"""What was typed at the checkout, for the next try, in the visitor's session.

It is the visitor's own: sharing a cart doesn't share what was typed over it. And it is good for
their cart only: whoever plants a session in another's browser doesn't choose where the pairs go.
After the purchase it goes, unless that can still come to nothing; for the next one there is
`remembered`.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import session

from shop.web.visitor import visitor

#: The session's key for it.
DRAFT = "checkout_draft"

#: Beside the fields: the fingerprint of the cart that they were typed for, and the number of the
#: order that was made with them.
_CART, _ORDER = "cart", "order"

#: The most that is kept, in bytes of UTF-8: a session is a cookie, and shares it with notices.
_MOST_BYTES = 2400


def keep(fields: Mapping[str, str]) -> None:
    """Keep what was typed in place of all that was kept before.

    A field for which there is no room is kept empty: the shorter ones stay.
    """
    room = _MOST_BYTES
    fitting = {}
    for field, text in sorted(fields.items(), key=lambda pair: len(pair[1].encode())):
        room -= len(text.encode())
        fitting[field] = text if room >= 0 else ""
    session[DRAFT] = {_CART: visitor.ref, **fitting}


def mark(number: str) -> None:
    """Note that an order was made with it."""
    if DRAFT in session:
        session[DRAFT] = {**session[DRAFT], _ORDER: number}


def was_bought_as(number: str) -> bool:
    """Tell whether this order was made with what was typed last."""
    return bool(session.get(DRAFT, {}).get(_ORDER) == number)


def forget() -> None:
    """Forget what was typed."""
    session.pop(DRAFT, None)


def typed() -> Mapping[str, str]:
    """Return what was typed last, by field; nothing if nothing was."""
    found = dict[str, str](session.get(DRAFT, {}))
    found.pop(_ORDER, None)
    return found if found.pop(_CART, "") in visitor.merged_refs else {}
