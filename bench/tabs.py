"""The load client's tabs: thousands of event streams, heard without a greenlet for each."""

from __future__ import annotations

import random
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from bench.tab import (
    Cart,
    Finds,
    Tab,
    any_message,
    cart_line,
    marked_cart,
    own_cart,
    product_fragment,
)
from bench.visitors import WORK_TIMEOUT, Visitor, addresses, connect, do_all

#: What the front page of the demo catalogue watches.
FRONT_PAGE = "/stream?product=1&product=2"

#: Visitors who fill carts at the same time; and tabs that wait for their first message.
_FILL_AT_ONCE, _OPEN_AT_ONCE = 16, 64

#: Seconds to sleep after each look at what has come. A client that always waits at the sockets is
#: woken by nearly every message, and waking it is on the server's account.
_PAUSE = 0.001

#: Seconds until a tab tries again that comes back at once.
_PROBE = 0.005

#: What can be expected from outside, by name.
EXPECTATIONS: dict[str, Callable[..., Finds]] = {
    "message": lambda: any_message,
    "product": product_fragment,
    "cart": own_cart,
    "marked": lambda: marked_cart,
    "line": cart_line,
}


class Tabs:
    """All of them, at the servers in turn. Their methods are commands to the load client."""

    def __init__(self) -> None:
        self._sources = addresses()
        #: whose carts the tabs show
        self.visitors: list[Visitor] = []
        self._carts: list[Cart] = []
        self._are_marked = False
        self._tabs: list[Tab] = []
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Tab] = {}
        self._finds: Finds = any_message
        self._missing = 0
        self._lost: Callable[[Tab, OSError], None] = _fail

    def fill(
        self,
        ports: Sequence[int],
        contents: Sequence[Sequence[int]],
        marked: bool = False,
    ) -> None:
        """Fill a cart for each of the contents, or mark them; tabs opened from now on show them."""
        self._are_marked = marked
        self.visitors = [Visitor(ports[n % len(ports)]) for n in range(len(contents))]
        self._carts = [Cart("", "", tuple(items)) for items in contents]
        works = [partial(self._fill, number) for number in range(len(contents))]
        do_all(works, _FILL_AT_ONCE)

    def share(self, tabs: int) -> None:
        """Have so many tabs show the first cart, all of them the same."""
        self._carts = self._carts[:1] * tabs

    def open(
        self,
        ports: Sequence[int],
        path: str,
        count: int,
        finds: Finds | None = None,
    ) -> None:
        """Open streams, and wait until each has its first message: its own cart, if it has one."""
        carts: Sequence[Cart | None] = self._carts or [None] * count
        self._tabs = [Tab(n, ports[n % len(ports)], path, carts[n]) for n in range(count)]
        is_whole = self._carts and not self._are_marked
        self.await_(finds or (own_cart(None) if is_whole else any_message))
        for begun, tab in enumerate(self._tabs, 1):
            self._connect(tab)
            # At the end, all of them are waited for.
            most = _OPEN_AT_ONCE - 1 if begun < count else 0
            self._wait(most + count - begun)

    def prepare(self) -> None:
        """Read whatever there is by now."""
        while self._look():
            pass

    def expect(self, what: str, **which: Any) -> dict[str, float]:
        """Wait until each tab has found something in what comes from now on.

        Args:
            what: a name in `EXPECTATIONS`, which takes the arguments in `which`.

        Returns:
            When the first, half and all of them had it, on the monotonic clock in seconds; this
            process's CPU time.
        """
        cpu = time.process_time()
        self.await_(EXPECTATIONS[what](**which))
        self._wait()
        spent = time.process_time() - cpu
        times = sorted(tab.found_at for tab in self._tabs)
        half = times[len(times) // 2]
        return {"first": times[0], "half": half, "last": times[-1], "cpu": spent}

    def come_back(self, struck: int, at_once: bool) -> dict[str, Any]:
        """Have each tab come back when its stream ends, until each has its cart as it is by then.

        Args:
            struck: the item that is sold out by then.
            at_once: whether they come in the moment in which the server listens again, when all
                have lost their streams; else as pages do, at random moments.

        Returns:
            When each tab was current again, on the monotonic clock; how many attempts failed.
        """
        losses: Counter[int] = Counter()
        chance, go = random.Random(1), Event()

        def lose(tab: Tab, _: OSError) -> None:
            self._missing += bool(tab.found_at)  # it was current, and lost that again
            tab.found_at = 0.0
            losses[tab.number] += 1
            delay = _PROBE if at_once else page_delay(losses[tab.number], chance)
            gevent.spawn(self._return, tab, delay, go)

        self._lost = lose
        self.await_(own_cart(struck))
        if at_once:
            self.listen(WORK_TIMEOUT, lambda: len(losses) == len(self._tabs) and self._is_served())
        go.set()
        self._wait()
        self._lost = _fail
        # All losses but each tab's first are attempts that failed.
        failures = losses.total() - len(losses)
        return {"current": [tab.found_at for tab in self._tabs], "failures": failures}

    def leave(self) -> None:
        """Close all streams."""
        for tab in self._tabs:
            self._hang_up(tab)
        self._tabs = []

    def await_(self, finds: Finds) -> None:
        """Look for something in what comes from now on, in each tab until it is found there."""
        self._finds, self._missing = finds, len(self._tabs)
        for tab in self._tabs:
            tab.found_at = 0.0

    def listen(self, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Read what comes for some seconds, or until something is done; return whether it is."""
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:
            self._look()
            gevent.sleep(_PAUSE)
        return done()

    def _wait(self, most: int = 0) -> None:
        """Read until no more tabs than `most` lack what they wait for."""
        if not self.listen(WORK_TIMEOUT, lambda: self._missing <= most):
            raise RuntimeError(f"{self._missing} tabs did not get what was sent in time")

    def _look(self) -> int:
        """Read what has come, and return of how many tabs."""
        ready = self._epoll.poll(0, 1024)
        for descriptor, _ in ready:
            tab = self._by_descriptor[descriptor]
            try:
                message = tab.read()
            except OSError as error:
                self._hang_up(tab)
                self._lost(tab, error)
                continue
            if message and not tab.found_at and self._finds(tab, message):
                tab.found_at = time.monotonic()
                self._missing -= 1
        return len(ready)

    def _fill(self, number: int) -> None:
        visitor, items = self.visitors[number], self._carts[number].items
        visitor.enter()
        html = ""
        for item in items:
            html = (visitor.mark if self._are_marked else visitor.add)(item).text
        visitor.hang_up()
        ref = re.search(r'data-cart-ref="(\w+)"', html)
        line = 'class="cart-mark"' if self._are_marked else 'class="cart-item"'
        if ref is None or html.count(line) != len(items):
            raise RuntimeError("a cart could not be filled")
        self._carts[number] = Cart(visitor.cookies, ref[1], items)

    def _connect(self, tab: Tab) -> None:
        connection = connect(next(self._sources), tab.port)
        connection.sendall(tab.request)
        # From here on it is read as it comes, without a greenlet.
        tab.socket = socket.socket(fileno=connection.detach())
        tab.socket.setblocking(False)
        self._by_descriptor[tab.socket.fileno()] = tab
        self._epoll.register(tab.socket.fileno(), select.EPOLLIN)

    def _return(self, tab: Tab, delay: float, go: Event) -> None:
        gevent.sleep(delay)
        go.wait()
        try:
            self._connect(tab)
        except OSError as error:
            self._lost(tab, error)

    def _hang_up(self, tab: Tab) -> None:
        if tab.socket is not None:
            del self._by_descriptor[tab.socket.fileno()]
            tab.close()

    def _is_served(self) -> bool:
        try:
            connect(next(self._sources), self._tabs[0].port).close()
        except OSError:
            return False
        return True


def page_delay(attempt: int, chance: random.Random) -> float:
    """Return for how many seconds a page waits before an attempt to come back, the first being 1.

    As shop/static/live.js has it.
    """
    return float(min(0.3 * 2.0 ** (attempt - 1), 2.5) * chance.uniform(0.7, 1.3))


def _fail(_: Tab, error: OSError) -> None:
    raise RuntimeError(f"a tab lost its stream: {error}")
