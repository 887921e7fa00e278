"""What was typed at the checkout, for the next try and the next order, in the visitor's session.

It is the visitor's own: who shares a cart doesn't share what was typed over it. And it is good for
their cart only: whoever plants a session in another's browser doesn't choose where the pairs go.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import session

from shop.web.visitor import visitor

#: The session's key for it.
DRAFT = "checkout_draft"

#: Beside the fields: the fingerprint of the cart that they were typed for.
_CART = "cart"

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


def typed() -> Mapping[str, str]:
    """Return what was typed last, by field; nothing if nothing was."""
    found = dict[str, str](session.get(DRAFT, {}))
    return found if found.pop(_CART, "") in visitor.merged_refs else {}
