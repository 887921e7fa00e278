"""The load client for a drop: thousands of shoppers, each with a tab, who buy at given moments.

Nobody waits for anybody: a purchase begins when its moment has come, however the shop is doing,
and its times are counted from that moment. All in one process with plain sockets and one epoll:
what it costs is printed beside what the shop costs.

Times are of the wall clock, in seconds, as PostgreSQL notes commits by it.
"""

from __future__ import annotations

import random
import select
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from bench.errands import BOUGHT, Errand, Errands, arrival, purchase, purchase_at_checkout
from bench.http1 import Browser
from bench.processes import answer_commands
from bench.tabs import Cart, News, StreamTab, Tab

#: What everybody watches: both products of the demo catalogue.
WATCHED = "product=1&product=2"

#: Shoppers that arrive at the same time.
_AT_ONCE = 16

#: How long what has begun may go on when the time is over; and how long tabs may then take to
#: show what was bought. In seconds.
_LAST_CALL, _LAST_NEWS = 5.0, 10.0


@dataclass
class Purchase:
    """One purchase, as its shopper sees it."""

    email: str
    #: whether it was made at another server than the one that the shopper's tab is at
    elsewhere: bool
    due: float
    began: float
    #: when the purchase itself was sent, and what came of it; nothing came of what wasn't answered
    asked: float | None = None
    answered: float | None = None
    outcome: str = ""
    #: when the shopper's tab showed the cart as empty
    emptied: float | None = None


class Shopper:
    """Somebody with a browser, an address, a cart, and a tab that shows it."""

    def __init__(self, number: int, ports: list[int]) -> None:
        self.number = number
        self.source = f"127.1.{number // 250}.{1 + number % 250}"
        self.ports = ports
        self.home = number % len(ports)
        self.browser = Browser(f"127.0.0.1:{ports[self.home]}")
        self.token = ""
        self.tab: Tab | None = None
        self.errand: Errand | None = None
        self.purchases = 0
        #: what the tab is to show, and above which version it does
        self.awaited: Purchase | None = None
        self._above = 0

    def open_tab(self) -> Tab:
        port = self.ports[self.home]
        self.tab = StreamTab(port, WATCHED, self.browser.cookies, self.source)
        return self.tab

    def keep_token(self, token: str) -> None:
        self.token = token

    def asks(self, made: Purchase, cart: Cart) -> None:
        """Note that a cart is about to be bought."""
        made.asked = time.time()
        self.awaited, self._above = made, cart.version

    def has_done(self, made: Purchase, outcome: str) -> None:
        """Note what a purchase came to."""
        made.answered, made.outcome = time.time(), outcome
        if outcome != BOUGHT:
            self.awaited = None

    @property
    def waits_for_news(self) -> bool:
        """Whether the tab is yet to show what was bought."""
        return self.awaited is not None and self.awaited.outcome == BOUGHT

    def sees(self, news: News, at: float) -> None:
        """Note when an empty cart is what came of a purchase."""
        cart, awaited = news.cart, self.awaited
        if awaited and cart and not cart.items and cart.version > self._above:
            awaited.emptied, self.awaited = at, None


class Shoppers:
    """All of them; its methods are the commands it takes."""

    def __init__(self) -> None:
        self._shoppers: list[Shopper] = []
        self._purchases: list[Purchase] = []
        self._waits: dict[int, Callable[[], None]] = {}
        self._epoll = select.epoll()
        self._times: defaultdict[str, list[float]] = defaultdict(list)
        #: by item, when each tab showed first that it is sold out
        self._flips: defaultdict[str, list[float]] = defaultdict(list)
        self._under_way = 0

    def arrive(self, ports: list[int], count: int, items: list[str], patience: float) -> Any:
        """Have shoppers come to the servers in turn, fill a cart each and open a tab.

        Args:
            items: of which each cart gets one or two.
            patience: seconds that all of them have for that.
        """
        began, chance = time.time(), random.Random(1)
        for number in range(count):
            self._wait(lambda: self._under_way < _AT_ONCE, began + patience)
            shopper = Shopper(number, ports)
            self._shoppers.append(shopper)
            script = arrival(shopper.keep_token, chance.sample(items, 1 + number % 2))
            self._send(shopper, shopper.home, script, partial(self._arrived, shopper))
        self._wait(lambda: all(s.tab and s.tab.cart for s in self._shoppers), began + patience)
        return {"seconds": time.time() - began, "times": self._taken()}

    def buy(self, rate: float, seconds: float, items: list[str], at_checkout: bool) -> Any:
        """Begin purchases at random moments, `rate` a second on average, for some seconds.

        Args:
            at_checkout: whether shoppers stand at the checkout with what they want.

        Returns:
            The purchases; seconds by kind of request; how many purchases nobody was free to make;
            the client's own CPU time.
        """
        script, chance = purchase_at_checkout if at_checkout else purchase, random.Random(2)
        began, cpu = time.time(), time.process_time()
        moments = sorted(began + chance.uniform(0, seconds) for _ in range(round(rate * seconds)))
        turns = chance.sample(self._shoppers, len(self._shoppers))
        nobody = 0
        for due in moments:
            self._go_on_until(due)
            shopper = next((s for s in turns if s.errand is None and s.awaited is None), None)
            if shopper is None:
                nobody += 1
                continue
            turns.remove(shopper)
            turns.append(shopper)
            self._begin(shopper, due, script, chance.sample(items, len(items)))
        self._go_on_until(began + seconds)
        over = time.time()
        self._close()
        return {
            "began": began,
            "seconds": over - began,
            "purchases": [asdict(made) for made in self._purchases],
            "nobody": nobody,
            "times": self._taken(),
            "cpu": time.process_time() - cpu,
        }

    def look(self, after: float) -> Any:
        """Return what tabs show some seconds later: carts by fingerprint, sold-out items by tab.

        Besides, for each item that sold out, when tabs showed it.
        """
        self._go_on_until(time.time() + after)
        tabs = [shopper.tab for shopper in self._shoppers if shopper.tab is not None]
        return {
            "carts": {tab.cart.ref: sorted(tab.cart.items) for tab in tabs if tab.cart},
            "sold_out": [sorted(tab.sold_out) for tab in tabs],
            "flips": self._flips,
        }

    # --- One after another -------------------------------------------------------------------

    def _begin(
        self, shopper: Shopper, due: float, script: Callable[..., Errands], choices: list[str]
    ) -> None:
        shopper.purchases += 1
        # Half of them begin where their tab is, whatever the server; then it is the others' turn.
        turn = shopper.number // len(shopper.ports) + shopper.purchases
        server = (shopper.home + turn) % len(shopper.ports)
        email = f"shopper{shopper.number}.{shopper.purchases}@example.com"
        made = Purchase(email, server != shopper.home, due, time.time())
        self._purchases.append(made)
        ask = partial(shopper.asks, made)
        errand = script(shopper.token, shopper.tab, choices, email, ask)
        self._send(shopper, server, errand, partial(shopper.has_done, made))

    def _arrived(self, shopper: Shopper, outcome: str) -> None:
        if outcome != "arrived":
            raise RuntimeError(f"a shopper could not come in: {outcome}")
        tab = shopper.open_tab()
        self._watch(tab.socket.fileno(), lambda: self._hear(shopper, tab))

    def _hear(self, shopper: Shopper, tab: Tab) -> None:
        shown = tab.sold_out
        for news in tab.hear():
            at = time.time()
            shopper.sees(news, at)
            if news.stock:
                for item in tab.sold_out - shown:
                    self._flips[item].append(at)
                shown = tab.sold_out

    def _send(
        self,
        shopper: Shopper,
        server: int,
        script: Errands,
        then: Callable[[str], None],
    ) -> None:
        """Send a shopper on an errand; `then` is called with what it came to."""
        port = shopper.ports[server]
        errand = Errand(shopper.source, port, shopper.browser, script, self._note)
        shopper.errand = errand
        self._under_way += 1

        def hear() -> None:
            errand.hear()
            if errand.outcome:
                self._end(shopper)
                then(errand.outcome)

        self._watch(errand.socket.fileno(), hear)

    def _end(self, shopper: Shopper) -> None:
        assert shopper.errand is not None
        self._waits.pop(shopper.errand.socket.fileno())
        shopper.errand.socket.close()
        shopper.errand = None
        self._under_way -= 1

    def _close(self) -> None:
        """Let what has begun go on for a little, then send the others home; wait for news."""
        self._go_on_until(time.time() + _LAST_CALL, lambda: self._under_way == 0)
        for shopper in self._shoppers:
            if shopper.errand is not None:
                self._end(shopper)
        self._go_on_until(
            time.time() + _LAST_NEWS, lambda: not any(s.waits_for_news for s in self._shoppers)
        )

    def _note(self, kind: str, seconds: float) -> None:
        self._times[kind].append(seconds)

    def _taken(self) -> dict[str, list[float]]:
        times, self._times = self._times, defaultdict(list)
        return times

    # --- Waiting ------------------------------------------------------------------------------

    def _watch(self, descriptor: int, hear: Callable[[], None]) -> None:
        self._waits[descriptor] = hear
        self._epoll.register(descriptor, select.EPOLLIN)

    def _wait(self, done: Callable[[], bool], deadline: float) -> None:
        self._go_on_until(deadline, done)
        if not done():
            raise RuntimeError("the shoppers took too long to come in")

    def _go_on_until(self, moment: float, done: Callable[[], bool] = lambda: False) -> None:
        """Hear what comes until a moment, or until something is done."""
        while not done() and (left := moment - time.time()) > 0:
            for descriptor, _ in self._epoll.poll(min(left, 0.05), 256):
                hear = self._waits.get(descriptor)
                if hear is not None:  # else that errand ended a moment ago
                    hear()


if __name__ == "__main__":
    answer_commands(Shoppers())
