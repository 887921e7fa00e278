"""The signed HttpOnly cookies by which a browser carries its cart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from time import time

from flask import Response
from itsdangerous import BadData
from werkzeug.http import dump_cookie

from shop.models.cart import EXPORT_MAX_AGE, cart_ref, export_cart, import_cart
from shop.web.signing import Keys, read_signed, sign, steady_serializer

#: Cookies with this prefix carry a cart id each.
CART_COOKIE = "cart-"
EXPORT_COOKIE = "cart_export"

#: Browsers take cookies with this prefix over HTTPS and from this very host only: no sibling domain
#: can plant one (RFC 6265bis, 4.1.3.2).
HOST_PREFIX = "__Host-"

#: The most characters of a cookie's value, less than what browsers take (4,096 with its name
#: and attributes, RFC 6265 6.1). They drop a longer one, and an older one stays in its place.
MOST_CHARACTERS = 3900

#: How long a browser keeps its cart, in seconds after its last change: 180 days.
CART_MAX_AGE = 180 * 24 * 3600

#: More first requests at once than any person makes: what is beyond is not looked at.
MOST_COOKIES = 40

#: How many cookies are tried, that may be none of the shop's making.
_MOST_TRIED = 120

#: What signatures are for.
_CART_SALT, _EXPORT_SALT = "cart", "cart-export"


@dataclass(frozen=True, slots=True)
class CartCookie:
    """A cart id that this shop gave to this browser, and when, in milliseconds since 1970."""

    cart_id: str
    #: its public fingerprint
    ref: str
    born: int
    #: fingerprints of the carts that were merged into it
    merged: tuple[str, ...] = ()
    #: whether the database was asked to keep it: something was done with it
    used: bool = False
    #: whether it was given over HTTPS
    by_https: bool = False


class BrowserCookies:
    """A browser's cookies: those that came with a request, and those that its answer gives."""

    def __init__(self, sent: Mapping[str, str], keys: Keys, *, https: bool) -> None:
        """Take the cookies of a request.

        Args:
            keys: the shop's secrets, the last of which signs.
            https: whether browsers are to send them over HTTPS alone.
        """
        self._sent = sent
        self._keys = keys
        self._https = https
        self._host = HOST_PREFIX if https else ""

    @cached_property
    def names(self) -> list[str]:
        """The names of what may be cart cookies."""
        return self._named(self._host + CART_COOKIE)

    @cached_property
    def carts(self) -> list[CartCookie]:
        """The valid cart cookies, oldest first."""
        return self._valid(self.names) or self._left_over

    @cached_property
    def carries_over(self) -> bool:
        """Whether a cart comes from the time before HTTPS was switched on: it gets a new name."""
        return self._https and bool(self._left_over) and self.carts is self._left_over

    @cached_property
    def _left_over(self) -> list[CartCookie]:
        """The carts that were given before HTTPS was switched on, under the names of then.

        A sibling domain may have planted them. So none counts that was given over HTTPS, and none
        that is older than any browser keeps it: half a year later this door is closed.
        """
        if not self._https:
            return []
        oldest = (time() - CART_MAX_AGE) * 1000
        found = self._valid(self._named(CART_COOKIE))
        return [cart for cart in found if not cart.by_https and cart.born > oldest]

    def _named(self, prefix: str) -> list[str]:
        return [name for name in self._sent if name.startswith(prefix)]

    def _valid(self, names: list[str]) -> list[CartCookie]:
        tried = (self._read(self._sent[name]) for name in names[:_MOST_TRIED])
        good = [cookie for cookie in tried if cookie is not None]
        good.sort(key=lambda cookie: (cookie.born, cookie.cart_id))
        return good[:MOST_COOKIES]

    def _read(self, text: str) -> CartCookie | None:
        try:
            return _read_cart(self._keys, text)
        except (BadData, TypeError, ValueError):
            return None

    def copy_of(self, cart_id: str) -> list[str]:
        """Return the skus in the browser's own copy of a cart, which outlives the database."""
        text = self._sent.get(("" if self.carries_over else self._host) + EXPORT_COOKIE)
        return (
            import_cart(steady_serializer(self._keys, _EXPORT_SALT), cart_id, text) if text else []
        )

    def holds(self, ref: str) -> bool:
        """Tell whether a cart has its cookie, by the cart's fingerprint."""
        return self._name(ref) in self.names

    def give(self, response: Response, cart: CartCookie) -> None:
        """Have the browser carry a cart."""
        self._set(response, *self.cart_cookie(cart), CART_MAX_AGE)

    def give_copy(self, response: Response, cart_id: str, skus: Iterable[str]) -> None:
        """Have the browser keep a copy of what is in its cart."""
        self._set(response, *self.copy_cookie(cart_id, skus), EXPORT_MAX_AGE)

    def keep_only(self, response: Response, ref: str) -> None:
        """Have the browser let go of the cookies of other carts than this one."""
        others = {*self.names} - {self._name(ref)}
        if self.carries_over:
            others |= {*self._named(CART_COOKIE), EXPORT_COOKIE}
        # No more at a time than clients take headers (100 in Python's own, for one).
        for name in sorted(others)[:MOST_COOKIES]:
            response.delete_cookie(name, httponly=True, samesite="Lax", secure=self._https)

    def cart_cookie(self, cart: CartCookie) -> tuple[str, str]:
        """Return name and value of the cookie by which a browser is known to have a cart."""
        return self._name(cart.ref), _sign_cart(self._keys, replace(cart, by_https=self._https))

    def copy_cookie(self, cart_id: str, skus: Iterable[str]) -> tuple[str, str]:
        """Return name and value of the cookie that holds a copy of a cart."""
        signed = export_cart(steady_serializer(self._keys, _EXPORT_SALT), cart_id, skus)
        return self._host + EXPORT_COOKIE, signed

    def _name(self, ref: str) -> str:
        return f"{self._host}{CART_COOKIE}{ref[:8]}"

    def _set(self, response: Response, name: str, value: str, max_age: int) -> None:
        attributes = _attributes(max_age, self._https, int(time()))
        response.headers.add("Set-Cookie", f"{name}={value}{attributes}")


@lru_cache(maxsize=8)
def _attributes(max_age: int, https: bool, now: int) -> str:
    """Return what follows a cookie's value; werkzeug works out the date of its end anew each time.

    Args:
        now: seconds since 1970, on which that date depends.
    """
    cookie = dump_cookie("-", max_age=max_age, httponly=True, samesite="Lax", secure=https)
    return cookie.removeprefix("-=")


#: Stand beside the fingerprints of merged carts, which have only hexadecimal digits: an earlier
#: release takes them for some of those, and does no harm by it.
_USED, _BY_HTTPS = "used", "https"


def _read_cart(keys: Keys, text: str) -> CartCookie:
    cart_id, born, *rest = read_signed(keys, _CART_SALT, text)
    merged = tuple(ref for ref in rest if ref not in (_USED, _BY_HTTPS))
    marks = {"used": _USED in rest, "by_https": _BY_HTTPS in rest}
    return CartCookie(cart_id, cart_ref(cart_id), born, merged, **marks)


def _sign_cart(keys: Keys, cart: CartCookie) -> str:
    marks = [*([_USED] if cart.used else []), *([_BY_HTTPS] if cart.by_https else [])]
    return sign(keys, _CART_SALT, (cart.cart_id, cart.born, *marks, *cart.merged))
