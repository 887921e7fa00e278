"""One open page of the load client: its event stream, and what is looked for in that.

What reading costs is printed beside what the server costs, so that one can see that the server is
what is measured.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

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


#: Tells whether a tab's message is what it waits for.
Finds = Callable[[Tab, bytes], bool]


def any_message(_: Tab, message: bytes) -> bool:
    """Find a message, whatever it says."""
    return _FRAGMENT_END in message


def product_fragment(product: int) -> Finds:
    """Find a product's fragment, whatever it says."""
    mark = f'id="stock-{product}"'.encode()
    return lambda _, message: mark in message


def cart_line(item: int, is_there: bool) -> Finds:
    """Find a cart with a line of an item, or without one."""
    line = _line(item)
    return lambda _, message: _REF in message and (line in message) == is_there


def marked_cart(tab: Tab, message: bytes) -> bool:
    """Find the tab's own cart with all lines that were marked before."""
    return tab.ref in message and all(line in message for line in tab.lines)


def own_cart(struck: int | None) -> Finds:
    """Find the tab's own cart, whole, with one item's line struck out, or none.

    Another's cart, or one that lost a line, ends the run.
    """

    def finds(tab: Tab, message: bytes) -> bool:
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

    return finds


def _line(item: int) -> bytes:
    return f'data-item-id="{item}"'.encode()
