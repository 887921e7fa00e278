"""The load client's tabs: thousands of event streams, heard without a greenlet for each.

What reading costs is printed beside what the server costs, so that one can see that the server is
what is measured.
"""

from __future__ import annotations

import random
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent
from gevent.event import Event

from bench.visitors import WORK_TIMEOUT, Visitor, connect, do_all

#: What the front page of the demo catalogue watches.
FRONT_PAGE = "/stream?product=1&product=2"

#: Visitors who fill carts at the same time; and tabs that wait for their first message.
_FILL_AT_ONCE, _OPEN_AT_ONCE = 16, 64

#: Seconds to sleep after each check of what has come. A client that always waits at the sockets is
#: woken by nearly every message, and waking it is on the server's account.
_PAUSE = 0.001

#: Seconds until a tab tries again that comes back at once.
_PROBE = 0.005

#: How the last event of a message ends; an event without a fragment, a heartbeat, ends otherwise.
_FRAGMENT_END = b">\n\n"

#: How bytes end where a message may end: that of an event stream, or of one in chunks.
_ENDS = (b"\n\n", b"\n\n\r\n")

_REF, _STRUCK, _ITEM = b'data-cart-ref="', b"cart-item--out-of-stock", b'data-item-id="'


@dataclass(frozen=True)
class Cart:
    """A visitor's cart: what the browser sends as `Cookie`, its public fingerprint, its items."""

    cookies: str
    ref: str
    items: tuple[int, ...]


class Tab:
    """One open page: a stream that is open, on its way, or lost."""

    __slots__ = ("_rest", "found_at", "lines", "number", "port", "ref", "request", "socket")

    def __init__(self, number: int, port: int, path: str, cart: Cart | None) -> None:
        self.number, self.port = number, port
        self.ref = _REF + f'{cart.ref}"'.encode() if cart else b""
        self.lines = [_line(item) for item in cart.items] if cart else []
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Accept: text/event-stream"]
        lines += [f"Cookie: {cart.cookies}"] if cart else []
        self.request = "\r\n".join([*lines, "", ""]).encode()
        self.socket: socket.socket | None = None
        self._rest = b""
        #: when it found what it waits for, on the monotonic clock; 0 before
        self.found_at = 0.0

    def read(self) -> bytes:
        """Return what has come since the last message, if a message ends there; else nothing.

        Raises:
            ConnectionError: there is no stream any more, or none was given.
        """
        assert self.socket is not None
        came = self.socket.recv(1 << 16)
        if not came:
            raise ConnectionResetError("the stream ended")
        if not self._rest and came.startswith(b"HTTP/1.1 ") and came[9:12] != b"200":
            raise ConnectionRefusedError(f"answered {came[9:12].decode()}")
        whole = self._rest + came
        self._rest = b"" if whole.endswith(_ENDS) else whole
        return b"" if self._rest else whole

    def close(self) -> None:
        """Close the stream."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self._rest = None, b""


# --- What a tab can wait for ---------------------------------------------------------------------

#: Tells whether a tab's message is what it waits for: one of these, with what else it takes.
Finds = Callable[[Tab, bytes], bool]


def any_message(_: Tab, message: bytes) -> bool:
    """Find a message, whatever it says."""
    return message.rfind(_FRAGMENT_END) >= 0  # from its end, where it mostly is: far sooner


def product_fragment(_: Tab, message: bytes, product: int) -> bool:
    """Find a product's fragment, whatever it says."""
    return b'id="stock-%d"' % product in message


def cart_line(_: Tab, message: bytes, item: int, is_there: bool) -> bool:
    """Find a cart with a line of an item, or without one."""
    return _REF in message and (_line(item) in message) == is_there


def marked_cart(tab: Tab, message: bytes) -> bool:
    """Find the tab's own cart with all lines that were marked before."""
    return tab.ref in message and all(line in message for line in tab.lines)


def own_cart(tab: Tab, message: bytes, struck: int | None) -> bool:
    """Find the tab's own cart, whole, with one item's line struck out, or none.

    Another's cart, or one that lost a line, ends the run.
    """
    carts = message.count(_REF)
    if not carts:
        return False
    if message.count(tab.ref) != carts:
        raise RuntimeError("a tab was sent another's cart")
    if not all(line in message for line in tab.lines):
        raise RuntimeError("a tab was sent its cart without its lines")
    at = message.find(_STRUCK)
    if at < 0 or struck is None:
        return at < 0 and struck is None
    return message.startswith(_line(struck), message.find(_ITEM, at))


def _line(item: int) -> bytes:
    return b'data-item-id="%d"' % item


# --- All of them ---------------------------------------------------------------------------------


class Tabs:
    """All tabs, at the servers in turn. The methods are commands to the load client."""

    def __init__(self) -> None:
        #: whose carts the tabs show
        self.visitors: list[Visitor] = []
        self._carts: list[Cart | None] = [None]
        self._first: Finds = any_message
        self._tabs: list[Tab] = []
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, Tab] = {}
        self._finds: Finds = any_message
        self._missing = 0
        self._lost: Callable[[Tab, OSError], None] = _fail

    def fill(
        self, ports: Sequence[int], contents: Sequence[Sequence[int]], marked: bool = False
    ) -> None:
        """Fill a cart for each of the contents, or mark them; tabs opened from now on show them."""
        self.visitors = [Visitor(ports[n % len(ports)]) for n in range(len(contents))]
        self._carts = [None] * len(contents)
        self._first = any_message if marked else partial(own_cart, struck=None)

        def fill(number: int) -> None:
            visitor, items = self.visitors[number], contents[number]
            ref = re.search(r'data-cart-ref="(\w+)"', visitor.fill(items, marked))
            visitor.hang_up()
            self._carts[number] = Cart(visitor.cookies, ref[1] if ref else "", tuple(items))

        do_all([partial(fill, number) for number in range(len(contents))], _FILL_AT_ONCE)

    def open(self, ports: Sequence[int], path: str, count: int, finds: Finds | None = None) -> None:
        """Open streams, and wait until each has its first message: its own cart, if it has one.

        More tabs than carts show these in turn.
        """
        carts = self._carts
        self._tabs = [
            Tab(n, ports[n % len(ports)], path, carts[n % len(carts)]) for n in range(count)
        ]
        self.await_(finds or self._first)
        for begun, tab in enumerate(self._tabs, 1):
            self._connect(tab)
            # At the end, all of them are waited for.
            most = _OPEN_AT_ONCE - 1 if begun < count else 0
            self._wait(most + count - begun)

    def prepare(self) -> None:
        """Read whatever there is by now."""
        while self._receive():
            pass

    def expect(self, finds: Finds) -> dict[str, float]:
        """Wait until each tab has found something in what comes from now on.

        Returns:
            When the first, half and all of them had it, on the monotonic clock in seconds; this
            process's CPU time.
        """
        cpu = time.process_time()
        self.await_(finds)
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
        self.await_(partial(own_cart, struck=struck))
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
            self._receive()
            gevent.sleep(_PAUSE)
        return done()

    def _wait(self, most: int = 0) -> None:
        """Read until no more tabs than `most` lack what they wait for."""
        if not self.listen(WORK_TIMEOUT, lambda: self._missing <= most):
            raise RuntimeError(f"{self._missing} tabs did not get what was sent in time")

    def _receive(self) -> int:
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

    def _connect(self, tab: Tab) -> None:
        connection = connect(tab.port)
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
            connect(self._tabs[0].port).close()
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
