"""The load client's tabs: thousands of event streams, and what is looked for in their bytes.

One buffer for all, and nothing made for a message: what reading costs is printed beside what the
server costs, so that one can see that the server is what is measured.
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

from bench.visitors import Visitor, addresses, connect, do_all

#: Visitors who fill carts at the same time; and tabs that wait for their first message.
_FILL_AT_ONCE, _OPEN_AT_ONCE = 16, 64

#: Seconds to sleep after each look at what has come. A client that always waits at the sockets is
#: woken by nearly every message, and waking it is on the server's account.
_PAUSE = 0.001

#: Seconds until a tab tries again that comes back at once.
_PROBE = 0.005

_OK = b"HTTP/1.1 200 "

#: How the last event of a message ends; an event without a fragment, a heartbeat, ends otherwise.
_FRAGMENT_END = b">\n\n"

#: How bytes end where a message may end: that of an event stream, or of one in chunks.
_ENDS = (b"\n\n", b"\n\n\r\n")

_REF, _STRUCK, _ITEM = b'data-cart-ref="', b"cart-item--out-of-stock", b'data-item-id="'

_buffer = bytearray(1 << 18)
_view = memoryview(_buffer)


@dataclass(frozen=True)
class Cart:
    """A visitor's cart: what the browser sends as `Cookie`, its public fingerprint, its items."""

    cookies: str
    ref: str
    items: tuple[int, ...]


#: Tells whether the first so many bytes of the buffer are what a tab waits for.
Finds = Callable[["Tab", int], bool]


def any_message(_: Tab, size: int) -> bool:
    """Find a message, whatever it says."""
    return _buffer.find(_FRAGMENT_END, 0, size) >= 0


def product_fragment(product: int) -> Finds:
    """Find a product's fragment, whatever it says."""
    mark = f'id="stock-{product}"'.encode()
    return lambda _, size: _buffer.find(mark, 0, size) >= 0


def cart_line(item: int, is_there: bool) -> Finds:
    """Find a cart with a line of an item, or without one."""
    line = _line(item)
    return lambda _, size: (
        _buffer.find(_REF, 0, size) >= 0 and (_buffer.find(line, 0, size) >= 0) == is_there
    )


def marked_cart(tab: Tab, size: int) -> bool:
    """Find the tab's own cart with all lines that were marked before."""
    has_cart = _buffer.find(tab.ref, 0, size) >= 0
    return has_cart and all(_buffer.find(one, 0, size) >= 0 for one in tab.lines)


def own_cart(struck: int | None) -> Finds:
    """Find the tab's own cart, whole, with one item's line struck out, or none.

    Another's cart, or one that lost a line, ends the run.
    """
    line = _line(struck) if struck is not None else b""

    def finds(tab: Tab, size: int) -> bool:
        carts = _buffer.count(_REF, 0, size)
        if not carts:
            return False
        if _buffer.count(tab.ref, 0, size) != carts:
            raise RuntimeError("a tab was sent another's cart")
        if any(_buffer.find(one, 0, size) < 0 for one in tab.lines):
            raise RuntimeError("a tab was sent its cart without its lines")
        at = _buffer.find(_STRUCK, 0, size)
        if at < 0 or not line:
            return at < 0 and not line
        return _buffer.startswith(line, _buffer.find(_ITEM, at, size))

    return finds


#: What can be expected from outside, by name.
EXPECTATIONS: dict[str, Callable[..., Finds]] = {
    "message": lambda: any_message,
    "product": product_fragment,
    "cart": own_cart,
    "marked": lambda: marked_cart,
    "line": cart_line,
}


def _line(item: int) -> bytes:
    return f'data-item-id="{item}"'.encode()


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

    def read(self) -> int:
        """Take what has come into the shared buffer; return its size if a message ends there.

        Raises:
            ConnectionError: there is no stream any more, or none was given.
        """
        assert self.socket is not None
        held = len(self._rest)
        _buffer[:held] = self._rest
        came = self.socket.recv_into(_view[held:])
        if came == 0:
            raise ConnectionResetError("the stream ended")
        size = held + came
        if not held and _buffer.startswith(b"HTTP/") and not _buffer.startswith(_OK):
            raise ConnectionRefusedError(f"answered {_buffer[9:12].decode()}")
        if _buffer.endswith(_ENDS, 0, size):
            self._rest = b""
            return size
        self._rest = bytes(_view[:size])
        return 0

    def text(self, size: int) -> str:
        """Return what was just read."""
        return _buffer[:size].decode()

    def close(self) -> None:
        """Close the stream."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self._rest = None, b""


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
        timeout: float,
        marked: bool = False,
    ) -> None:
        """Fill a cart for each of the contents, or mark them; tabs opened from now on show them."""
        self._are_marked = marked
        self.visitors = [Visitor(ports[n % len(ports)]) for n in range(len(contents))]
        self._carts = [Cart("", "", tuple(items)) for items in contents]
        works = [partial(self._fill, number) for number in range(len(contents))]
        do_all(works, _FILL_AT_ONCE, timeout)

    def share(self, tabs: int) -> None:
        """Have so many tabs show the first cart, all of them the same."""
        self._carts = self._carts[:1] * tabs

    def open(
        self,
        ports: Sequence[int],
        path: str,
        count: int,
        timeout: float,
        finds: Finds | None = None,
    ) -> None:
        """Open streams, and wait until each has its first message: its own cart, if it has one."""
        carts: Sequence[Cart | None] = self._carts or [None] * count
        self._tabs = [Tab(n, ports[n % len(ports)], path, carts[n]) for n in range(count)]
        is_whole = self._carts and not self._are_marked
        self.await_(finds or (own_cart(None) if is_whole else any_message))
        deadline = time.monotonic() + timeout
        for begun, tab in enumerate(self._tabs, 1):
            self._connect(tab)
            # At the end, all of them are waited for.
            most = _OPEN_AT_ONCE - 1 if begun < count else 0
            self._wait(deadline, most + count - begun)

    def prepare(self) -> None:
        """Read whatever there is by now."""
        while self._look():
            pass

    def expect(self, what: str, timeout: float, **which: Any) -> dict[str, float]:
        """Wait until each tab has found something in what comes from now on.

        Args:
            what: a name in `EXPECTATIONS`, which takes the arguments in `which`.

        Returns:
            When the first, half and all of them had it, on the monotonic clock in seconds; this
            process's CPU time.
        """
        cpu = time.process_time()
        self.await_(EXPECTATIONS[what](**which))
        self._wait(time.monotonic() + timeout)
        spent = time.process_time() - cpu
        times = sorted(tab.found_at for tab in self._tabs)
        half = times[len(times) // 2]
        return {"first": times[0], "half": half, "last": times[-1], "cpu": spent}

    def come_back(self, struck: int, timeout: float, at_once: bool) -> dict[str, Any]:
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
        deadline = time.monotonic() + timeout
        if at_once:
            self.listen(deadline, lambda: len(losses) == len(self._tabs) and self._is_served())
        go.set()
        self._wait(deadline)
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

    def listen(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Read what comes until a moment, or until something is done; return whether it is.

        Args:
            until: on the monotonic clock, in seconds.
        """
        while not done() and time.monotonic() < until:
            self._look()
            gevent.sleep(_PAUSE)
        return done()

    def _wait(self, deadline: float, most: int = 0) -> None:
        """Read until no more tabs than `most` lack what they wait for."""
        if not self.listen(deadline, lambda: self._missing <= most):
            raise RuntimeError(f"{self._missing} tabs did not get what was sent in time")

    def _look(self) -> int:
        """Read what has come, and return of how many tabs."""
        ready = self._epoll.poll(0, 1024)
        for descriptor, _ in ready:
            tab = self._by_descriptor[descriptor]
            try:
                size = tab.read()
            except OSError as error:
                self._hang_up(tab)
                self._lost(tab, error)
                continue
            if size and not tab.found_at and self._finds(tab, size):
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
