"""What open tabs are to show: read from the database, and rendered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shop.carts import Carts
from shop.changes import (
    cart_id_of,
    cart_name,
    detail_id_of,
    list_number_of,
    order_id_of,
    order_name,
    product_id_of,
    product_name,
)
from shop.clock import ShopClock
from shop.descriptions import Descriptions
from shop.framing import Message
from shop.inventory import Inventory
from shop.models import CartSnapshot
from shop.open_carts import OpenCarts
from shop.orders import Orders
from shop.render.fragments import Fragments
from shop.streams import Hub
from shop.time_slice import TimeSlice
from shop.versions import as_of


class TabContents:
    """What the tabs of this process show, or are to be shown next."""

    def __init__(
        self,
        hub: Hub,
        inventory: Inventory,
        carts: Carts,
        fragments: Fragments,
        descriptions: Descriptions,
        clock: ShopClock,
        orders: Orders,
    ) -> None:
        self._descriptions = descriptions
        self._clock = clock
        #: those whose page tabs of this process have open, among others
        self.orders = orders
        self._hub = hub
        self._inventory = inventory
        self._carts = carts
        self._fragments = fragments
        #: the carts that tabs of this process have open
        self.open_carts = OpenCarts()
        #: whether nobody watched since the catalogue was read
        self._unwatched = True

    def present(self, topics: Sequence[str], read: CartSnapshot | None) -> str:
        """Render all that is true now of the topics that a tab watches.

        Nothing waits after the last of it was read: what is written at once is of this moment.

        Args:
            read: a cart that needs not be read again.
        """
        self._prepare(topics)
        self.group(topics)
        for cart_id in filter(None, map(cart_id_of, topics)):
            known = read is not None and read.cart_id == cart_id
            snapshot = read if read is not None and known else self._carts.snapshot(cart_id)
            if self._hub.is_watched(cart_name(cart_id)):  # its tab may have left in the meantime
                self.open_carts.keep(snapshot)
        for order_id in filter(None, map(order_id_of, topics)):
            self.orders.read([order_id])
            if not self._hub.is_watched(order_name(order_id)):
                self.orders.forget(order_id)
        if self._unwatched:
            self._unwatched = False
            self._inventory.renew()
        else:
            self._inventory.current()
        messages = map(self.message, topics)
        texts = [message.text for message in messages if message is not None]
        if self._inventory.last_known.next_opening is not None:
            texts.append(self._fragments.clock_message(self._clock.now()))
        return "".join(texts)

    def _prepare(self, topics: Sequence[str]) -> None:
        """Render what isn't kept yet of the products, letting others go on in between."""
        time_slice = TimeSlice()
        for topic in topics:
            self._catalog_message(topic)
            time_slice.yield_to_others()

    def group(self, topics: Iterable[str]) -> None:
        """Have who watches a page hear of the stock of all products that are on it now."""
        for topic in topics:
            number, product_id = list_number_of(topic), detail_id_of(topic)
            if number is not None:
                products = self._inventory.last_known.page(number).products
                self._hub.include(topic, [product_name(product.id) for product in products])
            elif product_id is not None:
                self._hub.include(topic, [product_name(product_id)])

    def message(self, topic: str, *, to_all: bool = False) -> Message | None:
        """Render what is true of a topic, as it was last read; None: nobody watches it now."""
        cart_id = cart_id_of(topic)
        if cart_id is None:
            order_id = order_id_of(topic)
            if order_id is None:
                return self._catalog_message(topic)
            return self._order_message(order_id)
        view = self.open_carts.view(cart_id, self._inventory.last_known)
        if view is None:
            return None
        if to_all:
            self.open_carts.mark_notified(cart_id, view.version)
        return self._fragments.cart_message(view)

    def _order_message(self, order_id: int) -> Message | None:
        order = self.orders.view(order_id)
        return self._fragments.order_message(order) if order is not None else None

    def _catalog_message(self, topic: str) -> Message | None:
        catalog, number = self._inventory.last_known, list_number_of(topic)
        if number is not None:
            return self._fragments.list_message(catalog.page(number))
        product_id, detail_id = product_id_of(topic), detail_id_of(topic)
        product = catalog.by_id.get(product_id or detail_id or 0)
        shown = product if product is not None and not product.withdrawn else None
        if detail_id is not None:
            if shown is None:
                return self._fragments.detail_message(None, as_of(catalog.last))
            description = self._descriptions.html(shown)
            return self._fragments.detail_message(shown, shown.version, description)
        if product_id is None:
            return None
        if shown is None:
            return self._fragments.gone_message(product_id, as_of(catalog.last))
        return self._fragments.stock_message(shown)

    def read_orders(self, names: Iterable[str]) -> set[str]:
        """Read the orders that changed, of those whose page tabs have open; return their names.

        Also of those that are known as they are: one tab may have opened just now, and the others
        have not seen it.
        """
        changed = {i for i in map(order_id_of, names) if i and self._hub.is_watched(order_name(i))}
        self.orders.read(changed)
        return set(map(order_name, changed))

    def carts_showing(self, names: Iterable[str]) -> set[str]:
        """Return the ids of the open carts that show what has one of these names."""
        return set().union(*(self.open_carts.showing(name) for name in names))

    def read_carts(self, names: Iterable[str]) -> set[str]:
        """Read the carts that changed, of those that tabs have open.

        Returns:
            The ids of those whose tabs don't show that yet.
        """
        changed = {i for i in map(cart_id_of, names) if i and self._hub.is_watched(cart_name(i))}
        read = {
            self._follow_merge(snapshot) for snapshot in self._carts.snapshots(changed).values()
        }
        return {cart_id for cart_id in read if cart_id is not None and self._is_new(cart_id)}

    def _follow_merge(self, snapshot: CartSnapshot) -> str | None:
        """Keep a cart as it was read, or the one it was merged into, which its tabs carry from now.

        Returns:
            The id of the one that is kept; None: nobody watches it any more.
        """
        topic = cart_name(snapshot.cart_id)
        if snapshot.merged_into is not None:
            canonical = self._carts.snapshot(snapshot.merged_into)
            if self._hub.is_watched(topic):
                self.open_carts.merge(snapshot.cart_id, to=canonical)
                self._hub.move(topic, to=cart_name(canonical.cart_id))
            return self._follow_merge(canonical)
        if not self._hub.is_watched(topic):
            return None
        self.open_carts.keep(snapshot)
        return snapshot.cart_id

    def _is_new(self, cart_id: str) -> bool:
        """Tell whether a cart's tabs don't show yet what is known of it by now."""
        view = self.open_carts.view(cart_id, self._inventory.last_known)
        return view is not None and not self.open_carts.is_notified(cart_id, view.version)

    def forget(self, topic: str) -> None:
        """Forget what nobody watches any more."""
        self._unwatched |= not self._hub
        cart_id = cart_id_of(topic)
        if cart_id is not None:
            self.open_carts.forget(cart_id)
        order_id = order_id_of(topic)
        if order_id is not None:
            self.orders.forget(order_id)
