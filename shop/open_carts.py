"""The carts that tabs of this process have open, and what each of them shows."""

from __future__ import annotations

import time
from collections import defaultdict

from shop.cart_views import CartContents, CartView
from shop.catalog_views import Catalog
from shop.models import CartSnapshot
from shop.models.cart import cart_ref
from shop.versions import newest, succeed


class _Watched:
    """A cart that tabs have open."""

    __slots__ = (
        *("bought", "contents", "hold", "notified", "opened"),
        *("ref", "since", "snapshot", "version"),
    )

    def __init__(self, snapshot: CartSnapshot) -> None:
        self.snapshot = snapshot
        self.ref = cart_ref(snapshot.cart_id)
        #: as it was last rendered: its contents, how many purchases were made from it, its version
        self.contents: CartContents | None = None
        self.bought = 0
        self.hold: int | None = None
        self.version = 0
        #: when the first of its tabs opened: in seconds since 1970, and by the monotonic clock
        self.since = int(time.time())
        self.opened = time.monotonic()
        #: the version that all its tabs were sent together, or have seen since
        self.notified = 0

    def version_of(
        self, version: int, purchases: int, contents: CartContents, hold: int | None
    ) -> int:
        """Return the version to show it under: what is seen differently has one above the last.

        The database's don't always: a cart that was bought while its item sold out to another may
        be heard of after that, and is older than what its tabs have seen of the item.

        Args:
            version: what it has by itself; the others are what is seen, as a `CartView` has it.
        """
        before = self.contents
        if before is None or (self.bought, self.hold) != (purchases, hold):
            return succeed(self.version, version)
        same = contents is before or contents.key == before.key
        return newest(version, self.version) if same else succeed(self.version, version)


class OpenCarts:
    """The carts that tabs have open: as last read, and which of them show which item."""

    def __init__(self) -> None:
        self._carts: dict[str, _Watched] = {}
        self._showing: defaultdict[str, set[str]] = defaultdict(set)

    def keep(self, snapshot: CartSnapshot) -> None:
        """Remember a cart as it was read. An earlier reading than the one known changes nothing."""
        cart = self._carts.get(snapshot.cart_id)
        if cart is None:
            self._carts[snapshot.cart_id] = _Watched(snapshot)
        elif cart.snapshot.reading <= snapshot.reading:
            cart.snapshot = snapshot

    def view(self, cart_id: str, catalog: Catalog) -> CartView | None:
        """Put together how a cart is seen, and remember what it shows; None: nobody has it open."""
        cart = self._carts.get(cart_id)
        if cart is None:
            return None
        snapshot = cart.snapshot
        contents = CartContents.of(snapshot, catalog)
        version = newest(snapshot.version, contents.version)
        version = cart.version_of(version, snapshot.purchases, contents, snapshot.hold)
        if contents is not cart.contents:
            self._show(cart_id, cart, contents)
        cart.bought, cart.hold, cart.version = snapshot.purchases, snapshot.hold, version
        return CartView(cart.ref, version, snapshot.purchases, contents, snapshot.hold)

    def as_tabs_see(self, view: CartView, cart_id: str) -> CartView:
        """Return a page's view of a cart under the version that tabs here see it under."""
        cart = self._carts.get(cart_id)
        if cart is None:
            return view
        version = cart.version_of(view.version, view.purchases, view.contents, view.hold)
        return view._replace(version=version)

    def mark_notified(self, cart_id: str, version: int) -> None:
        """Note that all tabs of a cart are sent this version."""
        self._carts[cart_id].notified = version

    def is_notified(self, cart_id: str, version: int) -> bool:
        """Tell whether all tabs of a cart were sent this version, and nothing newer."""
        return self._carts[cart_id].notified == version

    def snapshot(self, cart_id: str) -> CartSnapshot | None:
        """Return a cart as it was last read."""
        cart = self._carts.get(cart_id)
        return cart.snapshot if cart is not None else None

    def snapshots(self) -> dict[str, CartSnapshot]:
        """Return all carts, as they were last read."""
        return {cart_id: cart.snapshot for cart_id, cart in self._carts.items()}

    def merge(self, cart_id: str, to: CartSnapshot) -> None:
        """Note that a cart was merged into another: its tabs know nothing of that one yet.

        It counts as open since the earlier of both.
        """
        self.keep(to)
        canonical = self._carts[to.cart_id]
        canonical.notified = 0
        secondary = self._carts.get(cart_id)
        if secondary is not None:
            canonical.version = succeed(secondary.version, canonical.version)
            canonical.since = min(canonical.since, secondary.since)
            canonical.opened = min(canonical.opened, secondary.opened)

    def since(self, cart_id: str) -> int | None:
        """Return when the first of a cart's tabs opened, in seconds since 1970."""
        cart = self._carts.get(cart_id)
        return cart.since if cart is not None else None

    def open_for(self, cart_id: str) -> int:
        """Return how long ago the first of a cart's tabs opened, in seconds."""
        cart = self._carts.get(cart_id)
        return int(time.monotonic() - cart.opened) if cart is not None else 0

    def forget(self, cart_id: str) -> None:
        cart = self._carts.pop(cart_id, None)
        if cart is not None and cart.contents is not None:
            for name in cart.contents.shown:
                self._hide(cart_id, name)

    def showing(self, name: str) -> set[str]:
        """Return the ids of the carts that show what has this name."""
        return self._showing.get(name, set())

    def _show(self, cart_id: str, cart: _Watched, contents: CartContents) -> None:
        before = cart.contents.shown if cart.contents is not None else frozenset()
        cart.contents = contents
        for name in contents.shown - before:
            self._showing[name].add(cart_id)
        for name in before - contents.shown:
            self._hide(cart_id, name)

    def _hide(self, cart_id: str, name: str) -> None:
        self._showing[name].discard(cart_id)
        if not self._showing[name]:
            del self._showing[name]
