"""The visitor who is asking: their one cart, kept in signed HttpOnly cookies.

A browser that opens several tabs at once sends several first requests, none with a cookie, and
is given a cart by each. Each comes in a cookie of its own name, so that no answer overwrites
another's; the next request brings them all, and they are merged into the oldest. Nothing that
was put into one of them in between is lost, all tabs end up with the same cart, and the cookie
of that cart remembers the merged ones, so that the forms of all those tabs stay good.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from time import time_ns
from typing import cast

from flask import Flask, Response, g, request

from shop.cart_views import CartView
from shop.catalog_views import Catalog
from shop.command_services import Current
from shop.db import DatabaseBusy
from shop.models import CartSnapshot
from shop.models.cart import cart_ref, new_cart_id
from shop.services import Services, current_services
from shop.web.budgets import NEW_CARTS, TooManyActions, take_of_address
from shop.web.cookies import MOST_COOKIES, BrowserCookies, CartCookie


class Visitor:
    """The browser that is asking."""

    def __init__(self, cart_cookies: BrowserCookies, services: Services) -> None:
        self._cart_cookies = cart_cookies
        self._services = services
        #: the valid cart cookies of the request, oldest first
        self.cookies = cart_cookies.carts
        self.is_new = not self.cookies
        self.cart_id = self.cookies[0].cart_id if self.cookies else new_cart_id()
        self._found: CartSnapshot | None = None
        #: whether the browser's copy of the cart is to be renewed with the answer
        self.changed = False
        #: whether the cookies lead to one cart by now, so that the others can be deleted
        self.tidied = False

    def find_cart(self) -> CartSnapshot:
        """Read the visitor's cart, once a request; several of one visitor are merged into one."""
        if self._found is None:
            self._found = self._find()
        return self._found

    def keep(self, changed: CartSnapshot) -> None:
        """Go on with the cart that an action has changed."""
        self._found, self.cart_id, self.changed = changed, changed.cart_id, True

    def choose_cart(self) -> str:
        """Return the id of the cart that an action is meant for; it may have been merged since.

        The database is asked only if there are several, to be merged first.

        Raises:
            TooManyActions: too many new carts came from this address.
        """
        if len(self.cookies) > 1:
            self._found = self._find(acts=True)
        elif not (self.cookies and self.cookies[0].used):
            take_of_address(NEW_CARTS)
        return self.cart_id

    def copy(self) -> list[str]:
        """Return the skus in the browser's own copy of the cart, which outlives the database."""
        return self._cart_cookies.copy_of(self.cart_id)

    def view_cart(self) -> CartView:
        """Return the visitor's cart as it is to be shown."""
        return self.view_shop()[1]

    def view_shop(self) -> tuple[Catalog, CartView]:
        """Return the catalogue, and the visitor's cart as it is to be shown beside it."""
        snapshot = self.find_cart()  # read first: what is on the shelves must not be older
        catalog = self._services.inventory.current()
        view = CartView.of(snapshot, catalog)
        return catalog, self._services.contents.open_carts.as_tabs_see(view, snapshot.cart_id)

    @property
    def ref(self) -> str:
        """The public fingerprint of the visitor's cart."""
        return cart_ref(self.cart_id)

    @cached_property
    def merged_refs(self) -> list[str]:
        """The fingerprints of the visitor's carts of which this one was made, oldest first."""
        refs = [ref for cookie in self.cookies for ref in (cookie.ref, *cookie.merged)]
        return list(dict.fromkeys(refs))[:MOST_COOKIES]

    def recalled_cart(self) -> CartView:
        """The cart as a tab here shows it or as the browser's own copy says, to be shown while
        the database is away. Whatever is said when it is back is newer.
        """
        catalog = self._services.inventory.last_known
        snapshot = self._services.contents.open_carts.snapshot(self.cart_id)
        if snapshot is None:
            skus = [sku for sku in self.copy() if sku in catalog.item_ids]
            ids = frozenset(catalog.item_ids[sku] for sku in skus)
            snapshot = CartSnapshot(self.cart_id, 0, item_ids=ids, known=False)
        return CartView.of(snapshot, catalog)._replace(version=0)

    def _find(self, *, acts: bool = False) -> CartSnapshot:
        """Read the visitor's cart; several of one visitor become one.

        Args:
            acts: whether this is for an action. To look at carts with which nothing was done yet
                makes no rows for them.
        """
        if self.is_new:
            return CartSnapshot.unknown(self.cart_id)
        carts = self._services.carts
        snapshots = carts.snapshots(cookie.cart_id for cookie in self.cookies)
        snapshots = {i: s if s.known else self._restored(s) for i, s in snapshots.items()}
        new = sum(not snapshot.known for snapshot in snapshots.values())
        if new == len(snapshots) and not acts:
            self.tidied = new == 1
            return snapshots[self.cart_id]
        canonical = dict.fromkeys(snapshot.merged_into or i for i, snapshot in snapshots.items())
        self.cart_id, *secondary_carts = canonical
        snapshot = snapshots.get(self.cart_id) or carts.snapshot(self.cart_id)
        if secondary_carts:
            merged = self._merge(secondary_carts, new, acts)
            if merged is None:
                return snapshot
            snapshot = merged
        self.changed |= len(self.cookies) > 1 or self.cart_id != self.cookies[0].cart_id
        self.tidied = True
        return snapshot

    def _merge(self, others: list[str], new: int, acts: bool) -> CartSnapshot | None:
        """Merge carts into the visitor's; None: a later request does, as their cookies stay.

        Args:
            new: how many of all of them begin by that.
        """
        try:
            if new:
                take_of_address(NEW_CARTS, new)
            return self._services.carts.merge(self.cart_id, others)
        except TooManyActions:
            if acts:
                raise
        except DatabaseBusy:
            pass
        return None

    def _restored(self, snapshot: CartSnapshot) -> CartSnapshot:
        copied = self._cart_cookies.copy_of(snapshot.cart_id)
        if not copied:
            return snapshot
        items = self._services.inventory.current().item_ids
        there = [sku for sku in copied if sku in items]
        with suppress(DatabaseBusy):  # a later request restores it
            return (
                self._services.carts.restore(snapshot.cart_id, lambda: there) if there else snapshot
            )
        return snapshot

    def remember(self, response: Response) -> None:
        """Give the browser its cookies with an answer."""
        cart_cookies, ref = self._cart_cookies, self.ref
        if self.changed or not cart_cookies.holds(ref):
            born = self.cookies[0].born if self.cookies else time_ns() // 1_000_000
            merged = tuple(other for other in self.merged_refs if other != ref)
            used = self.changed or any(cookie.used for cookie in self.cookies)
            cart_cookies.give(response, CartCookie(self.cart_id, ref, born, merged, used))
        if self.tidied or self.is_new:
            cart_cookies.keep_only(response, ref)
        if self.changed:
            # As last known: no question to the database fails an answer.
            items = self._services.inventory.last_known.items
            skus = [items[i].sku for i in self.find_cart().item_ids if i in items]
            cart_cookies.give_copy(response, self.cart_id, skus)


def current_visitor() -> Visitor:
    """Return the visitor of this request: `visitor`, for code that needs several things of them."""
    own = g._get_current_object()  # once: it is looked up
    found: Visitor | None = own.get("visitor")
    if found is None:
        services = current_services()
        found = own.visitor = Visitor(_cart_cookies(services), services)
    return found


visitor = cast(Visitor, Current(current_visitor))


def install(app: Flask) -> None:
    """Give every visitor's browser its cookies with the answer."""
    app.after_request(_remember)


def cart_of_cookie() -> CartSnapshot | None:
    """Return the cart that the request's own signed cookies lead to.

    None without one: a stream gives no new visitor a cart.
    """
    return visitor.find_cart() if _cart_cookies().carts else None


def ref_of_cookies() -> str | None:
    """Return the fingerprint of the cart that the request's cookies name, asking no database.

    None without one. It may have been merged into another: then that is not known here.
    """
    cookies = _cart_cookies().carts
    return cookies[0].ref if cookies else None


def carries_over() -> bool:
    """Tell whether the visitor's cart comes from the time before HTTPS was switched on."""
    return _cart_cookies().carries_over


def _cart_cookies(services: Services | None = None) -> BrowserCookies:
    own = g._get_current_object()  # once: it is looked up
    found: BrowserCookies | None = own.get("cart_cookies")
    if found is None:
        settings = (services or current_services()).settings
        found = own.cart_cookies = BrowserCookies(
            request.cookies, settings.secret_keys, https=settings.https
        )
    return found


def _remember(response: Response) -> Response:
    found: Visitor | None = g.get("visitor")
    if found is not None and response.status_code != 429:  # a refused action leaves nothing behind
        found.remember(response)
    return response
