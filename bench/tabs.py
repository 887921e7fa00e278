"""The load client's tabs: thousands of event streams, and what is looked for in their bytes.

One buffer for all, and nothing made for a message: what reading costs is printed beside what the
server costs, so that one can see that the server is what is measured.
"""

from __future__ import annotations

import heapq
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.loop import Loop, addresses, check_connected, dial

#: Tabs that wait for their first message at the same time, when they aren't to come all at once.
_AT_ONCE = 64

#: Between two looks at what has come, in seconds: see `Loop.run`.
_PAUSE = 0.0005

#: Between two looks whether a server listens again, and for one of them, in seconds.
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


def _line(item: int) -> bytes:
    return f'data-item-id="{item}"'.encode()


class Tab:
    """One open page: a stream that is open, on its way, or lost."""

    __slots__ = ("_rest", "found_at", "lines", "number", "ref", "request", "socket", "source")

    def __init__(self, number: int, source: str, host: str, path: str, cart: Cart | None) -> None:
        self.number = number
        self.source = source
        self.ref = _REF + f'{cart.ref}"'.encode() if cart else b""
        self.lines = [_line(item) for item in cart.items] if cart else []
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: text/event-stream"]
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
        if self.socket is not None:
            self.socket.close()
        self.socket, self._rest = None, b""


class Tabs:
    """All of them, at one server."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._tabs: list[Tab] = []
        self._port = 0
        self._finds: Finds = any_message
        self._missing = 0
        self._lost: Callable[[Tab, OSError], None] = self._fail

    def open(
        self, port: int, path: str, count: int, carts: Sequence[Cart], timeout: float
    ) -> dict[str, float]:
        """Open streams, and wait until each has its first message: its own cart, if it has one.

        Returns:
            Seconds that it took, and this process's CPU time.
        """
        began, cpu = time.monotonic(), time.process_time()
        host, sources = f"127.0.0.1:{port}", addresses()
        self._port = port
        self._tabs = [
            Tab(n, next(sources), host, path, carts[n] if carts else None) for n in range(count)
        ]
        self._await(own_cart(None) if carts else any_message)
        waiting: Iterator[Tab] = iter(self._tabs)
        for begun, tab in enumerate(waiting, 1):
            self._connect(tab)
            self._wait(
                began + timeout,
                lambda begun=begun: begun - (count - self._missing) < _AT_ONCE,  # type: ignore[misc]
            )
        self._wait(began + timeout, lambda: not self._missing)
        return {"seconds": time.monotonic() - began, "cpu": time.process_time() - cpu}

    def prepare(self) -> None:
        """Read whatever there is by now."""
        self._loop.drain()

    def expect(self, finds: Finds, timeout: float) -> dict[str, float]:
        """Wait until each tab has found something in what comes from now on.

        Returns:
            When the first, half and all of them had it, on the monotonic clock in seconds; this
            process's CPU time.
        """
        cpu, deadline = time.process_time(), time.monotonic() + timeout
        self._await(finds)
        self._wait(deadline, lambda: not self._missing)
        spent = time.process_time() - cpu
        times = sorted(tab.found_at for tab in self._tabs)
        return {
            "first": times[0],
            "half": times[len(times) // 2],
            "last": times[-1],
            "cpu": spent,
        }

    def come_back(self, struck: int, timeout: float, **pace: Any) -> dict[str, Any]:
        """Have each tab come back when its stream ends, until each has its cart as it is by then.

        Args:
            struck: the item that is sold out by then.
            pace: how they come back, see `_Return`.

        Returns:
            By tab: when it lost its stream and when it was current again, on the monotonic clock;
            and how many attempts failed, by reason.
        """
        cpu = time.process_time()
        self._await(own_cart(struck))
        back = _Return(self._tabs, self._connect, self._port, **pace)

        def lose(tab: Tab, error: OSError) -> None:
            self._hang_up(tab)
            self._missing += bool(tab.found_at)  # it was current, and lost that again
            tab.found_at = 0.0
            back.lose(tab, error)

        self._lost = lose
        deadline = time.monotonic() + timeout
        while self._missing:
            back.dial_those_due()
            self._loop.run(min(deadline, back.next_due()), lambda: not self._missing)
            if time.monotonic() >= deadline:
                raise RuntimeError(f"{self._missing} tabs did not come back in time")
        self._lost = self._fail
        current = [tab.found_at for tab in self._tabs]
        spent = time.process_time() - cpu
        return {**back.result(), "current": current, "cpu": spent}

    def leave(self) -> None:
        """Close all streams."""
        for tab in self._tabs:
            self._hang_up(tab)
        self._tabs = []

    def _await(self, finds: Finds) -> None:
        self._finds, self._missing = finds, len(self._tabs)
        for tab in self._tabs:
            tab.found_at = 0.0

    def _wait(self, deadline: float, done: Callable[[], bool]) -> None:
        if not self._loop.run(deadline, done, _PAUSE):
            raise RuntimeError(f"{self._missing} tabs did not get what was sent in time")

    def _connect(self, tab: Tab) -> None:
        try:
            tab.socket = dial(tab.source, self._port)
        except OSError as error:
            self._lost(tab, error)
            return
        self._loop.watch(tab.socket.fileno(), partial(self._ask, tab), writing=True)

    def _ask(self, tab: Tab) -> None:
        assert tab.socket is not None
        try:
            check_connected(tab.socket)
            tab.socket.sendall(tab.request)
        except OSError as error:
            self._lost(tab, error)
            return
        self._loop.watch(tab.socket.fileno(), partial(self._hear, tab))

    def _hear(self, tab: Tab) -> None:
        try:
            size = tab.read()
        except OSError as error:
            self._lost(tab, error)
            return
        if size and not tab.found_at and self._finds(tab, size):
            tab.found_at = time.monotonic()
            self._missing -= 1

    def _hang_up(self, tab: Tab) -> None:
        if tab.socket is not None:
            self._loop.forget(tab.socket.fileno())
            tab.close()

    def _fail(self, _: Tab, error: OSError) -> None:
        raise RuntimeError(f"a tab lost its stream: {error}")


class _Return:
    """When tabs that lost their streams try again.

    A page waits after a stream's end, and twice as long after each attempt that fails.

    Args:
        connect: begins to connect a tab.
        delay, longest: the first and the longest of these delays, in seconds.
        jitter: share of a delay by which it is longer or shorter, at random.
        at_once: instead, all wait until the server listens again, and come in that moment.
    """

    def __init__(
        self,
        tabs: Sequence[Tab],
        connect: Callable[[Tab], None],
        port: int,
        delay: float,
        longest: float,
        jitter: float,
        at_once: bool,
    ) -> None:
        self._tabs, self._connect, self._port = tabs, connect, port
        self._delay, self._longest, self._jitter = delay, longest, jitter
        self._at_once = at_once
        self._due: list[tuple[float, int]] = []
        self._lost_at: dict[int, float] = {}
        self._failed: Counter[int] = Counter()
        self._reasons: Counter[str] = Counter()
        self._chance = random.Random(1)

    def lose(self, tab: Tab, error: OSError) -> None:
        """Note that a stream ended or did not come about, and when it is tried again."""
        now = time.monotonic()
        if tab.number in self._lost_at:
            self._failed[tab.number] += 1
            self._reasons[str(error) if not error.errno else type(error).__name__] += 1
        self._lost_at.setdefault(tab.number, now)
        delay = min(self._delay * 2.0 ** self._failed[tab.number], self._longest)
        delay *= 1 + self._jitter * self._chance.uniform(-1, 1)
        heapq.heappush(self._due, (now if self._at_once else now + delay, tab.number))

    def dial_those_due(self) -> None:
        if self._at_once and not self._all_may_come():
            return
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            self._connect(self._tabs[heapq.heappop(self._due)[1]])

    def next_due(self) -> float:
        """Return when to look again, on the monotonic clock."""
        now = time.monotonic()
        if self._at_once:
            return now + _PROBE
        return max(now + 0.001, self._due[0][0]) if self._due else now + 0.05

    def result(self) -> dict[str, Any]:
        lost = [self._lost_at.get(tab.number, 0.0) for tab in self._tabs]
        return {"lost": lost, "failures": dict(self._reasons)}

    def _all_may_come(self) -> bool:
        """Tell whether all have lost their streams, and somebody listens."""
        if len(self._lost_at) < len(self._tabs) or not self._due:
            return False
        try:
            socket.create_connection(("127.0.0.1", self._port), _PROBE).close()
        except OSError:
            return False
        return True
