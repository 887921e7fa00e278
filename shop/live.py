"""The one way in which a change reaches a tab: hear of it, read what is true, render, send.

A message that got lost heals: every few seconds everything that is watched is read anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from shop.carts import Carts, CartSnapshot
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
from shop.db import Database, DatabaseBusy
from shop.framing import Message
from shop.inventory import Inventory, StockNews
from shop.metrics.counters import DATABASE, Metrics
from shop.open_carts import OpenCarts
from shop.relay import Relay
from shop.render.fragments import Fragments
from shop.streams import HEARTBEAT, Hub
from shop.time_slice import TimeSlice
from shop.versions import Horizon, as_of, last_number

log = logging.getLogger(__name__)

#: For how long after telling the tabs further changes are gathered, in seconds.
TICK = 0.020

#: How often everything that is watched is read anew, in seconds.
SWEEP = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A cart as it was read, and the moment of `Live` before that."""

    state: CartSnapshot
    moment: int


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
        self._swept = database.watch()
        #: whether something was committed that no sweep has seen yet
        self._unswept = True
        self._database = database
        self._horizon = Horizon(database.overlap)
        #: whether nobody watched since the catalogue was read
        self._unwatched = True
        self._open = OpenCarts()
        self._heard: set[str] = set()
        #: counts how often something was heard, or may have been
        self.moment = 0
        #: when the first of them was, by the monotonic clock
        self._heard_at: float | None = None
        self._sweep_at = time.monotonic()
        self._away = False
        self._wake = threading.Event()
        self._runner: threading.Thread | None = None
        self._starting = threading.Lock()
        changes.subscribe(self.hear)
        inventory.listeners.append(self._hear_stock)
        hub.on_empty = self._on_empty

    @property
    def open_carts(self) -> OpenCarts:
        """The carts that tabs of this process have open."""
        return self._open

    @property
    def _relay_is_up(self) -> bool:
        """Whether other processes' commits are announced, so that they needn't be looked for."""
        return self._relay is not None and self._relay.up

    def hear(self, names: Iterable[str]) -> None:
        """Note that things changed; their tabs are told at the next tick.

        Carts that nobody has open are let pass: who opens one from now on reads what is true.
        """
        self.moment += 1
        concerned = [n for n in names if cart_id_of(n) is None or self._hub.is_watched(n)]
        if concerned:
            self._heard_at = self._heard_at or time.monotonic()
            self._heard.update(concerned)
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

    def present_state(self, topics: Sequence[str], read: Reading | None = None) -> str:
        """Render all that is true now of the topics that a tab watches.

        Nothing waits after the last of it was read: what is written at once is of this moment.

        Args:
            read: a cart that was read before the tab watched it. It need not be read again if
                nothing was heard of anything since.
        """
        self.start()
        self._prepare(topics)
        for cart_id in filter(None, map(cart_id_of, topics)):
            if read is not None and read.state.cart_id == cart_id and read.moment == self.moment:
                state = read.state
            else:
                state = self._carts.state(cart_id)
            if state.merged_into is not None:  # since the tab began to open: it is led there next
                self.hear([cart_name(cart_id)])
            if self._hub.is_watched(cart_name(cart_id)):  # its tab may have left in the meantime
                self._open.keep(state)
        if self._unwatched:
            self._unwatched = False
            self._inventory.renew()
        else:
            self._inventory.current()
        messages = map(self._message, topics)
        return "".join(message.text for message in messages if message is not None)

    def _prepare(self, topics: Sequence[str]) -> None:
        """Render what isn't kept yet of the products, letting others go on in between."""
        turns = TimeSlice()
        for topic in topics:
            self._stock_message(topic)
            turns.yield_to_others()

    def last_known(self, cart_id: str) -> CartSnapshot | None:
        """Return a cart as it was last read for the tabs that have it open here."""
        return self._open.state(cart_id)

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
        notified = self._notify()
        self._away = False
        return notified

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
        if self._relay_is_up:
            self._horizon.forget()
            return
        self._inventory.current()
        if self._hub and self._commits.happened():
            self.moment += 1
            self._find_changed_carts()

    def _find_changed_carts(self) -> None:
        """Hear of the carts that other processes changed since this was done last."""
        since = self._horizon.since
        if since is None:  # nothing was looked for yet, or not since somebody told
            self._horizon.reached(last_number(self._database))
            self._sweep_at = 0.0
            return
        last, changed = self._carts.changed_since(since)
        self._horizon.reached(last)
        for cart_id, version in changed:
            known = self._open.state(cart_id)
            if known is not None and known.version != version:
                self._heard.add(cart_name(cart_id))

    def _sweep(self) -> None:
        """Read anew all that is watched, unless nobody can have committed anything since."""
        self._unswept |= self._swept.happened()
        if not self._unswept:
            return
        self._inventory.refresh()
        known = self._open.states()
        for cart_id, state in self._carts.states(known).items():
            if state.merged_into is not None or not state.shows_what(known[cart_id]):
                self._heard.add(cart_name(cart_id))
        self._unswept = False

    def _hear_stock(self, news: StockNews) -> None:
        self.hear(product_name(product_id) for product_id in news.products)
        self.hear(sale_name(item_id) for item_id in news.items)

    def _notify(self) -> bool:
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
        cart_ids.update(*(self._open.showing(name) for name in heard))
        products = [name for name in heard if product_id_of(name) is not None]
        before = self._hub.statistics.deliveries
        self._hub.notify([*map(cart_name, cart_ids), *products], self._news)
        if self._hub.statistics.deliveries > before:
            self._metrics.lag.observe(time.monotonic() - heard_at)

    def _news(self, topic: str) -> Message | None:
        """Render a topic's message for all its tabs. What fails for one is no harm to others."""
        try:
            return self._message(topic, to_all=True)
        except Exception:
            log.exception("the tabs that watch %s could not be told", topic.partition(":")[0])
            return None

    def _message(self, topic: str, *, to_all: bool = False) -> Message | None:
        """Render what is true of a topic, as it was last read; None: nobody watches it now."""
        cart_id = cart_id_of(topic)
        if cart_id is None:
            return self._stock_message(topic)
        view = self._open.view(cart_id, self._inventory.last_known)
        if view is None:
            return None
        if to_all:
            self._open.notify(cart_id, view.version)
        return self._fragments.cart_message(view)

    def _stock_message(self, topic: str) -> Message | None:
        product_id = product_id_of(topic)
        if product_id is None:
            return None
        product = self._inventory.last_known.by_id.get(product_id)
        if product is None:
            return self._fragments.gone_message(product_id, as_of(self._inventory.last_known.last))
        return self._fragments.stock_message(product)

    def _read_carts(self, heard: set[str]) -> set[str]:
        """Read the carts that changed, of those that tabs have open.

        Returns:
            The ids of those whose tabs don't show that yet.
        """
        changed = {i for i in map(cart_id_of, heard) if i and self._hub.is_watched(cart_name(i))}
        read = {self._follow_merge(state) for state in self._carts.states(changed).values()}
        return {cart_id for cart_id in read if cart_id is not None and self._is_new(cart_id)}

    def _follow_merge(self, state: CartSnapshot) -> str | None:
        """Keep a cart as it was read, or the one it was merged into, which its tabs carry from now.

        Returns:
            The id of the one that is kept; None: nobody watches it any more.
        """
        topic = cart_name(state.cart_id)
        if state.merged_into is not None:
            canonical = self._carts.state(state.merged_into)
            if self._hub.is_watched(topic):
                self._open.merge(state.cart_id, to=canonical)
                self._hub.move(topic, to=cart_name(canonical.cart_id))
            return self._follow_merge(canonical)
        if not self._hub.is_watched(topic):
            return None
        self._open.keep(state)
        return state.cart_id

    def _is_new(self, cart_id: str) -> bool:
        """Tell whether a cart's tabs don't show yet what is known of it by now."""
        view = self._open.view(cart_id, self._inventory.last_known)
        return view is not None and not self._open.is_notified(cart_id, view.version)

    def _on_empty(self, topic: str) -> None:
        self._unwatched |= not self._hub
        cart_id = cart_id_of(topic)
        if cart_id is not None:
            self._open.forget(cart_id)
