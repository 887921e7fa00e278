"""The one way in which a change reaches a tab: hear of it, read what is true, render, send.

A message that got lost heals: every few seconds everything that is watched is read anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy.exc import DatabaseError

from shop.carts import Carts, CartState, CartView
from shop.changes import Changes, cart_id_of, cart_name, item_name, product_name
from shop.db import CommitWatch, Database, now_ms
from shop.fragments import Fragments
from shop.inventory import Catalog, Inventory, ProductView, StockNews
from shop.streams import HEARTBEAT, Hub, Message

log = logging.getLogger(__name__)

#: How often another process's commits are looked for, in seconds.
POLL = 0.03

#: For how long after telling the tabs further changes are gathered, in seconds.
TICK = 0.015

#: How often everything that is watched is read anew, in seconds.
SWEEP = 5.0


class OpenCarts:
    """The carts that tabs have open: as last read, and which of them show which item."""

    def __init__(self) -> None:
        self.states: dict[str, CartState] = {}
        self._showing: defaultdict[str, set[str]] = defaultdict(set)
        self._shown: dict[str, set[str]] = {}

    def keep(self, state: CartState, view: CartView) -> None:
        """Remember a cart as read, and what it shows: its items, and what it offers instead.

        An older reading of a cart than the one remembered changes nothing.
        """
        known = self.states.get(state.cart_id)
        if known is not None and known.version > state.version:
            return
        self.forget(state.cart_id)
        self.states[state.cart_id] = state
        shown = {item_name(item_id) for item_id in state.item_ids}
        shown |= {product_name(line.product.id) for line in view.closed_lines}
        self._shown[state.cart_id] = shown
        for name in shown:
            self._showing[name].add(state.cart_id)

    def forget(self, cart_id: str) -> None:
        self.states.pop(cart_id, None)
        for name in self._shown.pop(cart_id, ()):
            self._showing[name].discard(cart_id)
            if not self._showing[name]:
                del self._showing[name]

    def showing(self, name: str) -> set[str]:
        """Return the ids of the carts that show what has this name."""
        return self._showing.get(name, set())


class Live:
    """Keeps every open tab true."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        carts: Carts,
        changes: Changes,
        fragments: Fragments,
        hub: Hub,
    ) -> None:
        self._inventory = inventory
        self._carts = carts
        self._fragments = fragments
        self._hub = hub
        self._commits = CommitWatch(database)
        self._newest_cart = now_ms()
        self._open = OpenCarts()
        self._heard: set[str] = set()
        self._wake = threading.Event()
        self._runner: threading.Thread | None = None
        changes.subscribe(self.hear)
        inventory.listeners.append(self._hear_stock)
        hub.on_deserted = self._deserted

    def hear(self, names: Iterable[str]) -> None:
        """Note that things changed; their tabs are told at the next tick."""
        self._heard.update(names)
        self._wake.set()

    def start(self) -> None:
        """Begin to tell tabs of changes, in a thread (under gevent: a greenlet) of its own."""
        if self._runner is None:
            self._inventory.current()  # what is read first is no news to anybody
            self._heard.clear()
            self._runner = threading.Thread(target=self.run, name="live", daemon=True)
            self._runner.start()

    def present_state(self, topics: Iterable[str]) -> str:
        """Render all that is true now of the topics that a tab watches."""
        self.start()
        catalog = self._inventory.current()
        parts = []
        for topic in topics:
            cart_id = cart_id_of(topic)
            if cart_id is not None:
                state = self._carts.state(cart_id)
                view = CartView.of(state, catalog)
                if self._hub.is_watched(topic):  # its tab may have left while the cart was read
                    self._open.keep(state, view)
                parts.append(self._fragments.cart_message(view))
            else:
                product = catalog.by_id.get(int(topic.partition(":")[2]))
                if product is not None:
                    parts.append(self._fragments.stock_message(product))
        return "".join(parts)

    def run(self) -> None:
        """Tell tabs of changes, for ever.

        A database that is away is waited for; everything is read anew when it is back.
        """
        sweep_at = beat_at = time.monotonic()
        while True:
            self._wake.wait(POLL)
            self._wake.clear()
            now = time.monotonic()
            try:
                if now >= sweep_at:
                    sweep_at = now + SWEEP
                    self._sweep()
                self._listen()
                self._tell()
            except DatabaseError as error:
                sweep_at = now
                log.warning("the database does not answer, tabs wait: %s", error.orig or error)
                time.sleep(0.5)
            except Exception:
                log.exception("telling the tabs failed; everything is read anew")
                sweep_at = now + 1.0
            if now >= beat_at:
                beat_at = now + HEARTBEAT
                self._hub.beat()
            if self._heard:
                time.sleep(TICK)

    def _listen(self) -> None:
        """Hear of what other processes committed."""
        self._inventory.current()
        if self._hub and self._commits.happened():
            for cart_id, version in self._carts.changed_since(self._newest_cart):
                self._newest_cart = max(self._newest_cart, version)
                known = self._open.states.get(cart_id)
                if known is not None and known.version != version:
                    self._heard.add(cart_name(cart_id))

    def _sweep(self) -> None:
        self._inventory.refresh()
        known = dict(self._open.states)
        for cart_id, state in self._carts.states(known).items():
            was = known[cart_id]
            if (state.known, state.item_ids) != (was.known, was.item_ids):
                self._heard.add(cart_name(cart_id))

    def _hear_stock(self, news: StockNews) -> None:
        names = {product_name(product_id) for product_id in news.products}
        self.hear(names | {f"sale-of-{item_name(item_id)}" for item_id in news.items})

    def _tell(self) -> None:
        heard, self._heard = self._heard, set()
        if not heard:
            return
        catalog = self._inventory.last_known
        try:
            self._tell_products(heard, catalog)
            self._tell_carts(heard, catalog)
        except BaseException:
            self._heard |= heard
            raise

    def _tell_products(self, heard: set[str], catalog: Catalog) -> None:
        for topic in heard:
            if topic.startswith("product:") and self._hub.is_watched(topic):
                product_id = int(topic.partition(":")[2])
                product = catalog.by_id.get(product_id) or ProductView.gone_now(product_id)
                self._hub.send(topic, Message(self._fragments.stock_message(product)))

    def _tell_carts(self, heard: set[str], catalog: Catalog) -> None:
        changed = {i for i in map(cart_id_of, heard) if i and self._hub.is_watched(cart_name(i))}
        read = self._carts.states(changed)
        for cart_id, state in list(read.items()):
            if state.merged_into is not None:
                # The visitor's other cart: its tabs carry this one from now on.
                self._hub.move(cart_name(cart_id), to=cart_name(state.merged_into))
                read.pop(cart_id)
                read[state.merged_into] = self._carts.state(state.merged_into)
        touched = self._touched(heard) - read.keys()
        states = [*read.values(), *(self._open.states[i] for i in touched)]
        for state in states:
            topic = cart_name(state.cart_id)
            if self._hub.is_watched(topic):
                view = CartView.of(state, catalog)
                self._open.keep(state, view)
                self._hub.send(topic, Message(self._fragments.cart_message(view)))

    def _touched(self, heard: set[str]) -> set[str]:
        """Return the open carts that show something of what was heard of, though unchanged."""
        touched: set[str] = set()
        for name in heard:
            if name.startswith("sale-of-"):
                touched |= self._open.showing(name.removeprefix("sale-of-"))
            elif name.startswith("product:"):
                touched |= self._open.showing(name)
        return touched

    def _deserted(self, topic: str) -> None:
        cart_id = cart_id_of(topic)
        if cart_id is not None:
            self._open.forget(cart_id)
