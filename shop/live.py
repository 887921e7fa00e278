"""The one way in which a change reaches a tab: hear of it, read what is true, render, send.

A message that got lost heals: every few seconds everything that is watched is read anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial

from sqlalchemy.exc import DBAPIError

from shop.carts import Carts, CartState, CartView
from shop.changes import (
    EVERYTHING,
    Changes,
    cart_id_of,
    cart_name,
    concerns_stock,
    product_id_of,
    product_name,
    sale_name,
)
from shop.db import Database, DatabaseBusy, now_ms
from shop.fragments import Fragments
from shop.inventory import Catalog, Inventory, ProductView, StockNews
from shop.metrics import DATABASE, Metrics
from shop.relay import Relay
from shop.streams import HEARTBEAT, Hub, Message

log = logging.getLogger(__name__)

#: For how long after telling the tabs further changes are gathered, in seconds.
TICK = 0.015

#: How many carts are rendered before other greenlets get their turn.
TURN = 20

#: How often everything that is watched is read anew, in seconds.
SWEEP = 5.0


class OpenCarts:
    """The carts that tabs have open: as last read, and which of them show which item."""

    def __init__(self) -> None:
        self.states: dict[str, CartState] = {}
        self._showing: defaultdict[str, set[str]] = defaultdict(set)
        self._shown: dict[str, set[str]] = {}
        self._since: dict[str, int] = {}

    def keep(self, state: CartState, view: CartView) -> None:
        """Remember a cart as read, and what it shows: its items, and what it offers instead.

        An earlier reading of a cart than the one remembered changes nothing.
        """
        known = self.states.get(state.cart_id)
        if known is not None and known.reading > state.reading:
            return
        self._drop(state.cart_id)
        self.states[state.cart_id] = state
        self._since.setdefault(state.cart_id, int(time.time()))
        shown = {sale_name(item_id) for item_id in state.item_ids}
        shown |= {product_name(line.product.id) for line in view.closed_lines}
        self._shown[state.cart_id] = shown
        for name in shown:
            self._showing[name].add(state.cart_id)

    def lead(self, cart_id: str, to: str) -> None:
        """Count a cart that another one was merged into as open since the earlier of both."""
        since = self._since.get(cart_id)
        if since is not None:
            self._since[to] = min(since, self._since.get(to, since))

    def since(self, cart_id: str) -> int | None:
        """Return when the first of a cart's tabs opened, in seconds since 1970."""
        return self._since.get(cart_id)

    def forget(self, cart_id: str) -> None:
        self._since.pop(cart_id, None)
        self._drop(cart_id)

    def showing(self, name: str) -> set[str]:
        """Return the ids of the carts that show what has this name."""
        return self._showing.get(name, set())

    def _drop(self, cart_id: str) -> None:
        self.states.pop(cart_id, None)
        for name in self._shown.pop(cart_id, ()):
            self._showing[name].discard(cart_id)
            if not self._showing[name]:
                del self._showing[name]


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
        metrics: Metrics,
        relay: Relay | None = None,
    ) -> None:
        self._poll = database.poll
        self._relay = relay
        self._inventory = inventory
        self._carts = carts
        self._fragments = fragments
        self._hub = hub
        self._metrics = metrics
        self._commits = database.watch()
        self._newest_cart = now_ms()
        self._open = OpenCarts()
        self._heard: set[str] = set()
        #: when the first of them was, by the monotonic clock
        self._heard_at: float | None = None
        self._sweep_at = time.monotonic()
        self._away = False
        self._wake = threading.Event()
        self._runner: threading.Thread | None = None
        self._starting = threading.Lock()
        changes.subscribe(self.hear)
        inventory.listeners.append(self._hear_stock)
        hub.on_deserted = self._deserted

    @property
    def open_carts(self) -> OpenCarts:
        """The carts that tabs of this process have open."""
        return self._open

    @property
    def _is_told(self) -> bool:
        """Whether other processes' commits are announced, so that they needn't be looked for."""
        return self._relay is not None and self._relay.up

    def hear(self, names: Iterable[str]) -> None:
        """Note that things changed; their tabs are told at the next tick."""
        self._heard_at = self._heard_at or time.monotonic()
        self._heard.update(names)
        self._wake.set()

    def start(self) -> None:
        """Begin to tell tabs of changes, in a thread (under gevent: a greenlet) of its own."""
        if self._runner is None:
            with self._starting:  # all tabs come at once after a restart
                self._start()

    def _start(self) -> None:
        if self._runner is not None:
            return
        self._inventory.current()  # what is read first is no news to anybody
        self._heard.clear()
        self._heard_at = None
        if self._relay is not None:
            self._relay.start()
        self._runner = threading.Thread(target=self.run, name="live", daemon=True)
        self._runner.start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def present_state(self, topics: Iterable[str]) -> str:
        """Render all that is true now of the topics that a tab watches."""
        self.start()
        self._inventory.current()
        parts = []
        for topic in topics:
            cart_id = cart_id_of(topic)
            if cart_id is not None:
                parts.append(self._present_cart(cart_id))
            product_id = product_id_of(topic)
            if product_id is not None:
                parts.append(self._stock_message(product_id, self._inventory.last_known))
        return "".join(parts)

    def _present_cart(self, cart_id: str) -> str:
        state = self._carts.state(cart_id)
        # Of the catalogue as it is by now: what changed while the cart was read, nobody tells it.
        view = CartView.of(state, self._inventory.last_known)
        if self._hub.is_watched(cart_name(cart_id)):  # its tab may have left in the meantime
            self._open.keep(state, view)
        return self._fragments.cart_message(view)

    def last_known(self, cart_id: str) -> CartState | None:
        """Return a cart as it was last read for the tabs that have it open here."""
        return self._open.states.get(cart_id)

    def run(self) -> None:
        """Tell tabs of changes, for ever.

        A database that is away is waited for; everything is read anew when it is back.
        """
        while True:
            self._wake.wait(self._poll)
            self._wake.clear()
            pause = 0.0
            try:
                pause = TICK if self._turn() else 0.0
            except (DBAPIError, DatabaseBusy) as error:
                pause = 0.5
                self._database_is_away(error)
            except Exception:
                pause = 1.0
                log.exception("telling the tabs failed; everything is read anew")
                self._sweep_at = 0.0
            if pause:
                time.sleep(pause)

    def _turn(self) -> bool:
        """Hear, read and tell once; return whether anything was told."""
        self._metrics.gather()
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP
            with self._metrics.sweep.time():
                self._sweep()
        self._listen()
        told = self._tell()
        self._away = False
        return told

    def _beat(self) -> None:
        """Give every tab its heartbeat, whatever else waits for a database or a Redis."""
        while True:
            time.sleep(HEARTBEAT)
            try:
                self._hub.beat()
            except Exception:
                log.exception("a heartbeat failed")

    def _database_is_away(self, error: Exception) -> None:
        self._sweep_at = 0.0
        self._metrics.troubled(DATABASE)
        if not self._away:
            cause = str(getattr(error, "orig", None) or error).partition("\n")[0]
            log.warning("the database does not answer, tabs wait: %s", cause)
        self._away = True

    def _listen(self) -> None:
        """Find out what other processes committed, if nobody tells."""
        if EVERYTHING in self._heard:
            self._heard.discard(EVERYTHING)
            self._sweep_at = 0.0
        elif concerns_stock(self._heard):
            self._inventory.current()
        if self._is_told:
            self._newest_cart = now_ms()  # where to look from, should nobody tell any more
            return
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
        self.hear(product_name(product_id) for product_id in news.products)
        self.hear(sale_name(item_id) for item_id in news.items)

    def _tell(self) -> bool:
        """Tell the tabs of all that was heard; return whether anything was."""
        heard, self._heard = self._heard, set()
        heard_at, self._heard_at = self._heard_at or time.monotonic(), None
        if not heard:
            return False
        try:
            self._tell_of(heard, heard_at)
        except BaseException:
            self._heard |= heard
            self._heard_at = heard_at
            raise
        return True

    def _tell_of(self, heard: set[str], heard_at: float) -> None:
        cart_ids = self._read_carts(heard)
        cart_ids |= {cart_id for name in heard for cart_id in self._open.showing(name)}
        for name in heard:
            product_id = product_id_of(name)
            if product_id is not None:
                catalog = self._inventory.last_known
                self._tell_one(name, partial(self._stock_message, product_id, catalog), heard_at)
        for count, cart_id in enumerate(cart_ids, 1):
            self._tell_one(cart_name(cart_id), partial(self._cart_message, cart_id), heard_at)
            if count % TURN == 0:
                time.sleep(0)  # rendering ten thousand carts must not hold up a request

    def _tell_one(self, topic: str, message: Callable[[], str], heard_at: float) -> None:
        """Send a topic's tabs what is true of it. What fails for one is no harm to others.

        Args:
            heard_at: when it was heard that something changed, by the monotonic clock.
        """
        if not self._hub.is_watched(topic):
            return
        try:
            text = message()
            if text:
                self._hub.send(topic, Message(text))
                self._metrics.lag.observe(time.monotonic() - heard_at)
        except Exception:
            log.exception("the tabs that watch %s could not be told", topic.partition(":")[0])

    def _stock_message(self, product_id: int, catalog: Catalog) -> str:
        product = catalog.by_id.get(product_id) or ProductView.gone_now(product_id)
        return self._fragments.stock_message(product)

    def _cart_message(self, cart_id: str) -> str:
        state = self._open.states.get(cart_id)
        if state is None:  # everybody has just left
            return ""
        view = CartView.of(state, self._inventory.last_known)
        self._open.keep(state, view)
        return self._fragments.cart_message(view)

    def _read_carts(self, heard: set[str]) -> set[str]:
        """Read the carts that changed, of those that tabs have open, and return their ids."""
        changed = {i for i in map(cart_id_of, heard) if i and self._hub.is_watched(cart_name(i))}
        leading: set[str] = set()
        for cart_id, state in self._carts.states(changed).items():
            if state.merged_into is not None:
                # The visitor's other cart: its tabs carry this one from now on.
                self._open.lead(cart_id, to=state.merged_into)
                self._hub.move(cart_name(cart_id), to=cart_name(state.merged_into))
                state = self._carts.state(state.merged_into)
            if self._hub.is_watched(cart_name(state.cart_id)):
                self._open.keep(state, CartView.of(state, self._inventory.last_known))
                leading.add(state.cart_id)
        return leading

    def _deserted(self, topic: str) -> None:
        cart_id = cart_id_of(topic)
        if cart_id is not None:
            self._open.forget(cart_id)
