"""The load client's shoppers: each has a cart and a tab, and buys at a given moment.

Nobody waits for anybody: a purchase begins when its moment has come, however the shop is doing,
and its times are counted from that moment. Times are of the wall clock, in seconds, as PostgreSQL
notes commits by it.
"""

from __future__ import annotations

import random
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import gevent

from bench.tabs import FRONT_PAGE, Tab, Tabs, cart_line
from bench.visitors import Times, Unanswered, Visitor

#: How long what has begun may go on when the time is over; and how long tabs may then take to
#: show what was bought. In seconds.
_LAST_CALL, _LAST_NEWS = 5.0, 10.0

BOUGHT, SOLD_OUT = "bought", "sold out"

_CART = re.compile(r'<section class="cart" id="cart"[^>]* data-version="(\d+)"')
_LINE = re.compile(r'<li class="cart-item([^"]*)" id="cart-item-\d+" data-item-id="(\d+)"')
_STOCK = re.compile(r'<div class="stock" id="stock-(\d+)"')
_OUT = re.compile(r'--level-out" form="actions" name="item_id" value="(\d+)"')


@dataclass
class Purchase:
    """One purchase, as its shopper sees it."""

    email: str
    #: whether it was made at another server than the one that the shopper's tab is at
    elsewhere: bool
    due: float
    #: seconds from then until it was answered, and what came of it; nothing of what wasn't answered
    took: float = 0.0
    outcome: str = ""
    #: when the shopper's tab showed the cart as empty
    emptied: float | None = None


class Shopper:
    """Somebody with a cart, and what the tab shows of it and of two products."""

    def __init__(self, visitor: Visitor, home: int) -> None:
        self.visitor, self.home = visitor, home
        self.is_busy = False
        self.cart: list[str] = []
        self._version = 0
        #: by product, the items that the tab shows as sold out; and when it showed each first
        self._sold_out: dict[str, list[str]] = {}
        self.sold_out_at: dict[str, float] = {}
        #: the purchase that the tab doesn't show yet
        self.awaited: Purchase | None = None

    @property
    def shows_sold_out(self) -> list[str]:
        return sorted(item for items in self._sold_out.values() for item in items)

    def see(self, html: str) -> None:
        """Take in a message to the tab."""
        at = time.time()
        for part in html.split("<hx-partial"):
            if found := _CART.search(part):
                self._see_cart(int(found[1]), part, at)
            elif found := _STOCK.search(part):
                self._sold_out[found[1]] = _OUT.findall(part)
                for item in self._sold_out[found[1]]:
                    self.sold_out_at.setdefault(item, at)

    def buy(self, choices: Sequence[str], purchase: Purchase) -> None:
        """Make a purchase, and note in it what came of it."""
        try:
            purchase.outcome = self._purchase(choices, purchase)
        except Unanswered as error:
            purchase.outcome = str(error)
        self.visitor.hang_up()
        purchase.took = time.time() - purchase.due
        self.is_busy = False
        if purchase.outcome != BOUGHT:
            self.awaited = None

    def _purchase(self, choices: Sequence[str], purchase: Purchase) -> str:
        """Add one more item, take out what can't be bought, open the checkout, buy."""
        html, visitor = "", self.visitor
        for item in choices:
            if item not in self.shows_sold_out and item not in self.cart:
                answer = visitor.add(item)
                html = answer.text
                if answer.status == 200:
                    break
        for state, item in _LINE.findall(html):
            if "out-of-stock" in state:
                visitor.remove(item)
        page = visitor.get("/checkout", "checkout page")
        if page.status != 200:
            return SOLD_OUT
        self.awaited = purchase
        answer = visitor.order(page.text, purchase.email)
        if answer.header("location").endswith("/checkout/complete"):
            return BOUGHT
        return SOLD_OUT if answer.status == 303 else f"checkout: {answer.status}"

    def _see_cart(self, version: int, html: str, at: float) -> None:
        if version < self._version:
            return
        self._version, self.cart = version, [item for _, item in _LINE.findall(html)]
        if self.awaited is not None and not self.cart:
            self.awaited.emptied, self.awaited = at, None


class Shoppers:
    """All of them, at the servers in turn; half of the purchases are made at another server.

    Its methods are commands to the load client.
    """

    def __init__(self, tabs: Tabs) -> None:
        self._tabs = tabs
        self._ports: Sequence[int] = ()
        self._shoppers: list[Shopper] = []

    def enter(self, ports: Sequence[int], contents: Sequence[Sequence[int]]) -> None:
        """Fill a cart for each of the contents, and open a tab that shows it."""
        self._tabs.fill(ports, contents)
        self._ports = ports
        people = enumerate(self._tabs.visitors)
        self._shoppers = [Shopper(visitor, number % len(ports)) for number, visitor in people]

        def see(tab: Tab, message: bytes) -> bool:
            self._shoppers[tab.number].see(message.decode())
            return True

        self._tabs.open(ports, FRONT_PAGE, len(contents), see)
        # None of them has found what it waits for: they see all that comes.
        self._tabs.await_(lambda tab, message: not see(tab, message))

    def buy(self, rate: float, seconds: float, items: Sequence[str]) -> dict[str, Any]:
        """Begin purchases at random moments, `rate` a second on average, for some seconds.

        Returns:
            The purchases; how many were left out as their shopper was still busy; seconds by kind
            of request; this process's CPU time.
        """
        purchases: list[Purchase] = []
        times: Times = defaultdict(list)
        for shopper in self._shoppers:
            shopper.visitor.times = times
        chance, began, cpu, busy = random.Random(2), time.time(), time.process_time(), 0
        turns = cycle(chance.sample(self._shoppers, len(self._shoppers)))
        for due in sorted(began + chance.uniform(0, seconds) for _ in range(round(rate * seconds))):
            self._tabs.listen(due - time.time())
            shopper = next(turns)
            if shopper.is_busy:
                busy += 1
                continue
            server = (shopper.home + len(purchases)) % len(self._ports)
            shopper.visitor.port, shopper.is_busy = self._ports[server], True
            email = f"shopper{len(purchases)}@example.com"
            purchases.append(Purchase(email, server != shopper.home, due))
            gevent.spawn(shopper.buy, chance.sample(items, len(items)), purchases[-1])
        self._tabs.listen(began + seconds - time.time())
        cpu = time.process_time() - cpu
        self._tabs.listen(_LAST_CALL, lambda: not any(one.is_busy for one in self._shoppers))
        self._tabs.listen(_LAST_NEWS, lambda: all(one.awaited is None for one in self._shoppers))
        return {"purchases": purchases, "busy": busy, "times": dict(times), "cpu": cpu}

    def report(self, after: float) -> dict[str, Any]:
        """Return what tabs show some seconds later: lines in carts, items sold out by tab.

        Besides, for each item that sold out, when each tab showed that first.
        """
        self._tabs.listen(after)
        at: defaultdict[str, list[float]] = defaultdict(list)
        for shopper in self._shoppers:
            for item, moment in shopper.sold_out_at.items():
                at[item].append(moment)
        return {
            "lines": sum(len(shopper.cart) for shopper in self._shoppers),
            "sold_out": [shopper.shows_sold_out for shopper in self._shoppers],
            "sold_out_at": dict(at),
        }

    def change_one_cart(
        self, ports: Sequence[int], tabs: int, changes: int, items: Sequence[int]
    ) -> list[float]:
        """Change a cart that many tabs show, on the servers in turn: add an item, then remove it.

        Returns:
            Of each change, the seconds from sending the request until the last tab showed it.
        """
        self._tabs.fill(ports[:1], [items[:1]])
        (visitor,) = self._tabs.visitors
        self._tabs.open(ports, FRONT_PAGE, tabs)
        chance, delays = random.Random(1), []
        for number in range(changes):
            adds, item = number % 2 == 0, items[1 + number // 2 % (len(items) - 1)]
            visitor.hang_up()
            visitor.port = ports[number // 2 % len(ports)]
            began = time.monotonic()
            change = gevent.spawn(visitor.add if adds else visitor.remove, item)
            shown = self._tabs.expect(partial(cart_line, item=item, is_there=adds))
            if (status := change.get().status) != 200:
                raise RuntimeError(f"a change was refused: {status}")
            delays.append(shown["last"] - began)
            self._tabs.listen(chance.uniform(0.03, 0.08))
        self._tabs.leave()
        return delays
