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
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench.http1 import Browser, Request
from bench.loop import Loop, check_connected, dial
from bench.tabs import Cart, Tab
from bench.visitors import Script, Visitor, add, fill_carts, follow, order, remove

#: What everybody watches: both products of the demo catalogue.
PATH = "/stream?product=1&product=2"

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
    #: when it was answered, and what came of it; nothing came of what wasn't answered
    answered: float | None = None
    outcome: str = ""
    #: when the shopper's tab showed the cart as empty
    emptied: float | None = None


class Shopper:
    """Somebody with a cart, and a tab that shows it and two products."""

    def __init__(
        self, loop: Loop, number: int, ports: Sequence[int], token: str, cart: Cart, source: str
    ) -> None:
        self._loop = loop
        self.home = number % len(ports)
        host = f"127.0.0.1:{ports[self.home]}"
        self.token, self.purchases = token, 0
        self.is_busy = False
        self.cart_ref, self.cart, self.version = cart.ref, sorted(map(str, cart.items)), 0
        #: by product, the items that the tab shows as sold out; and when it showed each first
        self.sold_out: dict[str, frozenset[str]] = {}
        self.sold_out_at: dict[str, float] = {}
        self.awaited: Purchase | None = None
        self._tab = Tab(number, source, host, PATH, cart)
        self._tab.socket = dial(source, ports[self.home])
        self._loop.watch(self._tab.socket.fileno(), self._ask, writing=True)

    @property
    def shows_sold_out(self) -> set[str]:
        return set().union(*self.sold_out.values())

    def _ask(self) -> None:
        assert self._tab.socket is not None
        check_connected(self._tab.socket)
        self._tab.socket.sendall(self._tab.request)
        self._loop.watch(self._tab.socket.fileno(), self._hear)

    def _hear(self) -> None:
        size = self._tab.read()
        if not size:
            return
        at, html = time.time(), self._tab.text(size)
        for part in html.split("<hx-partial"):
            if found := _CART.search(part):
                self._show_cart(int(found[1]), part, at)
            elif found := _STOCK.search(part):
                self.sold_out[found[1]] = frozenset(_OUT.findall(part))
                for item in self.sold_out[found[1]]:
                    self.sold_out_at.setdefault(item, at)

    def _show_cart(self, version: int, html: str, at: float) -> None:
        if version < self.version:
            return
        self.version, self.cart = version, sorted(item for _, item in _LINE.findall(html))
        if self.awaited is not None and not self.cart:
            self.awaited.emptied, self.awaited = at, None


def _purchase(shopper: Shopper, choices: Sequence[str], purchase: Purchase) -> Script:
    """Put one more item into the cart, take out what can't be bought, open the checkout, buy."""
    html = ""
    for item in choices:
        if item not in shopper.shows_sold_out and item not in shopper.cart:
            answer = yield add(shopper.token, item)
            html = answer.text
            if answer.status == 200:
                break
    for state, item in _LINE.findall(html):
        if "out-of-stock" in state:
            yield remove(shopper.token, item)
    page = yield Request("checkout page", "GET", "/checkout")
    if page.status != 200:
        return SOLD_OUT
    shopper.awaited = purchase
    answer = yield order(shopper.token, page.text, purchase.email)
    if answer.header("location").endswith("/checkout/complete"):
        return BOUGHT
    return SOLD_OUT if answer.status == 303 else f"checkout: {answer.status}"


class Shoppers:
    """All of them, at the servers in turn; half of the purchases are made at another server.

    Args:
        contents: what each one's cart holds, by item ids.
    """

    def __init__(
        self, loop: Loop, ports: Sequence[int], contents: Sequence[Sequence[int]], timeout: float
    ) -> None:
        self._loop, self._ports = loop, ports
        filled = fill_carts(loop, ports, contents, timeout)
        self._sources = [f"127.1.{n // 250}.{1 + n % 250}" for n in range(len(filled))]
        self._browsers = [visitor.browser for _, _, visitor in filled]
        self._shoppers = []
        deadline = time.monotonic() + timeout
        for number, (token, cart, _) in enumerate(filled):
            source = self._sources[number]
            self._shoppers.append(Shopper(loop, number, ports, token, cart, source))
            loop.run(deadline, lambda: self._unopened() < 64)
        if not loop.run(deadline, lambda: not self._unopened()):
            raise RuntimeError("not all shoppers' tabs were opened in time")

    def buy(self, rate: float, seconds: float, items: Sequence[str]) -> dict[str, Any]:
        """Begin purchases at random moments, `rate` a second on average, for some seconds.

        Returns:
            The purchases; how many nobody was free to make; seconds by kind of request.
        """
        purchases: list[Purchase] = []
        times: defaultdict[str, list[float]] = defaultdict(list)
        chance, began, nobody = random.Random(2), time.time(), 0
        free = chance.sample(range(len(self._shoppers)), len(self._shoppers))
        for due in sorted(began + chance.uniform(0, seconds) for _ in range(round(rate * seconds))):
            self._run_until(due)
            number = next((n for n in free if not self._shoppers[n].is_busy), None)
            if number is None:
                nobody += 1
                continue
            free.remove(number)
            free.append(number)
            choices = chance.sample(items, len(items))
            purchases.append(self._begin(number, due, choices, times))
        self._run_until(began + seconds)
        over = time.time()
        self._loop.run(
            time.monotonic() + _LAST_CALL, lambda: not any(s.is_busy for s in self._shoppers)
        )
        self._loop.run(
            time.monotonic() + _LAST_NEWS, lambda: all(s.awaited is None for s in self._shoppers)
        )
        made = [asdict(purchase) for purchase in purchases]
        return {"seconds": over - began, "purchases": made, "nobody": nobody, "times": dict(times)}

    def look(self, after: float) -> dict[str, Any]:
        """Return what tabs show some seconds later: carts by fingerprint, items sold out by tab.

        Besides, for each item that sold out, when each tab showed that first.
        """
        self._loop.run(time.monotonic() + after)
        at: defaultdict[str, list[float]] = defaultdict(list)
        for shopper in self._shoppers:
            for item, moment in shopper.sold_out_at.items():
                at[item].append(moment)
        return {
            "carts": {shopper.cart_ref: shopper.cart for shopper in self._shoppers},
            "sold_out": [sorted(shopper.shows_sold_out) for shopper in self._shoppers],
            "sold_out_at": dict(at),
        }

    def _begin(
        self, number: int, due: float, choices: Sequence[str], times: dict[str, list[float]]
    ) -> Purchase:
        shopper = self._shoppers[number]
        shopper.purchases, shopper.is_busy = shopper.purchases + 1, True
        server = (shopper.home + number // len(self._ports) + shopper.purchases) % len(self._ports)
        email = f"shopper{number}.{shopper.purchases}@example.com"
        purchase = Purchase(email, server != shopper.home, due)
        browser: Browser = self._browsers[number]
        port = self._ports[server]
        visitor = Visitor(self._loop, self._sources[number], port, browser, keeps=True)

        def then(outcome: str) -> None:
            visitor.hang_up()
            purchase.answered, purchase.outcome = time.time(), outcome
            shopper.is_busy = False
            if outcome != BOUGHT:
                shopper.awaited = None

        script = _purchase(shopper, choices, purchase)
        follow(visitor, script, then, lambda kind, seconds: times[kind].append(seconds))
        return purchase

    def _unopened(self) -> int:
        return sum(not shopper.version for shopper in self._shoppers[-256:])

    def _run_until(self, moment: float) -> None:
        self._loop.run(time.monotonic() + moment - time.time())


def one_cart(
    loop: Loop, ports: Sequence[int], tabs: int, changes: int, items: Sequence[int]
) -> list[float]:
    """Change a cart that many tabs show, on the servers in turn: add an item, then remove it.

    Returns:
        Of each change, the seconds from sending the request until the last tab showed it.
    """
    ((token, cart, visitor),) = fill_carts(loop, ports[:1], [[items[0]]], 30.0)
    source = "127.0.0.2"
    shown = [Shopper(loop, number, ports, token, cart, source) for number in range(tabs)]
    loop.run(time.monotonic() + 10, lambda: all(tab.version for tab in shown))
    chance, delays = random.Random(1), []
    for number in range(changes):
        adds, item = number % 2 == 0, str(items[1 + number // 2 % (len(items) - 1)])
        port = ports[number // 2 % len(ports)]
        asker = Visitor(loop, source, port, visitor.browser, keeps=False)
        began = time.monotonic()
        asker.ask((add if adds else remove)(token, item), partial(_must_be_200))
        if not loop.run(began + 10, lambda: all((item in tab.cart) == adds for tab in shown)):  # noqa: B023
            raise RuntimeError("not all tabs showed a change in 10 s")
        delays.append(time.monotonic() - began)
        loop.run(time.monotonic() + chance.uniform(0.03, 0.08))
    return delays


def _must_be_200(_: object, outcome: str) -> None:
    if outcome != "200":
        raise RuntimeError(f"a change was refused: {outcome}")
