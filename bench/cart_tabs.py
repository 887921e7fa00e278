"""Tabs that each show a cart of their own: what they look for in the bytes that come, cheaply."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Any

from bench.dialing import dial, has_connected
from shop.framing import HEARTBEAT_EVENT

#: How a message ends; a heartbeat may follow it.
_END = b">\n\n"

_OK = b"HTTP/1.1 200 "

_REF, _STRUCK = b'data-cart-ref="', b"cart-item--out-of-stock"

#: A line's classes stand so near to its item, in bytes.
_NEAR = 200

#: How many tabs are read at a time. For a few it is waited that long for more, in seconds: being
#: woken for each would cost more than reading it, and leave others less of the processor.
_AT_A_TIME, _FEW, _GATHER = 256, 16, 0.001

#: Shared by all tabs: a buffer made for each read would cost more than the read.
buffer = bytearray(1 << 18)
_view = memoryview(buffer)


class WrongCart(RuntimeError):
    """A tab was sent a cart that isn't its own, or not all of it."""


class Look:
    """What a tab looks for in what comes: its own cart, whole.

    Args:
        ref: the cart's fingerprint.
        items: what the cart holds, by id.
    """

    __slots__ = ("_lines", "_ref")

    def __init__(self, ref: str, items: list[int]) -> None:
        self._ref = _REF + f'{ref}"'.encode()
        self._lines = [line_of(item) for item in items]

    def finds(self, message: bytes | bytearray, end: int, struck: bytes | None) -> bool:
        """Tell whether the first `end` bytes hold the cart, with one line struck out or none.

        Args:
            struck: that line, see `line_of`.

        Raises:
            WrongCart: they hold another's, or one without its lines.
        """
        carts = message.count(_REF, 0, end)
        if carts == 0:
            return False
        if message.count(self._ref, 0, end) != carts:
            raise WrongCart("a tab was sent another's cart")
        if any(message.find(line, 0, end) < 0 for line in self._lines):
            raise WrongCart("a tab was sent its cart without its lines")
        return self._struck(message, end) == struck

    def _struck(self, message: bytes | bytearray, end: int) -> bytes | None:
        """Return the line that is struck out, of those of the cart."""
        at = message.find(_STRUCK, 0, end)
        if at < 0:
            return None
        near = min(end, at + _NEAR)
        return next((line for line in self._lines if message.find(line, at, near) > 0), b"")


def line_of(item: int) -> bytes:
    """Return what a cart's line of an item holds, and nothing else."""
    return f'data-item-id="{item}"'.encode()


class CartTab:
    """One page with one cart, whose stream is open, on its way, or waited for.

    Args:
        source: the address of this machine that it comes from.
        cart: as `carts.write_carts` describes it.
        path: where streams are, with the products that they watch.
    """

    __slots__ = (
        *("_came", "_request", "_source", "connected", "found_at", "look", "number", "socket"),
    )

    def __init__(
        self, number: int, source: str, cart: dict[str, Any], host: str, path: str
    ) -> None:
        self.number = number
        self._source = source
        self.look = Look(cart["ref"], cart["items"])
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: text/event-stream"]
        lines += [f"Referer: http://{host}/", f"Cookie: {cart['cookie']}", "", ""]
        self._request = "\r\n".join(lines).encode()
        self.socket: socket.socket | None = None
        self.connected = False
        #: what has come of a message that isn't whole
        self._came = b""
        #: when it found what it looked for, on the monotonic clock; 0 before
        self.found_at = 0.0

    def dial(self, port: int) -> socket.socket:
        self._came, self.connected = b"", False
        self.socket = dial(self._source, port)
        return self.socket

    def ask(self) -> None:
        """Ask for the stream, once connected.

        Raises:
            OSError: it is not.
        """
        assert self.socket is not None
        has_connected(self.socket)
        self.connected = True
        self.socket.sendall(self._request)

    def read(self) -> int:
        """Take what has come into the shared buffer; return its length if messages end there.

        Raises:
            ConnectionError: there is no stream any more, or none was given.
        """
        assert self.socket is not None
        held = len(self._came)
        buffer[:held] = self._came
        came = self.socket.recv_into(_view[held:])
        if came == 0:
            raise ConnectionResetError("the stream ended")
        size = _without_heartbeat(held + came)
        if size == 0 or buffer.endswith(_END, 0, size):
            self._came = b""
            return size
        self._came = bytes(_view[: held + came])
        if self._came.startswith(_OK[:9]) and not self._came.startswith(_OK[: len(self._came)]):
            raise ConnectionRefusedError(self._came[9:12].decode("latin-1"))
        return 0

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket = None


def _without_heartbeat(size: int) -> int:
    while buffer.endswith(HEARTBEAT_EVENT, 0, size) and (
        size == len(HEARTBEAT_EVENT) or buffer.endswith(b"\n\n" + HEARTBEAT_EVENT, 0, size)
    ):
        size -= len(HEARTBEAT_EVENT)
    return size


class Switchboard:
    """The connections of many tabs to one server, and who of them is to be heard."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._tabs: dict[int, CartTab] = {}
        self._epoll = select.epoll()

    def dial(self, tab: CartTab) -> None:
        """Begin to connect a tab.

        Raises:
            OSError: nobody listens.
        """
        descriptor = tab.dial(self.port).fileno()
        self._tabs[descriptor] = tab
        self._epoll.register(descriptor, select.EPOLLOUT | select.EPOLLIN)

    def ask(self, tab: CartTab) -> None:
        """Have a tab that may be connected ask for its stream; see `CartTab.ask`."""
        tab.ask()
        assert tab.socket is not None
        self._epoll.modify(tab.socket.fileno(), select.EPOLLIN)

    def hang_up(self, tab: CartTab) -> None:
        if tab.socket is not None:
            del self._tabs[tab.socket.fileno()]
            tab.close()

    def ready(self, seconds: float) -> Iterator[CartTab]:
        """Wait for some seconds at most; give the tabs for which something has come."""
        events = self._epoll.poll(seconds, _AT_A_TIME)
        if 0 < len(events) < _FEW:
            time.sleep(_GATHER)
            events = self._epoll.poll(0, _AT_A_TIME)
        for descriptor, _ in events:
            yield self._tabs[descriptor]

    def close(self) -> None:
        for tab in self._tabs.values():
            tab.close()
        self._tabs.clear()
        self._epoll.close()
