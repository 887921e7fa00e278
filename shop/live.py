"""The one way in which a change reaches a tab: hear of it, read what is true, render, send.

A message that got lost heals: every few seconds everything that is watched is read anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence

from sqlalchemy.exc import DBAPIError

from shop.changes import (
    EVERYTHING,
    cart_id_of,
    cart_name,
    concerns_stock,
    detail_name,
    is_part_of_page,
    is_somebodys,
    list_name,
    product_name,
    sale_name,
)
from shop.db import Database, DatabaseBusy
from shop.framing import Message
from shop.inventory import Inventory
from shop.metrics.counters import DATABASE, Metrics
from shop.models import CartSnapshot
from shop.relay import Relay
from shop.stock_news import StockNews
from shop.streams import Hub
from shop.tab_contents import TabContents
from shop.unannounced import Unannounced

log = logging.getLogger(__name__)

#: For how long after a message to the tabs further changes are gathered, in seconds.
TICK = 0.020

#: How often everything that is watched is read anew, in seconds.
SWEEP = 5.0


class Live:
    """Keeps every open tab true."""

    def __init__(
        self,
        database: Database,
        inventory: Inventory,
        contents: TabContents,
        unannounced: Unannounced,
        hub: Hub,
        metrics: Metrics,
        relay: Relay | None = None,
    ) -> None:
        self._database, self._inventory = database, inventory
        self._contents, self._hub, self._metrics, self._relay = contents, hub, metrics, relay
        self._unannounced = unannounced
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

    @property
    def _relay_is_up(self) -> bool:
        """Whether other processes' commits are announced, so that they needn't be looked for."""
        return self._relay is not None and self._relay.up

    def hear(self, names: Iterable[str]) -> None:
        """Note that things changed; their tabs are notified at the next tick.

        Carts and orders that nobody has open are let pass: a tab that opens one from now on reads
        what is true.
        """
        self.moment += 1
        concerned = [n for n in names if not is_somebodys(n) or self._hub.is_watched(n)]
        if concerned:
            self._heard_at = self._heard_at or time.monotonic()
            self._heard.update(concerned)
            self._wake.set()

    def start(self) -> None:
        """Begin to notify tabs of changes, in a thread (under gevent: a greenlet) of its own."""
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
        threading.Thread(target=self._hub.keep_beating, name="heartbeat", daemon=True).start()

    def present_state(
        self, topics: Sequence[str], read: CartSnapshot | None = None, moment: int = -1
    ) -> str:
        """Render all that is true now of the topics that a tab watches.

        Args:
            read: a cart that was read before the tab watched it. It need not be read again if
                nothing was heard of anything since.
            moment: the moment before it was read.
        """
        self.start()
        text = self._contents.present(topics, read if moment == self.moment else None)
        for cart_id in filter(None, map(cart_id_of, topics)):
            known = self._contents.open_carts.snapshot(cart_id)
            if known is not None and known.merged_into is not None:  # while the tab opened
                self.hear([cart_name(cart_id)])  # it is moved there next
        return text

    def run(self) -> None:
        """Notify tabs of changes, for ever.

        A database that is away is waited for; everything is read anew when it is back.
        """
        while True:
            self._wake.wait(self._database.poll)
            self._wake.clear()
            pause = 0.0
            try:
                pause = TICK if self._turn() else 0.0
            except (DBAPIError, DatabaseBusy) as error:
                pause = 0.5
                self._database_is_away(error)
            except Exception:
                pause = 1.0
                log.exception("notifying the tabs failed; everything is read anew")
                self._sweep_at = 0.0
            if pause:
                time.sleep(pause)

    def _turn(self) -> bool:
        """Find what changed, read and notify once; return whether anything was sent."""
        self._metrics.gather()
        if time.monotonic() >= self._sweep_at:
            self._sweep_at = time.monotonic() + SWEEP
            with self._metrics.sweep.time():
                self._heard |= self._unannounced.sweep()
        self._find_unannounced()
        notified = self._notify()
        self._away = False
        return notified

    def _database_is_away(self, error: Exception) -> None:
        self._sweep_at = 0.0
        self._metrics.troubled(DATABASE)
        if not self._away:
            cause = str(getattr(error, "orig", None) or error).partition("\n")[0]
            log.warning("the database does not answer, tabs wait: %s", cause)
        self._away = True

    def _find_unannounced(self) -> None:
        """Find out what other processes committed, if nobody announces it."""
        if EVERYTHING in self._heard:
            self._heard.discard(EVERYTHING)
            self._sweep_at = 0.0
        elif concerns_stock(self._heard):
            self._inventory.current()
        if self._relay_is_up:
            self._unannounced.pause()
            return
        self._inventory.current()
        if self._hub and self._unannounced.may_be_some():
            self.moment += 1
            found = self._unannounced.find()
            if found is None:
                self._sweep_at = 0.0
            else:
                self._heard |= found

    def hear_stock(self, news: StockNews) -> None:
        """Note what shoppers see differently of the catalogue."""
        self.hear(product_name(product_id) for product_id in news.products)
        self.hear(sale_name(item_id) for item_id in news.items)
        self.hear(list_name(number) for number in news.lists)
        self.hear(detail_name(product_id) for product_id in news.heads)

    def _notify(self) -> bool:
        """Notify the tabs of all that was heard; return whether anything was."""
        heard, self._heard = self._heard, set()
        heard_at, self._heard_at = self._heard_at or time.monotonic(), None
        if not heard:
            return False
        try:
            self._send_news(heard, heard_at)
        except BaseException:
            self._heard |= heard
            self._heard_at = heard_at
            raise
        return True

    def _send_news(self, heard: set[str], heard_at: float) -> None:
        cart_ids = self._contents.read_carts(heard) | self._contents.carts_showing(heard)
        parts = [name for name in heard if is_part_of_page(name)]
        self._contents.group(parts)
        parts += self._contents.read_orders(heard)
        before = self._hub.statistics.deliveries
        self._hub.notify([*map(cart_name, cart_ids), *parts], self._render)
        if self._hub.statistics.deliveries > before:
            self._metrics.lag.observe(time.monotonic() - heard_at)

    def _render(self, topic: str) -> Message | None:
        """Render a topic's message for all its tabs. What fails for one is no harm to others."""
        try:
            return self._contents.message(topic, to_all=True)
        except Exception:
            log.exception("the tabs that watch %s could not be notified", topic.partition(":")[0])
            return None
