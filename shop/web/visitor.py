"""Who is asking: the visitor's one cart, kept in signed HttpOnly cookies.

A browser that opens several tabs at once sends several first requests, none with a cookie, and
is given a cart by each. Each comes in a cookie of its own name, so that no answer overwrites
another's; the next request brings them all, and they are merged into the oldest. Nothing that
was put into one of them in between is lost, all tabs end up with the same cart, and the cookie
of that cart remembers the merged ones, so that the forms of all those tabs stay good.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

from flask import Flask, Response, g, request
from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer
from werkzeug.local import LocalProxy

from shop.carts import CartState, CartView
from shop.db import DatabaseBusy, now_ms
from shop.models.cart import (
    EXPORT_MAX_AGE,
    cart_ref,
    export_cart,
    import_cart,
    new_cart_id,
)
from shop.parts import parts

#: Cookies with this prefix carry a cart id each.
CART_COOKIE = "cart-"
EXPORT_COOKIE = "cart_export"

#: How long a browser keeps its cart, in seconds after its last change: 180 days.
CART_MAX_AGE = 180 * 24 * 3600

#: More first requests at once than any person makes: what is beyond is not looked at.
_MOST_COOKIES = 40

#: How many cookies are tried, that may be none of the shop's making.
_MOST_TRIED = 120


@dataclass(frozen=True, slots=True)
class CartCookie:
    """A cart id that this shop gave to this browser, and when, in milliseconds since 1970."""

    name: str
    cart_id: str
    born: int
    #: fingerprints of the carts that were merged into it
    merged: tuple[str, ...] = ()


class Visitor:
    """The browser that is asking."""

    def __init__(self, cookies: list[CartCookie]) -> None:
        """Take the valid cart cookies of a request, oldest first."""
        self.cookies = cookies
        self.is_new = not cookies
        self.cart_id = cookies[0].cart_id if cookies else new_cart_id()
        self._state: CartState | None = None
        #: whether the browser's copy of the cart is to be renewed with the answer
        self.changed = False
        #: whether the cookies lead to one cart by now, so that the others can be let go
        self.tidied = False

    @property
    def state(self) -> CartState:
        """The visitor's cart as the database holds it; strays merged, a lost one restored."""
        if self._state is None:
            self._state = self._find()
        return self._state

    @state.setter
    def state(self, state: CartState) -> None:
        self._state = state
        self.cart_id = state.cart_id
        self.changed = True

    @property
    def cart_to_change(self) -> str:
        """The id of the cart that an action is meant for; who changes it finds out what it is.

        The database is asked only if there are several, to be merged first.
        """
        return self.cart_id if len(self.cookies) < 2 else self.state.cart_id

    def copy(self) -> list[str]:
        """Return the skus in the browser's own copy of the cart, which outlives the database."""
        return _copy_of(self.cart_id)

    @property
    def cart(self) -> CartView:
        """The visitor's cart as it is to be shown."""
        return CartView.of(self.state, parts.inventory.current())

    @property
    def ref(self) -> str:
        """The public fingerprint of the visitor's cart."""
        return cart_ref(self.cart_id)

    @cached_property
    def merged_refs(self) -> list[str]:
        """The fingerprints of the visitor's carts of which this one was made, oldest first."""
        refs = [
            ref for cookie in self.cookies for ref in (cart_ref(cookie.cart_id), *cookie.merged)
        ]
        return list(dict.fromkeys(refs))[:_MOST_COOKIES]

    def recalled_cart(self) -> CartView:
        """The cart as a tab here shows it or as the browser's own copy says, to be shown while
        the database is away. Whatever is said when it is back is newer.
        """
        catalog = parts.inventory.last_known
        state = parts.live.last_known(self.cart_id)
        if state is None:
            skus = [sku for sku in self.copy() if sku in catalog.item_ids]
            ids = frozenset(catalog.item_ids[sku] for sku in skus)
            state = CartState(self.cart_id, 0, item_ids=ids, known=False)
        return CartView.of(state, catalog)._replace(version=0)

    def _find(self) -> CartState:
        if self.is_new:
            return CartState.unknown(self.cart_id)
        states = parts.carts.states(cookie.cart_id for cookie in self.cookies)
        states = {i: s if s.known else self._restored(s) for i, s in states.items()}
        leading = dict.fromkeys(state.merged_into or i for i, state in states.items())
        self.cart_id, *strays = leading
        state = states.get(self.cart_id) or parts.carts.state(self.cart_id)
        if strays:
            try:
                state = parts.carts.merge(self.cart_id, strays)
            except DatabaseBusy:
                return state  # the cookies stay, and a later request merges what they name
        self.changed |= len(self.cookies) > 1 or self.cart_id != self.cookies[0].cart_id
        self.tidied = True
        return state

    def _restored(self, state: CartState) -> CartState:
        items = parts.inventory.current().item_ids
        there = [sku for sku in _copy_of(state.cart_id) if sku in items]
        with suppress(DatabaseBusy):  # a later request restores it
            return parts.carts.restore(state.cart_id, lambda: there) if there else state
        return state


def _copy_of(cart_id: str) -> list[str]:
    exported = request.cookies.get(EXPORT_COOKIE, "")
    return import_cart(_export_signer(), cart_id, exported) if exported else []


visitor = cast(Visitor, LocalProxy(lambda: _current()))


def install(app: Flask) -> None:
    """Give every visitor's browser its cookies with the answer."""
    app.after_request(_remember)


def cart_of_cookie() -> CartState | None:
    """Return the cart that the request's own signed cookies lead to.

    None without one: a stream gives no new visitor a cart.
    """
    return visitor.state if _read_cookies() else None


def ref_of_cookies() -> str | None:
    """Return the fingerprint of the cart that the request's cookies name, asking no database.

    None without one. It may have been merged into another: then that is not known here.
    """
    cookies = _read_cookies()
    return cart_ref(cookies[0].cart_id) if cookies else None


def _current() -> Visitor:
    if "visitor" not in g:
        g.visitor = Visitor(_read_cookies())
    found: Visitor = g.visitor
    return found


def _read_cookies() -> list[CartCookie]:
    if "cart_cookies" not in g:
        names = [name for name in request.cookies if name.startswith(_prefix())]
        read = [_read_cookie(name) for name in names[:_MOST_TRIED]]
        good = [cookie for cookie in read if cookie is not None]
        good.sort(key=lambda cookie: (cookie.born, cookie.cart_id))
        g.cart_cookies = good[:_MOST_COOKIES]
    found: list[CartCookie] = g.cart_cookies
    return found


def _read_cookie(name: str) -> CartCookie | None:
    try:
        cart_id, born, *merged = _cart_signer().loads(request.cookies[name])
        return CartCookie(name, cart_id, born, tuple(merged))
    except (BadData, TypeError, ValueError):
        return None


def _remember(response: Response) -> Response:
    if "visitor" not in g or response.status_code == 429:
        return response  # a refused action leaves nothing behind
    keep = _cookie_name(visitor.cart_id)
    names = {name for name in request.cookies if name.startswith(_prefix())}
    if visitor.changed or keep not in names:
        born = visitor.cookies[0].born if visitor.cookies else now_ms()
        merged = [ref for ref in visitor.merged_refs if ref != visitor.ref]
        _set(response, *cart_cookie(visitor.cart_id, born, merged), CART_MAX_AGE)
    if visitor.tidied or visitor.is_new:
        # No more at a time than clients take headers (100 in Python's own, for one).
        for name in sorted(names - {keep})[:_MOST_COOKIES]:
            response.delete_cookie(name, httponly=True, samesite="Lax", secure=_secure())
    if visitor.changed:
        items = parts.inventory.last_known.items  # no question to the database fails an answer
        skus = [items[i].sku for i in visitor.state.item_ids if i in items]
        _set(response, *copy_cookie(visitor.cart_id, skus), EXPORT_MAX_AGE)
    return response


def cart_cookie(cart_id: str, born: int, merged: Iterable[str] = ()) -> tuple[str, str]:
    """Return name and value of the cookie by which a browser is known to have a cart.

    Args:
        born: when it was given to it, in milliseconds since 1970.
        merged: fingerprints of the carts that were merged into it.
    """
    return _cookie_name(cart_id), _cart_signer().dumps([cart_id, born, *merged])


def copy_cookie(cart_id: str, skus: Iterable[str]) -> tuple[str, str]:
    """Return name and value of the cookie that holds a copy of a cart."""
    return EXPORT_COOKIE, export_cart(_export_signer(), cart_id, skus)


def _cookie_name(cart_id: str) -> str:
    return _prefix() + cart_ref(cart_id)[:8]


def _prefix() -> str:
    # Browsers take a __Host- cookie from this very host only: no sibling domain can plant a cart.
    return f"__Host-{CART_COOKIE}" if _secure() else CART_COOKIE


def _set(response: Response, name: str, value: str, max_age: int) -> None:
    response.set_cookie(
        name, value, max_age=max_age, httponly=True, samesite="Lax", secure=_secure()
    )


def _secure() -> bool:
    return parts.settings.https


def _cart_signer() -> URLSafeSerializer:
    return _signers(parts.settings.secret_key)[0]


def _export_signer() -> URLSafeTimedSerializer:
    return _signers(parts.settings.secret_key)[1]


@lru_cache
def _signers(key: str) -> tuple[URLSafeSerializer, URLSafeTimedSerializer]:
    return URLSafeSerializer(key, salt="cart"), URLSafeTimedSerializer(key, salt="cart-export")
